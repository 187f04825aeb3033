"""Metrics and statistics after requests that are known: every count is theirs, and the parts of a time are no more than it."""

import json
import pathlib
import re
import sys
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "peers"))

import onnx  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

import served  # noqa: E402

LINE = re.compile(r'^(\w+)(?:\{([^}]*)\})? (\S+)$')


def doubler(path):
    """y = x + x, [n, 2]."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [x], [y])
    path.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path / "model.onnx")


def body(rows, width=2):
    return json.dumps({"inputs": [{"name": "x", "shape": [rows, width], "datatype": "FP32",
                                   "data": [float(i) for i in range(rows * width)]}]}).encode()


class Metrics(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        repository = pathlib.Path(scratch.name) / "repository"
        for name in ("one", "two"):
            doubler(repository / name / "1")
        self.server = served.Server(repository)
        self.addCleanup(self.server.close)

    def page(self):
        """Value by (name, labels)."""
        status, text = self.server.get("/metrics", "metrics")[:2]
        self.assertEqual(status, 200)
        rows = {}
        for line in text.decode().splitlines():
            if line.startswith("#"):
                continue
            match = LINE.match(line)
            self.assertIsNotNone(match, line)
            labels = tuple(sorted(re.findall(r'(\w+)="([^"]*)"', match[2] or "")))
            self.assertNotIn((match[1], labels), rows)
            rows[match[1], labels] = float(match[3])
        return rows

    def test_every_count_is_that_of_the_requests(self):
        rows = (1, 3, 2, 5)
        for count in rows:
            self.assertEqual(self.server.post("/v2/models/one/infer", body(count))[0], 200)
        for wrong in (body(2, 3), body(0, 3)):
            self.assertEqual(self.server.post("/v2/models/one/infer", wrong)[0], 400)
        page = self.page()
        one = lambda name, *more: page[name, tuple(sorted((("model", "one"), ("version", "1"), *more)))]  # noqa: E731
        two = lambda name, *more: page[name, tuple(sorted((("model", "two"), ("version", "1"), *more)))]  # noqa: E731
        self.assertEqual(one("nv_inference_request_success"), len(rows))
        self.assertEqual(one("nv_inference_count"), sum(rows))
        self.assertEqual(one("nv_inference_exec_count"), len(rows))  # one after the other: no company
        self.assertEqual(one("nv_inference_pending_request_count"), 0)
        self.assertEqual(one("norn_request_seconds_count"), len(rows))
        for name in ("nv_inference_request_success", "nv_inference_count", "nv_inference_exec_count",
                     "norn_request_seconds_count", "nv_inference_request_duration_us"):
            self.assertEqual(two(name), 0)
        failures = {reason: one("nv_inference_request_failure", ("reason", reason))
                    for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER")}
        self.assertEqual({reason: n for reason, n in failures.items() if reason != "OTHER"},
                         {"REJECTED": 0, "CANCELED": 0, "BACKEND": 0})
        self.assertGreater(one("nv_model_load_duration_secs"), 0)
        self.assertLess(one("nv_model_load_duration_secs"), 60)
        whole = one("nv_inference_request_duration_us")
        parts = sum(one(f"nv_inference_{part}_duration_us")
                    for part in ("queue", "compute_input", "compute_infer", "compute_output"))
        self.assertGreater(whole, 0)
        self.assertLessEqual(parts, whole + 4)  # each is cut to a microsecond
        self.assertAlmostEqual(one("norn_request_seconds_sum"), whole / 1e6, delta=2e-6)
        self.assertEqual(page["norn_model_load_failures_total", (("model", "one"),)], 0)

    def test_buckets_of_latency_rise_to_the_count(self):
        for _ in range(5):
            self.server.post("/v2/models/one/infer", body(1))
        page, last, edges = self.page(), 0, []
        for (name, labels), value in page.items():
            if name == "norn_request_seconds_bucket" and ("model", "one") in labels:
                edges.append(dict(labels)["le"])
                self.assertGreaterEqual(value, last)
                last = value
        self.assertEqual(last, 5)
        self.assertEqual(edges[-1], "+Inf")
        self.assertEqual(edges[:-1], [f"{2 ** bit / 1e9:.9g}" for bit in range(14, 33)])
        mean = page["norn_request_seconds_sum", (("model", "one"), ("version", "1"))] / 5
        above = [e for e in edges[:-1] if float(e) > 5 * mean]  # nothing is slower than all together
        self.assertEqual(page["norn_request_seconds_bucket", (("le", above[0]), ("model", "one"), ("version", "1"))], 5)
        below = [e for e in edges[:-1] if float(e) < mean / 5]
        for edge in below[:1]:
            self.assertLess(page["norn_request_seconds_bucket", (("le", edge), ("model", "one"), ("version", "1"))], 5)

    def test_statistics_say_what_metrics_say(self):
        for count in (4, 2):
            self.server.post("/v2/models/two/infer", body(count))
        status, text = self.server.get("/v2/models/two/stats")[:2]
        self.assertEqual(status, 200)
        stats = json.loads(text)["model_stats"]
        self.assertEqual(len(stats), 1)
        stats = stats[0]
        self.assertEqual((stats["name"], stats["version"]), ("two", "1"))
        self.assertEqual(stats["inference_count"], 6)
        self.assertEqual(stats["execution_count"], 2)
        times = stats["inference_stats"]
        self.assertEqual(times["success"]["count"], 2)
        self.assertEqual(times["fail"]["count"], 0)
        parts = [times[part] for part in ("queue", "compute_input", "compute_infer", "compute_output")]
        self.assertEqual([part["count"] for part in parts], [2] * 4)
        self.assertLessEqual(sum(part["ns"] for part in parts), times["success"]["ns"])
        page = self.page()
        key = (("model", "two"), ("version", "1"))
        self.assertEqual(page["nv_inference_request_duration_us", key], times["success"]["ns"] // 1000)
        for metric, part in zip(("queue", "compute_input", "compute_infer", "compute_output"), parts):
            self.assertEqual(page[f"nv_inference_{metric}_duration_us", key], part["ns"] // 1000)


if __name__ == "__main__":
    unittest.main()
