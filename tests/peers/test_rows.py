"""Rows of one request never see another's: what is joined, split or refused answers as onnxruntime does on the request
alone. Random models (see row_models.py) are served side by side from one repository, with a small largest batch and a
delay, so that joins and splits do happen; NORN_SEED repeats a run, NORN_ROW_MODELS says how many models."""

import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import row_models
from served import NORN, Server
from test_serve import datatype

SEED = int(os.environ.get("NORN_SEED", random.SystemRandom().randrange(1 << 30)))
MODELS = int(os.environ.get("NORN_ROW_MODELS", "40"))
LARGEST = 8  # rows of a batch in these tests


def simple_model(nodes, inputs, outputs, constants=None):
    """Inputs and outputs as {name: (type, dims)}."""
    def info(ports):
        return [helper.make_tensor_value_info(n, t, d) for n, (t, d) in ports.items()]
    graph = helper.make_graph(nodes, "m", info(inputs), info(outputs),
                              [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def save(model, folder, config=None):
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    if config:
        (folder / "norn.json").write_text(json.dumps(config))


def infer(server, name, feeds, connection=None, headers=None):
    """(status, outputs by name, or the message)."""
    body = json.dumps({"inputs": [{"name": n, "shape": list(a.shape), "datatype": datatype(a), "data": a.ravel().tolist()}
                                  for n, a in feeds.items()]})
    own = connection or http.client.HTTPConnection(server.http, timeout=60)
    own.request("POST", f"/v2/models/{name}/infer", body, headers or {})
    answer = own.getresponse()
    text = json.loads(answer.read())
    if not connection:
        own.close()
    if answer.status != 200:
        return answer.status, text.get("error", "")
    return 200, {o["name"]: np.array(o["data"], np.float32).reshape(o["shape"]) for o in text["outputs"]}


def counts(server, name):
    """(rows, executions, requests) so far."""
    stats = json.loads(server.get(f"/v2/models/{name}/stats")[1])["model_stats"][0]
    return (int(stats["inference_count"]), int(stats["execution_count"]),
            int(stats["inference_stats"]["success"]["count"]))


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.repository = self.folder / "repository"
        self.repository.mkdir()
        self.server = None

    def tearDown(self):
        if self.server:
            self.server.close()
        shutil.rmtree(self.folder)

    def serve(self, *options):
        self.server = Server(self.repository, *options)
        return self.server

    def log(self):
        return (self.folder / "repository.log").read_text()


class RandomModelsTest(Folder):
    def test_joined_and_split_answers_are_those_of_the_request_alone(self):
        print(f"NORN_SEED={SEED}", flush=True)
        made, seed = {}, SEED
        while len(made) < MODELS:
            seed += 1
            found = row_models.make(seed)
            if found is None:
                continue
            apart = row_models.rows_apart(*found, seed)
            if apart is None:
                continue
            made[f"m{seed}"] = (found, seed, apart)
            save(found[1], self.repository / f"m{seed}" / "1")
        self.serve("--max-batch", str(LARGEST), "--batch-delay-us", "3000", "--threads", "1")
        jobs = []
        for name, ((graph, model, session), seed, apart) in made.items():
            rng = np.random.default_rng(seed)
            for rows in (1, 2, 3, 1, 2, 5, 3 * LARGEST + 1):
                feeds = graph.feeds(rows, rng, model)
                jobs.append((name, feeds, session.run(None, feeds), [o.name for o in model.graph.output]))
        random.Random(SEED).shuffle(jobs)
        jobs.sort(key=lambda job: job[0])  # those of one model close to each other, to be joined
        local = threading.local()

        def run(job):
            name, feeds, wanted, outputs = job
            if not hasattr(local, "connection"):
                local.connection = http.client.HTTPConnection(self.server.http, timeout=60)
            status, got = infer(self.server, name, feeds, local.connection)
            self.assertEqual(status, 200, f"{name}: {got}")
            for output, want in zip(outputs, wanted):
                with self.subTest(model=name, output=output, seed=SEED):
                    self.assertEqual(got[output].shape, want.shape)
                    np.testing.assert_allclose(got[output], want, 2e-4, 2e-5)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(run, job) for job in jobs]:
                done.result()
        joined = 0
        for name, (_, _, apart) in made.items():
            rows, executions, requests = counts(self.server, name)
            self.assertEqual(requests, 7)
            if not apart:  # neither joined nor cut
                self.assertEqual(executions, requests, f"{name} with NORN_SEED={SEED}")
            # Proved models cut 25 rows into four; without joins that alone makes 10 executions.
            joined += apart and executions < 10 and executions != requests
        self.assertGreater(joined, MODELS // 8, "too few joins happened for this test to mean much")

    def test_the_proof_never_says_yes_where_rows_mix(self):
        print(f"NORN_SEED={SEED}", flush=True)
        proved = apart_count = 0
        for seed in range(SEED, SEED + 3 * MODELS):
            found = row_models.make(seed)
            apart = found and row_models.rows_apart(*found, seed)
            if apart is None:
                continue
            path = self.folder / "m.onnx"
            onnx.save(found[1], path)
            joined, split, _, why = row_models.verdict(NORN, path)
            self.assertTrue(apart or not (joined or split), f"seed {seed}: rows mix, the proof says that they do not")
            proved += apart and joined
            apart_count += bool(apart)
        self.assertGreater(proved, 0.9 * apart_count)  # and it says no to few that do not


class ListwiseTest(Folder):
    """Models that rank the items of one request against each other."""

    def listwise(self, kind):
        x, w = {"x": (TensorProto.FLOAT, ["B", 8])}, np.arange(-4, 4, dtype=np.float32)[:, None] / 4
        score = helper.make_node("MatMul", ["x", "w"], ["s"], name="score")
        constants = {"w": w}
        if kind == "softmax":
            nodes = [score, helper.make_node("Softmax", ["s"], ["y"], name="softmax", axis=0)]
        elif kind == "centred":
            constants["zero"] = np.array([0], np.int64)
            nodes = [score, helper.make_node("ReduceMean", ["s", "zero"], ["m"], name="mean", keepdims=1),
                     helper.make_node("Sub", ["s", "m"], ["y"], name="centre")]
        elif kind == "rank":  # in how many items is each beaten
            nodes = [score, helper.make_node("Transpose", ["s"], ["t"], name="turn", perm=[1, 0]),
                     helper.make_node("Less", ["s", "t"], ["less"], name="less"),
                     helper.make_node("Cast", ["less"], ["f"], name="cast", to=1),
                     helper.make_node("ReduceSum", ["f", "one"], ["y"], name="count", keepdims=1)]
            constants["one"] = np.array([1], np.int64)
        else:  # "cumulated": each item with those before it
            nodes = [score, helper.make_node("CumSum", ["s", "axis"], ["y"], name="cumulate")]
            constants["axis"] = np.array(0, np.int64)
        return simple_model(nodes, x, {"y": (TensorProto.FLOAT, ["B", 1])}, constants)

    def test_items_are_ranked_among_those_of_their_own_request(self):
        kinds = {"softmax": "softmax", "centred": "mean", "rank": "less", "cumulated": "cumulate"}
        sessions = {}
        for kind in kinds:
            model = self.listwise(kind)
            save(model, self.repository / kind / "1")
            sessions[kind] = row_models.onnxruntime.InferenceSession(model.SerializeToString())
        self.serve("--batch-delay-us", "2000")
        rng = np.random.default_rng(SEED)
        # 64ths times quarters sum exactly, whoever sums them and in whatever order: all see the same scores tie.
        feeds = [{"x": rng.integers(-256, 257, (rows, 8)).astype(np.float32) / 64} for rows in (20, 7, 1, 20, 3000)]

        def run(job):
            kind, feed = job
            return kind, infer(self.server, kind, feed)[1]["y"], sessions[kind].run(None, feed)[0]

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for kind, got, want in pool.map(run, [(k, f) for k in kinds for f in feeds * 4]):
                # Sums of thousands of rows pass through zero: what is left there is of the size of the sums' rounding.
                np.testing.assert_allclose(got, want, 1e-3, 1e-3 if kind == "cumulated" else 1e-5, err_msg=kind)
        for kind, node in kinds.items():
            _, executions, requests = counts(self.server, kind)
            self.assertEqual(executions, requests)
            self.assertRegex(self.log(), rf"model '{kind}' version 1: requests are neither joined nor split: node.*{node}")

    def test_norn_json_forbids_and_promises(self):
        relu = [helper.make_node("Relu", ["x"], ["y"], name="relu")]
        ports = {"x": (TensorProto.FLOAT, ["B", 2])}, {"y": (TensorProto.FLOAT, ["B", 2])}
        save(simple_model(relu, *ports), self.repository / "never" / "1", {"batching": {"join": "never", "split": "never"}})
        save(self.listwise("softmax"), self.repository / "promised" / "1", {"batching": {"split": "always"}})
        fixed = simple_model([helper.make_node("ReduceSum", ["x"], ["y"], name="sum", keepdims=0)],
                             {"x": (TensorProto.FLOAT, ["B", 2])}, {"y": (TensorProto.FLOAT, [])})
        save(fixed, self.repository / "impossible" / "1", {"batching": {"join": "always"}})
        self.serve("--batch-delay-us", "5000", "--max-batch", "4")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda rows: infer(self.server, "never", {"x": np.ones((rows, 2), np.float32)}), [1, 2, 3, 9]))
        self.assertEqual(counts(self.server, "never")[1], 4)
        self.assertIn("neither joined nor split: norn.json says so", self.log())
        status, got = infer(self.server, "promised", {"x": np.ones((8, 8), np.float32)})
        self.assertAlmostEqual(float(got["y"].sum()), 2.0, 4)  # two pieces of four: as promised, so cut
        self.assertRegex(self.log(), "promised.*because norn.json says so.*softmax")
        self.assertRegex(self.log(), "impossible.*output 'y' has no dim 0 that follows the batch")
        check = subprocess.run([NORN, "check", str(self.repository / "promised" / "1")], capture_output=True, text=True)
        self.assertRegex(check.stdout, r"rows\n  requests are split, because norn.json says so")

    def test_a_plan_file_proves_again_what_it_is(self):
        save(self.listwise("centred"), self.folder / "model")
        folder = self.repository / "plan" / "1"
        folder.mkdir(parents=True)
        subprocess.run([NORN, "compile", str(self.folder / "model"), "-o", str(folder / "model.norn")], check=True,
                       capture_output=True)
        self.serve()
        self.assertRegex(self.log(), "requests are neither joined nor split: node.*mean")


