"""The life of a model version: which folder is it, what READY means, what a failed load leaves, what is done to its
files while it serves, and where its memory goes afterwards.

NORN names the binary; NORN_SANITIZED=1 says that it is a sanitizer's, whose memory tells nothing."""

import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import tritonclient.grpc
from safetensors.numpy import save as safetensors_bytes

from served import NORN, Server

F32, I64 = TensorProto.FLOAT, TensorProto.INT64
Value = helper.make_tensor_value_info
Node = helper.make_node


def save(path, nodes, inputs, outputs, constants=None, domains=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs,
                              [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()])
    opsets = [helper.make_opsetid("", 18), *(helper.make_opsetid(domain, 1) for domain in domains)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())
    return path


def save_scale(path, factor):
    """y = factor * x: the answer says which version gave it."""
    return save(path, [Node("Mul", ["x", "k"], ["y"])], [Value("x", F32, ["B", 2])], [Value("y", F32, ["B", 2])],
                {"k": np.float32(factor)})


def save_lookup(folder, rows, keys=None):
    save(folder / "model.onnx", [Node("Embedding", ["k"], ["y"], domain="ai.norn", table="t", dim=rows.shape[1])],
         [Value("k", I64, ["B"])], [Value("y", F32, ["B", rows.shape[1]])], domains=["ai.norn"])
    (folder / "tables").mkdir(exist_ok=True)
    write_table(folder, rows, keys)


def write_table(folder, rows, keys=None):
    """In place, as `cp` does it."""
    tensors = {"rows": rows} if keys is None else {"rows": rows, "keys": keys}
    (folder / "tables" / "t.safetensors").write_bytes(safetensors_bytes(tensors))