class ShapesTest(Folder):
    """Sizes of one request are never used for another."""

    def setUp(self):
        super().setUp()
        sums = simple_model([helper.make_node("ReduceSum", ["x", "axes"], ["y"], name="sum", keepdims=0)],
                            {"x": (TensorProto.FLOAT, ["B", "T", "U"])}, {"y": (TensorProto.FLOAT, ["B"])},
                            {"axes": np.array([1, 2], np.int64)})
        save(sums, self.repository / "sums" / "1")

    def test_requests_of_other_widths_are_not_joined(self):
        self.serve("--batch-delay-us", "20000")
        shapes = [(1, 3, 4), (2, 4, 3), (1, 12, 1), (1, 2, 6), (1, 3, 4), (3, 1, 12), (1, 3, 4)]

        def run(index):
            x = np.full(shapes[index], index + 1, np.float32)
            return infer(self.server, "sums", {"x": x})[1]["y"], np.full(shapes[index][0], 12 * (index + 1), np.float32)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for got, want in pool.map(run, [i for i in range(len(shapes)) for _ in range(4)]):
                np.testing.assert_array_equal(got, want)

    def test_rows_that_cost_nothing_to_send_are_bounded_and_no_rows_are_answered_at_once(self):
        self.serve()
        begin = time.monotonic()
        for shape in ((1 << 40, 0, 1), (1 << 62, 3, 0), (1025, 0, 0)):
            body = json.dumps({"inputs": [{"name": "x", "shape": shape, "datatype": "FP32", "data": []}]})
            status, text = self.server.post("/v2/models/sums/infer", body.encode())
            self.assertEqual(status, 400, text)
            self.assertTrue(shape[0] >> 60 or b"rows" in text, text)  # a size past 64 bits has its own message
        status, got = infer(self.server, "sums", {"x": np.zeros((0, 5, 2), np.float32)})
        self.assertEqual((status, got["y"].shape), (200, (0,)))
        status, got = infer(self.server, "sums", {"x": np.zeros((1024, 0, 2), np.float32)})
        self.assertEqual((status, got["y"].shape, float(got["y"].sum())), (200, (1024,), 0.0))
        self.assertLess(time.monotonic() - begin, 20)

    def test_a_request_may_have_so_many_rows_and_no_more(self):
        save(simple_model([helper.make_node("Neg", ["x"], ["y"], name="neg")], {"x": (TensorProto.FLOAT, ["B"])},
                          {"y": (TensorProto.FLOAT, ["B"])}), self.repository / "few" / "1",
             {"batching": {"max_request_rows": 2000}})
        self.serve()
        status, got = infer(self.server, "few", {"x": np.arange(2000, dtype=np.float32)})
        np.testing.assert_array_equal(got["y"], -np.arange(2000, dtype=np.float32))
        status, text = infer(self.server, "few", {"x": np.zeros(2001, np.float32)})
        self.assertEqual(status, 400)
        self.assertIn("at most 2000", text)

    def test_outputs_with_several_entries_a_row_or_none_come_to_the_right_request(self):
        nodes = [helper.make_node("Reshape", ["x", "flat"], ["pairs"], name="fold"),
                 helper.make_node("Identity", ["c"], ["constant"], name="constant")]
        model = simple_model(nodes, {"x": (TensorProto.FLOAT, ["B", 2, 3])},
                             {"pairs": (TensorProto.FLOAT, ["P", 3]), "constant": (TensorProto.FLOAT, [2])},
                             {"flat": np.array([-1, 3], np.int64), "c": np.array([5, 7], np.float32)})
        save(model, self.repository / "pairs" / "1")
        self.serve("--batch-delay-us", "20000", "--max-batch", "16")

        def run(index):
            x = np.full((1 + index % 5 * 5, 2, 3), index, np.float32)
            return infer(self.server, "pairs", {"x": x})[1], x

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for got, x in pool.map(run, range(40)):
                np.testing.assert_array_equal(got["pairs"], x.reshape(-1, 3))
                np.testing.assert_array_equal(got["constant"], [5, 7])
        _, executions, requests = counts(self.server, "pairs")
        self.assertLess(executions, requests + 8)  # 21 rows are two pieces, eight times: others were joined