def check(folder):
    done = subprocess.run([NORN, "check", str(folder)], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


class LifeTest(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.repository = self.scratch / "r"
        self.repository.mkdir()

    def serve(self, *options):
        self.server = Server(self.repository, "--model-control", "explicit", *options)
        self.addCleanup(self.server.close)
        return self.server

    def infer(self, name, version=None, **arrays):
        """(code, the first output, or the error)"""
        inputs = [{"name": key, "shape": list(array.shape), "datatype": {"f": "FP32", "i": "INT64"}[array.dtype.kind],
                   "data": array.ravel().tolist()} for key, array in arrays.items()]
        path = f"/v2/models/{name}" + (f"/versions/{version}" if version is not None else "") + "/infer"
        code, body = self.server.post(path, json.dumps({"inputs": inputs}).encode())
        answer = json.loads(body)
        return code, answer["outputs"][0]["data"] if code == 200 else answer["error"]

    def scale(self, name="m", version=None):
        """The factor of the version that answers, or the error."""
        code, got = self.infer(name, version, x=np.ones((1, 2), np.float32))
        return got[0] if code == 200 else got

    def index(self):
        """{(model, version): (state, reason)}; version None when the model has none."""
        entries = json.loads(self.server.post("/v2/repository/index")[1])
        self.assertEqual(len({(e["name"], e.get("version")) for e in entries}), len(entries), entries)
        return {(e["name"], int(e["version"]) if "version" in e else None): (e["state"], e["reason"]) for e in entries}

    def load(self, name):
        code, body = self.server.post(f"/v2/repository/models/{name}/load")
        return code, body.decode()

    def metric(self, row):
        """The number of a row of the metrics page; None when it is not there."""
        page = self.server.get("/metrics", "metrics")[1].decode()
        found = re.search(rf"^{re.escape(row)} (\S+)$", page, re.M)
        return float(found[1]) if found else None

    def alive(self):
        self.assertIsNone(self.server.process.poll(), self.server.log.read_text()[-2000:])

    # ---- versions ---------------------------------------------------------------------------------------------

    def test_leading_zeros_make_no_other_version(self):
        for folder, factor in (("01", 2), ("1", 1), ("001", 3)):
            save_scale(self.repository / "three" / folder / "model.onnx", factor)
        for folder, factor in (("007", 7), ("6", 6)):
            save_scale(self.repository / "alone" / folder / "model.onnx", factor)
        for folder, factor in (("02", 2), ("002", 3), ("1", 1)):
            save_scale(self.repository / "guess" / folder / "model.onnx", factor)
        self.serve()
        self.assertEqual(self.scale("three"), 1)
        self.assertEqual(self.scale("alone"), 7)
        self.assertEqual(self.scale("alone", "0007"), 7)
        self.assertEqual(self.scale("guess"), 1)
        state, reason = self.index()["guess", 2]
        self.assertEqual(state, "UNAVAILABLE")
        self.assertRegex(reason, "'002' and '02'.*keep one, named '2'")
        log = self.server.log.read_text()
        self.assertRegex(log, "warn.*'three'.*'1' and '001'.*'1' is it")
        self.assertRegex(log, "error.*'guess'.*'002' and '02'")

    def test_labels_name_versions_for_requests_of_both_protocols(self):
        for version in (1, 2, 3, 4):
            save_scale(self.repository / "m" / str(version) / "model.onnx", version)
        labels = self.repository / "m" / "labels.json"
        labels.write_text('{"stable": 2, "canary": 3}')
        self.serve()
        client = tritonclient.grpc.InferenceServerClient(self.server.grpc)
        self.addCleanup(client.close)

        def by_grpc(version):
            x = tritonclient.grpc.InferInput("x", [1, 2], "FP32")
            x.set_data_from_numpy(np.ones((1, 2), np.float32))
            answer = client.infer("m", [x], model_version=version)
            return answer.as_numpy("y")[0, 0], int(answer.get_response().model_version)

        self.assertEqual([self.scale("m", v) for v in (None, "stable", "canary", "2", "3")], [2, 2, 3, 2, 3])
        self.assertEqual([by_grpc(v) for v in ("", "stable", "canary", "3")], [(2, 2), (2, 2), (3, 3), (3, 3)])
        self.assertTrue(client.is_model_ready("m", "canary"))
        self.assertFalse(client.is_model_ready("m", "nightly"))
        self.assertEqual(self.scale("m", "nightly"), "model 'm' has no label 'nightly'; it has stable, canary")
        self.assertRegex(self.scale("m", "4"), "version 4 is not loaded")
        entries = json.loads(self.server.post("/v2/repository/index")[1])
        self.assertEqual([(e["version"], e["state"], e.get("labels")) for e in entries],
                         [("2", "READY", ["stable"]), ("3", "READY", ["canary"])])

        # The canary is promoted while requests name it: nobody is refused, and nothing is loaded for it.
        answers, stop = [], threading.Event()

        def ask():
            while not stop.is_set():
                answers.append((self.scale("m", "canary"), self.scale("m")))

        asking = threading.Thread(target=ask)
        asking.start()
        labels.write_text('{"stable": 3, "canary": 3, "previous": 2}')
        self.assertEqual(self.load("m")[0], 200)
        stop.set()
        asking.join()
        self.assertLessEqual(set(answers), {(3, 2), (3, 3)})
        self.assertEqual([self.scale("m", v) for v in (None, "stable", "canary", "previous")], [3, 3, 3, 2])
        self.assertEqual(len(re.findall(r"loading version 3", self.server.log.read_text())), 1)
        labels.write_text('{"stable": 3, "2": 2}')
        code, body = self.load("m")
        self.assertEqual(code, 400)
        self.assertRegex(body, r"labels\.json.*label '2'")
        self.assertEqual(self.scale("m", "previous"), 2)
        self.alive()

    def test_what_is_no_version_is_passed_over(self):
        save_scale(self.repository / "m" / "3" / "model.onnx", 3)
        for folder in ("4x", "-5", "v9", "99999999999999999999", "1.5"):
            save_scale(self.repository / "m" / folder / "model.onnx", 9)
        (self.repository / "m" / "8").write_text("a file")
        self.serve()
        self.assertEqual(self.scale(), 3)
        self.assertEqual(list(self.index()), [("m", 3)])
        for version in ("99999999999999999999", "+3", "3x", "-1"):
            self.assertIn("whole number", self.scale(version=version))

    def test_a_damaged_newest_version_falls_back_loudly(self):
        save_scale(self.repository / "m" / "1" / "model.onnx", 1)
        save_scale(self.repository / "m" / "2" / "model.onnx", 2)
        for version, content in ((3, b""), (4, b"no model"), (10, save_scale(self.scratch / "x.onnx", 5).read_bytes()[:40])):
            (self.repository / "m" / str(version)).mkdir()
            (self.repository / "m" / str(version) / "model.onnx").write_bytes(content)
        (self.repository / "none" / "1").mkdir(parents=True)
        self.serve()
        self.assertEqual(self.scale(), 2)
        index = self.index()
        self.assertEqual({key: state for key, (state, _) in index.items()},
                         {("m", 2): "READY", ("m", 10): "UNAVAILABLE", ("m", 4): "UNAVAILABLE", ("m", 3): "UNAVAILABLE",
                          ("none", 1): "UNAVAILABLE"})
        self.assertIn("version 10", index["m", 2][1])
        self.assertIn("model.onnx", index["m", 10][1])
        self.assertIn("has no model.onnx", index["none", 1][1])
        self.assertRegex(self.server.log.read_text(), "warn.*version 2 serves because 3 newer could not be loaded")
        self.assertEqual(self.metric('norn_model_load_failures_total{model="m"}'), 3)
        self.assertEqual(self.metric('norn_model_version_failed{model="m",version="10"}'), 1)
        self.assertIsNone(self.metric('norn_model_version_failed{model="m",version="2"}'))
        self.assertEqual(self.metric('norn_model_version_failed{model="none",version="1"}'), 1)
        self.assertIn("model.onnx", self.scale(version=10))
        self.assertIn("version 1 is not loaded", self.scale(version=1))
        # Mended, it is loaded; its failures are history.
        save_scale(self.repository / "m" / "10" / "model.onnx", 10)
        self.assertEqual(self.load("m")[0], 200)
        self.assertEqual(self.scale(), 10)
        self.assertEqual([key for key in self.index() if key[0] == "m"], [("m", 10)])
        self.assertEqual(self.index()["m", 10], ("READY", ""))
        self.assertEqual(self.server.post("/v2/repository/models/m/unload")[0], 200)
        self.assertEqual(self.index()["m", 10], ("UNAVAILABLE", "unloaded"))
        self.assertIsNone(self.metric('norn_model_version_failed{model="m",version="10"}'))

    def test_a_failed_load_keeps_what_is_live_and_says_so(self):
        good = save_scale(self.repository / "m" / "1" / "model.onnx", 1).read_bytes()
        self.serve()
        (self.repository / "m" / "2").mkdir()
        (self.repository / "m" / "2" / "model.onnx").write_bytes(good[:-30])
        code, message = self.load("m")
        self.assertNotEqual(code, 200)
        self.assertIn("version 1 serves", message)
        self.assertEqual(self.scale(), 1)
        self.assertEqual({key: state for key, (state, _) in self.index().items()},
                         {("m", 1): "READY", ("m", 2): "UNAVAILABLE"})
        self.assertEqual(self.metric('norn_model_load_failures_total{model="m"}'), 1)
        # The live version's own folder is damaged: one entry, ready, with the reason.
        shutil.rmtree(self.repository / "m" / "2")
        (self.repository / "m" / "1" / "model.onnx").write_bytes(good[:-30])
        self.assertNotEqual(self.load("m")[0], 200)
        self.assertEqual(self.scale(), 1)
        (state, reason), = self.index().values()
        self.assertEqual(state, "READY")
        self.assertIn("still serves; the last load failed", reason)
        self.assertEqual(self.metric('norn_model_load_failures_total{model="m"}'), 2)

    def test_a_load_that_never_ends_holds_up_no_stop(self):
        body = helper.make_graph([Node("Identity", ["c"], ["c_out"]), Node("Add", ["v", "v"], ["v_out"])], "body",
                                 [Value("i", I64, []), Value("c", TensorProto.BOOL, []), Value("v", F32, ["B", 2])],
                                 [Value("c_out", TensorProto.BOOL, []), Value("v_out", F32, ["B", 2])])
        save(self.repository / "forever" / "1" / "model.onnx", [Node("Loop", ["", "on", "x"], ["y"], body=body)],
             [Value("x", F32, ["B", 2])], [Value("y", F32, ["B", 2])], {"on": np.array(True)})
        log = self.scratch / "log"
        with open(log, "w") as file:
            process = subprocess.Popen([NORN, "serve", "--repository", str(self.repository), "--host", "127.0.0.1",
                                        "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", "--drain-ms", "100",
                                        "--lame-duck-ms", "0"], stderr=file)
        self.addCleanup(process.kill)
        deadline = time.monotonic() + 30
        while "loading version 1" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        begin = time.monotonic()
        process.terminate()
        self.assertEqual(process.wait(timeout=60), 0, log.read_text())
        self.assertLess(time.monotonic() - begin, 20)
        self.assertIn("a load was still running", log.read_text())

    def test_replaced_versions_are_freed_and_counted(self):
        save_scale(self.repository / "m" / "1" / "model.onnx", 1)
        self.serve()
        for _ in range(5):
            self.assertEqual(self.load("m")[0], 200)
        deadline = time.monotonic() + 30
        while self.metric("norn_versions_freed_total") < 5 and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(self.metric("norn_versions_freed_total"), 5)
        self.assertEqual(self.metric("norn_versions_retiring"), 0)
        self.assertEqual(self.server.stop(), 0)
        self.assertNotIn("still in use", self.server.log.read_text())

    # ---- READY ------------------------------------------------------------------------------------------------

    def assert_refused(self, name, *words):
        """UNAVAILABLE with the reason in index, log and metrics; `norn check` fails with it too."""
        state, reason = self.index()[name, 1]
        self.assertEqual(state, "UNAVAILABLE", reason)
        code, text = check(self.repository / name / "1")
        self.assertEqual(code, 1, text)
        log = self.server.log.read_text()
        for word in words:
            self.assertIn(word, reason)
            self.assertIn(word, text)
            self.assertIn(word, log)
        self.assertEqual(self.metric(f'norn_model_version_failed{{model="{name}",version="1"}}'), 1)
        self.assertNotEqual(self.server.get(f"/v2/models/{name}/ready")[0], 200)

    def assert_ready(self, name):
        state, reason = self.index()[name, 1]
        self.assertEqual(state, "READY", reason)
        code, text = check(self.repository / name / "1")
        self.assertEqual(code, 0, text)
        return reason, text

    def test_ready_means_that_a_request_can_be_answered(self):
        string = TensorProto.STRING
        at = lambda name: self.repository / name / "1" / "model.onnx"  # noqa: E731
        save(at("strings_in"), [Node("Identity", ["x"], ["y"])], [Value("x", string, ["B", 3])], [Value("y", string, ["B", 3])])
        save(at("strings_out"), [Node("Gather", ["names", "i"], ["y"])], [Value("i", I64, ["B"])], [Value("y", string, ["B"])],
             {"names": np.array(["a", "b"], object)})
        # Floats alone, so nothing that was made up can be to blame: the model itself cannot run.
        save(at("cannot"), [Node("Shape", ["x"], ["s"]), Node("Size", ["x"], ["n"]), Node("Sub", ["n", "n"], ["zero"]),
                            Node("Unsqueeze", ["zero", "axis"], ["z"]), Node("Concat", ["z", "s"], ["odd"], axis=0),
                            Node("Reshape", ["x", "odd"], ["y"], allowzero=1)],
             [Value("x", F32, ["B", 3])], [Value("y", F32, None)], {"axis": np.array([0], np.int64)})
        save_lookup(self.repository / "no_table" / "1", np.ones((4, 2), np.float32))
        (self.repository / "no_table" / "1" / "tables" / "t.safetensors").unlink()
        save_lookup(self.repository / "wide_table" / "1", np.ones((4, 2), np.float32))
        write_table(self.repository / "wide_table" / "1", np.ones((4, 3), np.float32))
        save_scale(at("elsewhere"), 1)
        (self.repository / "elsewhere" / "1" / "norn.json").write_text('{"device": "cuda:77"}')
        save_scale(at("no_input"), 1)
        (self.repository / "no_input" / "1" / "norn.json").write_text('{"inputs": {"z": {"batch": "user"}}}')
        self.serve()
        self.assert_refused("strings_in", "input 'x' is of strings")
        self.assert_refused("strings_out", "output 'y' is of strings")
        self.assert_refused("cannot", "it cannot run")
        self.assert_refused("no_table", "'t'", "tables/")
        self.assert_refused("wide_table", "'t'", "3 elements a row")
        self.assert_refused("elsewhere", "cuda")
        self.assert_refused("no_input", "no input 'z'")

    def test_what_was_made_up_is_no_reason_to_refuse(self):
        at = lambda name: self.repository / name / "1" / "model.onnx"  # noqa: E731
        # Ids from 5 on: no made-up id is likely to be right, and each request knows its own.
        save(at("ids"), [Node("Sub", ["i", "five"], ["j"]), Node("Mul", ["j", "many"], ["k"]), Node("Gather", ["t", "k"], ["y"])],
             [Value("i", I64, ["B"])], [Value("y", F32, ["B", 2])],
             {"five": np.int64(5), "many": np.int64(1000), "t": np.ones((4, 2), np.float32)})
        # A hashed table whose missing keys are errors, and which has no key 0.
        save_lookup(self.repository / "hashed" / "1", np.ones((3, 2), np.float32), np.array([70, 80, 90], np.int64))
        (self.repository / "hashed" / "1" / "norn.json").write_text('{"tables": {"t": {"missing": "error"}}}')
        # Two inputs that have to fit each other, and do not say so.
        save(at("fit"), [Node("Add", ["a", "b"], ["y"])], [Value("a", F32, ["n"]), Value("b", F32, ["m"])], [Value("y", F32, ["k"])])
        # Exported for one row, whatever it declares.
        save(at("one_row"), [Node("Reshape", ["x", "one"], ["r"]), Node("Add", ["r", "x"], ["y"])],
             [Value("x", F32, ["B", 3])], [Value("y", F32, ["B", 3])], {"one": np.array([1, 3], np.int64)})
        self.serve()
        reason, text = self.assert_ready("ids")
        self.assertIn("made-up inputs", reason)
        self.assertIn("made-up inputs", text)
        self.assertEqual(self.infer("ids", i=np.array([5], np.int64)), (200, [1, 1]))
        self.assert_ready("hashed")
        self.assertEqual(self.infer("hashed", k=np.array([80], np.int64)), (200, [1, 1]))
        self.assert_ready("fit")
        reason, text = self.assert_ready("one_row")
        for said in (reason, text):
            self.assertIn("one row and not with two", said)
        self.assertEqual(self.infer("one_row", x=np.ones((1, 3), np.float32)), (200, [2, 2, 2]))

    def test_no_warm_up_where_norn_json_forbids_it(self):
        folder = self.repository / "m" / "1"
        save_scale(folder / "model.onnx", 1)
        (folder / "norn.json").write_bytes(b'\xef\xbb\xbf{\r\n"warmup": false\r\n}\r\n')  # as Windows editors write it
        self.serve()
        self.assertRegex(self.assert_ready("m")[1], "warmup +no +norn.json")
        (folder / "norn.json").write_bytes('{"warmup": true}'.encode("utf-16"))
        code, text = check(folder)
        self.assertEqual(code, 1)
        self.assertIn("UTF-16", text)

    def test_check_prints_the_settings_that_are_used(self):
        folder = self.scratch / "p" / "1"
        source = save_scale(self.scratch / "model.onnx", 1)
        folder.mkdir(parents=True)
        subprocess.run([NORN, "compile", str(source), "-o", str(folder / "model.norn"), "--max-batch", "16"], check=True,
                       capture_output=True)
        (folder / "norn.json").write_text(json.dumps({
            "device": "cuda", "precision": "tf32", "profile": {"max_batch": 64, "opt": {"x": [5, 2]}},
            "instances": 2, "threads": 1, "batching": {"max_delay_us": 300, "max_queue": 7, "max_batch": 8}}))
        code, text = check(folder)
        self.assertEqual(code, 0, text)
        settings = dict(re.findall(r"^  (\S+) +(.*\S)", text.split("settings\n")[1], re.M))
        for key, value, why in (("device", "cpu", "of the plan"), ("precision", "fp32", "of the plan"),
                                ("profile.max_batch", "16", "of the plan"), ("instances", "2", "norn.json"),
                                ("threads", "1", "norn.json"), ("batching.max_delay_us", "300", "norn.json"),
                                ("batching.max_batch", "8", "norn.json"), ("batching.max_queue", "7", "norn.json"),
                                ("warmup", "yes", "default")):
            self.assertEqual(re.split("  +", settings[key]), [value, why], key)
        notes = re.findall("warning: (.*)$", text, re.M)
        self.assertEqual(len(notes), 4, text)
        for note, words in zip(notes, (("cuda", "for cpu"), ("tf32", "for fp32"), ("64", "up to 16"), ("profile", "shapes"))):
            for word in words:
                self.assertIn(word, note)

    def test_check_does_not_print_how_requests_are_joined_where_they_are_not(self):
        folder = self.scratch / "p" / "1"
        save(folder / "model.onnx", [Node("Softmax", ["x"], ["y"], axis=0)], [Value("x", F32, ["B", 2])], [Value("y", F32, ["B", 2])])
        code, text = check(folder)
        self.assertEqual(code, 0, text)
        self.assertNotIn("batching.max_delay_us", text)
        self.assertNotIn("batching.max_batch", text)
        self.assertIn("batching.max_queue", text)

    def test_a_plan_takes_no_option_that_it_has_settled(self):
        source, plan = save_scale(self.scratch / "model.onnx", 1), str(self.scratch / "m.norn")
        subprocess.run([NORN, "compile", str(source), "-o", plan], check=True, capture_output=True)
        for command in (["run", plan], ["bench", plan, "--duration", "0.05", "--warmup", "0"]):
            for option in (["--device", "cuda"], ["--precision", "tf32"], ["--max-batch", "4"], ["--max-shapes", "x:2x2"]):
                done = subprocess.run([NORN, *command, *option], capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual(done.returncode, 2, (command, option, done.stderr))
                self.assertIn(f"{option[0]} ", done.stderr)
                self.assertIn("compiled for cpu in fp32", done.stderr)
            done = subprocess.run([NORN, *command, "--device", "cpu", "--precision", "fp32"], capture_output=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)

    # ---- files that change ------------------------------------------------------------------------------------

    def test_whatever_is_done_to_the_files_of_a_live_version_its_answers_stay(self):
        rng = np.random.default_rng(1)
        rows = rng.random((200_000, 4), dtype=np.float32)  # 3 MB: pages of its own
        save_lookup(self.repository / "emb" / "1", rows)
        weights = rng.random((512, 2048), dtype=np.float32)
        source = save(self.scratch / "mat.onnx", [Node("MatMul", ["x", "w"], ["y"])], [Value("x", F32, ["B", 512])],
                      [Value("y", F32, ["B", 2048])], {"w": weights})
        plan = self.repository / "mat" / "1" / "model.norn"
        plan.parent.mkdir(parents=True)
        subprocess.run([NORN, "compile", str(source), "-o", str(plan), "--max-batch", "4"], check=True, capture_output=True)
        small = save_scale(self.repository / "m" / "1" / "model.onnx", 3)
        self.serve()
        keys, x = np.array([0, 199_999, 77], np.int64), rng.random((2, 512), dtype=np.float32)
        first = [self.infer("emb", k=keys), self.infer("mat", x=x), self.infer("m", x=np.ones((1, 2), np.float32))]
        self.assertEqual([code for code, _ in first], [200] * 3)
        np.testing.assert_array_equal(np.array(first[0][1], np.float32).reshape(3, 4), rows[keys])
        stop, wrong, answers = threading.Event(), [], []

        def ask():
            while not stop.is_set():
                again = [self.infer("emb", k=keys), self.infer("mat", x=x), self.infer("m", x=np.ones((1, 2), np.float32))]
                answers.append(1)
                if again != first:
                    wrong.append(again)

        def wait_for_answers():
            count, deadline = len(answers), time.monotonic() + 20
            while len(answers) < count + 3 and time.monotonic() < deadline:
                time.sleep(0.01)
            self.alive()
            self.assertGreaterEqual(len(answers), count + 3)

        def overwrite_equal(path):
            with open(path, "r+b") as file:
                file.write(b"\xff" * path.stat().st_size)

        def overwrite_shorter(path):
            path.write_bytes(b"shorter")

        def truncate(path):
            os.truncate(path, 0)

        def rename_over(path):
            other = path.with_name("other")
            other.write_bytes(b"other")
            other.rename(path)

        files = (self.repository / "emb" / "1" / "tables" / "t.safetensors", plan, small)
        whole = [file.read_bytes() for file in files]
        asker = threading.Thread(target=ask)
        asker.start()
        try:
            for harm in (overwrite_equal, overwrite_shorter, truncate, rename_over, pathlib.Path.unlink):
                for file, content in zip(files, whole):
                    file.write_bytes(content)
                for name in ("emb", "mat", "m"):
                    self.assertEqual(self.load(name)[0], 200)
                for file in files:
                    harm(file)
                wait_for_answers()
                # A load of the harmed file fails, names it, and harms nobody.
                for name in ("emb", "mat", "m"):
                    code, message = self.load(name)
                    self.assertNotEqual(code, 200, (harm.__name__, name))
                    self.assertIn("still serves", self.index()[name, 1][1])
                wait_for_answers()
        finally:
            stop.set()
            asker.join()
        self.assertEqual(wrong, [])
        # What is new and whole is served after a load, and only then.
        write_table_rows = rows + 1
        save_lookup(self.repository / "emb" / "1", write_table_rows)
        self.assertEqual(self.infer("emb", k=keys), first[0])
        self.assertEqual(self.load("emb")[0], 200)
        np.testing.assert_array_equal(np.array(self.infer("emb", k=keys)[1], np.float32).reshape(3, 4), write_table_rows[keys])

    # ---- keys that are not there ------------------------------------------------------------------------------

    def test_missing_keys_are_counted_by_table_and_policy(self):
        rows, keys = np.ones((3, 2), np.float32), np.array([70, 80, 90], np.int64)
        for name, config in (("soft", "{}"), ("hard", '{"tables": {"t": {"missing": "error"}}}')):
            save_lookup(self.repository / name / "1", rows, keys)
            (self.repository / name / "1" / "norn.json").write_text(config)
        save_lookup(self.repository / "dense" / "1", rows)
        self.serve("--threads", "2")

        def count(name, policy):
            return self.metric(f'norn_table_missing_keys_total{{model="{name}",version="1",table="t",policy="{policy}"}}')
        before = {name: count(name, policy) for name, policy in (("soft", "default"), ("hard", "error"), ("dense", "error"))}
        self.assertNotIn(None, before.values())
        self.assertEqual(self.metric('norn_table_late_keys_total{model="soft",version="1",table="t"}'), 0)
        asked = np.concatenate([keys, np.arange(1000, 1500)])  # more than one run of keys
        code, got = self.infer("soft", k=asked)
        self.assertEqual((code, got), (200, [1.0] * 6 + [0.0] * 1000))
        self.assertEqual(count("soft", "default"), before["soft"] + 500)
        self.assertEqual(self.infer("soft", k=keys)[0], 200)
        self.assertEqual(count("soft", "default"), before["soft"] + 500)
        self.assertEqual(self.infer("hard", k=np.array([70, 1], np.int64))[0], 400)
        self.assertGreater(count("hard", "error"), before["hard"])
        self.assertEqual(self.infer("dense", k=np.array([3], np.int64))[0], 400)
        self.assertGreater(count("dense", "error"), before["dense"])
        np.save(self.scratch / "k.npy", np.array([70, 1, 2], np.int64))
        done = subprocess.run([NORN, "run", str(self.repository / "soft" / "1"), "--input", f"k={self.scratch / 'k.npy'}"],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("table 't': 2 keys have no row", done.stderr)

    def test_a_command_at_work_does_not_mind_what_becomes_of_its_files(self):
        source = save_scale(self.scratch / "model.onnx", 1)
        plan = self.scratch / "m.norn"
        subprocess.run([NORN, "compile", str(source), "-o", str(plan)], check=True, capture_output=True)
        for file in (source, plan):
            with subprocess.Popen([NORN, "bench", str(file), "--duration", "0.6", "--warmup", "0.4"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True) as bench:
                time.sleep(0.5)
                os.truncate(file, 0)
                out, error = bench.communicate(timeout=60)
            self.assertEqual(bench.returncode, 0, error)
        for command in (["inspect", str(source)], ["run", str(plan)], ["compile", str(source), "-o", str(self.scratch / "n.norn")]):
            done = subprocess.run([NORN, *command], capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(command[1], done.stderr)

    # ---- plans on their way to the disk -----------------------------------------------------------------------

    def compile(self, model, plan, limit=None):
        """(exit status, stderr); no file may grow beyond `limit` bytes, which fails as a full disk does."""
        def limited():
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        done = subprocess.run([NORN, "compile", str(model), "-o", str(plan)], capture_output=True, text=True, timeout=60,
                              preexec_fn=limited, check=False)
        return done.returncode, done.stderr

    def gather_model(self, seed):
        """A table of 2 MB that was an initializer, and weights of 1 MB."""
        rng = np.random.default_rng(seed)
        return save(self.scratch / f"g{seed}.onnx", [Node("Gather", ["t", "k"], ["e"]), Node("MatMul", ["e", "w"], ["y"])],
                    [Value("k", I64, ["B"])], [Value("y", F32, ["B", 4096])],
                    {"t": rng.random((8192, 64), dtype=np.float32), "w": rng.random((64, 4096), dtype=np.float32)})

    def files(self, folder):
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    def test_a_full_disk_leaves_the_older_plan_and_its_tables(self):
        old, new, folder = self.gather_model(1), self.gather_model(2), self.scratch / "out"
        folder.mkdir()
        for limit in (0, 100_000, 1_500_000):
            code, error = self.compile(old, folder / "m.norn", limit)
            self.assertEqual(code, 1, error)
            self.assertRegex(error, "^norn compile: .*m.norn.*cannot write: File too large")
            self.assertEqual(len(error.splitlines()), 1)
            self.assertEqual(self.files(folder), {})
        self.assertEqual(self.compile(old, folder / "m.norn")[0], 0)
        whole = self.files(folder)
        self.assertEqual(len(whole), 2)
        for limit in (50_000, 2_000_000):
            self.assertEqual(self.compile(new, folder / "m.norn", limit)[0], 1)
            self.assertEqual(self.files(folder), whole)
        # A plan beside the tables of another compilation is refused: the same shapes, other rows.
        self.assertEqual(self.compile(new, folder / "m.norn")[0], 0)
        table, = (name for name in whole if ".tables/" in name)
        self.assertEqual(subprocess.run([NORN, "run", str(folder / "m.norn")], capture_output=True, check=False).returncode, 0)
        (folder / table).write_bytes(whole[table])
        done = subprocess.run([NORN, "run", str(folder / "m.norn")], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("of another compilation", done.stderr)

    def test_where_no_plan_can_be_written_it_says_so(self):
        model = self.gather_model(3)
        (self.scratch / "file").write_text("x")
        (self.scratch / "taken.norn").mkdir()
        for path, words in (("none/m.norn", "none/m.norn.tables"), ("file/m.norn", "file/m.norn.tables"), ("taken.norn", "taken.norn")):
            code, error = self.compile(model, self.scratch / path)
            self.assertEqual(code, 1, error)
            self.assertIn(words, error)
            self.assertEqual(len(error.splitlines()), 1, error)
        self.assertEqual([path for path in self.scratch.rglob("*.tmp")], [])

    # ---- memory -----------------------------------------------------------------------------------------------

    def resident_kb(self):
        status = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def settled_kb(self, freed):
        deadline = time.monotonic() + 30
        while self.metric("norn_versions_freed_total") < freed and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(self.metric("norn_versions_freed_total"), freed)
        return self.resident_kb()

    @unittest.skipIf(os.environ.get("NORN_SANITIZED") == "1", "a sanitizer keeps what was freed")
    def test_reloads_give_memory_back_and_a_version_holds_its_weights_once(self):
        rng, sizes, constants, nodes, x = np.random.default_rng(2), (256, 2048, 2048, 1024, 8), {}, [], "x"
        for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
            constants[f"w{i}"] = rng.random((a, b), dtype=np.float32)
            constants[f"b{i}"] = rng.random((b,), dtype=np.float32)
            nodes += [Node("Gemm", [x, f"w{i}", f"b{i}"], [f"h{i}"]), Node("Relu", [f"h{i}"], [f"r{i}"])]
            x = f"r{i}"
        file = save(self.repository / "mlp" / "1" / "model.onnx", nodes, [Value("x", F32, ["B", 256])], [Value(x, F32, ["B", 8])], constants)
        keys = np.arange(400_000, dtype=np.int64) * 7
        save_lookup(self.repository / "emb" / "1", rng.random((400_000, 16), dtype=np.float32), keys)
        table = self.repository / "emb" / "1" / "tables" / "t.safetensors"
        self.serve("--threads", "1")
        start = self.resident_kb()
        # 27 MB of weights, once, and 29 MB of a table with 9 MB of its index.
        self.assertLess(start, (file.stat().st_size + 1.5 * table.stat().st_size) / 1024 + 25_000)
        after = []
        for i in range(1, 13):
            for name in ("mlp", "emb"):
                self.assertEqual(self.load(name)[0], 200)
            after.append(self.settled_kb(2 * i))
        self.assertLess(max(after[6:]), 1.1 * after[1] + 6_000, after)
        for name in ("mlp", "emb"):
            self.assertEqual(self.server.post(f"/v2/repository/models/{name}/unload")[0], 200)
        self.assertLess(self.settled_kb(26), 30_000)


if __name__ == "__main__":
    unittest.main()