class OverloadTest(Folder):
    """A slow model (a product of large matrices) and more clients than it can serve."""

    SIZE = 1200

    def setUp(self):
        super().setUp()
        n = self.SIZE  # a small request, a product of n^3, a small answer
        nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], name="row"),
                 helper.make_node("MatMul", ["column", "a"], ["b"], name="outer"),
                 helper.make_node("MatMul", ["b", "square"], ["c"], name="slow"),
                 helper.make_node("ReduceMax", ["c"], ["y"], name="largest", keepdims=0)]
        constants = {"w": np.ones((4, n), np.float32), "column": np.ones((n, 1), np.float32),
                     "square": np.ones((n, n), np.float32)}
        model = simple_model(nodes, {"x": (TensorProto.FLOAT, [1, 4])}, {"y": (TensorProto.FLOAT, [])}, constants)
        save(model, self.repository / "slow" / "1")
        self.body = json.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]})

    def once(self, timeout):
        """(answered in time, refused, seconds)."""
        begin = time.monotonic()
        connection = http.client.HTTPConnection(self.server.http, timeout=timeout)
        try:
            connection.request("POST", "/v2/models/slow/infer", self.body)
            answer = connection.getresponse()
            answer.read()
            took = time.monotonic() - begin
            if answer.status == 429:
                self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
            return answer.status == 200 and took < timeout, answer.status == 429, took
        except (OSError, http.client.HTTPException):
            return False, False, time.monotonic() - begin
        finally:
            connection.close()

    def test_three_times_the_load_still_gets_answers_from_clients_that_give_up(self):
        self.serve("--threads", "1")
        alone = sorted(self.once(60)[2] for _ in range(5))[2]
        patience = max(1.0, 8 * alone)
        results, lock, end = [], threading.Lock(), time.monotonic() + 7 * patience

        def client():
            while time.monotonic() < end:
                result = self.once(patience)
                with lock:
                    results.append(result)
                time.sleep(0.2 if result[1] else 0)

        # Enough clients that three times the capacity is asked for all the time.
        threads = [threading.Thread(target=client) for _ in range(int(3 * patience / alone))]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        good = sum(1 for ok, _, _ in results if ok)
        possible = (time.monotonic() - begin) / alone
        refused = sum(1 for _, no, _ in results if no)
        print(f"goodput under overload: {good} of {possible:.0f} possible, {refused} refused, {len(results)} asked")
        self.assertGreater(good, 0.3 * possible)

    def test_work_of_clients_that_have_gone_is_not_done(self):
        self.serve("--threads", "1")
        alone = sorted(self.once(60)[2] for _ in range(5))[2]
        before = counts(self.server, "slow")[1]
        gone = []
        for _ in range(20):
            connection = http.client.HTTPConnection(self.server.http, timeout=60)
            connection.request("POST", "/v2/models/slow/infer", self.body)
            gone.append(connection)
        for connection in gone:
            connection.close()
        ok, _, took = self.once(120)
        self.assertTrue(ok)
        ran = counts(self.server, "slow")[1] - before
        self.assertLess(ran, 15, f"{ran} runs for 20 clients that had gone; the next waited {took / alone:.1f} runs")


if __name__ == "__main__":
    unittest.main()
