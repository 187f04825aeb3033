"""What a run takes and what it is given: memory that follows the request, random inputs that fit each other, output files
that do not collide, and times of at least three runs."""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "peers"))

import served  # noqa: E402

NORN = pathlib.Path(os.environ.get("NORN", REPOSITORY / "build" / "release" / "bin" / "norn"))
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def port(name, kind, dims):
    return helper.make_tensor_value_info(name, kind, dims)


def constant(name, value):
    return numpy_helper.from_array(np.asarray(value), name)


class Scratch(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def save(self, nodes, inputs, outputs, initializers=()):
        graph = helper.make_graph(nodes, "made", inputs, outputs, list(initializers))
        path = self.folder / "model.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
        return path

    def norn(self, *arguments, code=0):
        done = subprocess.run([str(NORN), *map(str, arguments)], capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def outputs(self, model, *arguments):
        """Outputs of one run, and what it said of its inputs: {name: "int64[1,3]"}."""
        done = self.norn("run", model, "--output-dir", self.folder / "out", *arguments)
        said = {line.split("'")[1]: line.split("random: ")[1].split(",  seed")[0].rsplit(", seed", 1)[0]
                for line in done.stderr.splitlines() if "is random" in line}
        return {file.stem: np.load(file) for file in (self.folder / "out").glob("*.npy")}, said


class MemoryFollowsTheRequest(Scratch):
    def wide(self, height, rows=None):
        """Images of `height`: two convolutions of 32 channels, 1 MB a value and row at height 90. With `rows` the result is
        by row."""
        rng = np.random.default_rng(0)
        weights = [constant("w0", rng.standard_normal((32, 1, 3, 3)).astype(np.float32)),
                   constant("w1", rng.standard_normal((1, 32, 3, 3)).astype(np.float32))]
        nodes = [helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1] * 4), helper.make_node("Relu", ["a"], ["b"]),
                 helper.make_node("Conv", ["b", "w1"], ["c"], pads=[1] * 4),
                 helper.make_node("ReduceMax", ["c", "axes"] if rows else ["c"], ["y"], keepdims=0)]
        weights += [constant("axes", np.array([1, 2, 3], np.int64))] if rows else []
        return self.save(nodes, [port("x", FLOAT, ["n", 1, height, height])], [port("y", FLOAT, [rows] if rows else [])], weights)

    def test_one_row_runs_where_the_default_profile_would_take_many_gigabytes(self):
        model = self.wide(512)  # 32 MB a value and row: 64 GB at 1,024 rows
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        values, said = self.outputs(model)
        self.assertEqual(said, {"x": "float32[1,1,512,512]"})
        self.assertEqual(values["y"].shape, ())
        self.assertLess(max(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, before), 1 << 20)  # KiB

    def test_a_run_above_the_bound_says_what_it_needs_and_a_smaller_one_goes(self):
        model = self.wide(90)
        done = self.norn("run", model, "--batch", 64, "--max-memory", 50, code=1)
        self.assertRegex(done.stderr, r"value '\w+'.* is \d+ bytes: \d+ bytes are needed, and an instance may take 52428800")
        self.assertIn("max_memory_mb", done.stderr)
        self.norn("run", model, "--batch", 2, "--max-memory", 50)


    def test_a_server_refuses_the_request_alone_and_gives_memory_back(self):
        model = self.wide(128, "n")  # 2 MB a value and row
        served.add_model(self.folder / "repository", "wide", model)
        (self.folder / "repository" / "wide" / "1" / "norn.json").write_text('{"max_memory_mb": 128}')
        server = served.Server(self.folder / "repository")
        self.addCleanup(server.stop)

        def ask(rows):
            x = np.ones((rows, 1, 128, 128), np.float32)
            body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": list(x.shape), "parameters": {"binary_data_size": x.nbytes}}]}
            head = json.dumps(body).encode()
            return server.post("/v2/models/wide/infer", head + x.tobytes(), {"Inference-Header-Content-Length": str(len(head))})

        def resident():
            lines = pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
            return int(next(line.split()[1] for line in lines if line.startswith("VmRSS")))

        self.assertEqual(ask(1)[0], 200)
        small = resident()
        self.assertEqual(ask(20)[0], 200)
        status, answer = ask(200)[:2]
        self.assertEqual(status, 429, answer)
        self.assertIn("max_memory_mb", str(answer))
        for _ in range(140):
            self.assertEqual(ask(1)[0], 200)
        self.assertLess(resident(), small + (40 << 10))  # KiB


class InputsFitEachOther(Scratch):
    def decoder(self, total):
        """Attention over a past: its length, the present's, and a mask over both, which a name may or may not tell."""
        rng = np.random.default_rng(0)
        table = constant("table", rng.standard_normal((50, 8)).astype(np.float32))
        places = constant("places", rng.standard_normal((256, 8)).astype(np.float32))
        nodes = [
            helper.make_node("Gather", ["table", "input_ids"], ["words"]),
            helper.make_node("Gather", ["places", "position_ids"], ["where"]),
            helper.make_node("Add", ["words", "where"], ["q"]),
            helper.make_node("Concat", ["past", "q"], ["k"], axis=1),
            helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
            helper.make_node("MatMul", ["q", "kt"], ["scores"]),
            helper.make_node("Cast", ["attention_mask"], ["m"], to=FLOAT),
            helper.make_node("Sub", ["m", "one"], ["m1"]),
            helper.make_node("Mul", ["m1", "large"], ["m2"]),
            helper.make_node("Unsqueeze", ["m2", "axis"], ["m3"]),
            helper.make_node("Add", ["scores", "m3"], ["masked"]),
            helper.make_node("Softmax", ["masked"], ["p"], axis=-1),
            helper.make_node("MatMul", ["p", "k"], ["y"]),
            helper.make_node("Identity", ["k"], ["present"]),
            helper.make_node("Identity", ["attention_mask"], ["mask_seen"]),
            helper.make_node("Identity", ["input_ids"], ["ids_seen"]),
        ]
        return self.save(nodes, [port("attention_mask", INT64, ["batch", total]), port("input_ids", INT64, ["batch", "seq"]),
                                 port("position_ids", INT64, ["batch", "seq"]), port("past", FLOAT, ["batch", "past_seq", 8])],
                         [port(n, t, None) for n, t in (("y", FLOAT), ("present", FLOAT), ("mask_seen", INT64),
                                                        ("ids_seen", INT64))],
                         [table, places, constant("one", np.float32(1)), constant("large", np.float32(1e4)),
                          constant("axis", np.array([1], np.int64))])

    def test_a_mask_over_past_and_present(self):
        for total in ("past_seq + seq", "total", "mask_len"):
            with self.subTest(total=total):
                values, _ = self.outputs(self.decoder(total), "--batch", 3)
                batch, length = values["mask_seen"].shape
                self.assertEqual(batch, 3)
                self.assertEqual(length, values["present"].shape[1])
                self.assertTrue(set(np.unique(values["mask_seen"])) <= {0, 1})
                self.assertGreater(values["mask_seen"].mean(), 0.7)
                self.assertTrue((values["mask_seen"][:, 0] == 1).all())
                self.assertTrue(0 <= values["ids_seen"].min() and values["ids_seen"].max() < 50)
                self.assertTrue(np.isfinite(values["y"]).all())

    def test_sizes_that_are_said_stay(self):
        values, _ = self.outputs(self.decoder("total"), "--shapes", "past:2x7x8,input_ids:2x5")
        self.assertEqual(values["mask_seen"].shape, (2, 12))

    def test_lengths_of_a_recurrent_layer_are_at_most_its_sequence(self):
        rng = np.random.default_rng(0)
        weights = [constant(n, rng.standard_normal(s).astype(np.float32)) for n, s in
                   (("w", (1, 16, 3)), ("r", (1, 16, 4)))]
        for name in ("lengths", "n_real"):  # told by the operator, whatever the name
            nodes = [helper.make_node("Cast", [name], ["l"], to=TensorProto.INT32),
                     helper.make_node("LSTM", ["x", "w", "r", "", "l"], ["y"], hidden_size=4),
                     helper.make_node("Identity", [name], ["seen"])]
            model = self.save(nodes, [port("x", FLOAT, [11, "n", 3]), port(name, INT64, ["n"])],
                              [port("y", FLOAT, None), port("seen", INT64, None)], weights)
            values, _ = self.outputs(model, "--batch", 40)
            self.assertEqual(values["y"].shape[2], 40)
            self.assertTrue(1 <= values["seen"].min() and values["seen"].max() <= 11)
            self.assertGreater(len(np.unique(values["seen"])), 3)

    def test_a_mode_is_the_constant_that_it_is_compared_with(self):
        """One rate has frames of 25 values, any other is refused by a Reshape."""
        def branch(rows, name):
            out = f"{name}_out"
            return helper.make_graph([helper.make_node("Reshape", ["x", f"{name}_shape"], [out])], name, [],
                                     [port(out, FLOAT, None)], [constant(f"{name}_shape", np.array(rows, np.int64))])
        nodes = [helper.make_node("Equal", ["rate", "known"], ["same"]),
                 helper.make_node("If", ["same"], ["y"], then_branch=branch([-1, 25], "yes"), else_branch=branch([7, 7, 7], "no"))]
        model = self.save(nodes, [port("x", FLOAT, ["n", 100]), port("rate", INT64, [])], [port("y", FLOAT, None)],
                          [constant("known", np.int64(22050))])
        values, _ = self.outputs(model)
        self.assertEqual(values["y"].shape, (4, 25))

    def test_states_take_the_batch_whatever_their_dimension_is_called(self):
        rng = np.random.default_rng(0)
        weights = [constant(n, rng.standard_normal(s).astype(np.float32)) for n, s in
                   (("w", (1, 12, 3)), ("r", (1, 12, 4)))]
        nodes = [helper.make_node("GRU", ["x", "w", "r", "", "", "h"], ["", "hn"], hidden_size=4)]
        model = self.save(nodes, [port("x", FLOAT, ["time", "batch", 3]), port("h", FLOAT, [1, "state_rows", 4])],
                          [port("hn", FLOAT, None)], weights)
        values, said = self.outputs(model)
        self.assertEqual(said["x"].split(",")[1], said["h"].split(",")[1])
        self.assertEqual(values["hn"].shape[0], 1)

    def test_what_cannot_be_guessed_is_asked_for_by_name(self):
        nodes = [helper.make_node("Gather", ["table", "x"], ["row"], axis=0), helper.make_node("Reshape", ["row", "shape"], ["y"])]
        model = self.save(nodes, [port("x", INT64, ["n"]), port("shape", INT64, [3])], [port("y", FLOAT, None)],
                          [constant("table", np.ones((5, 77), np.float32))])
        done = self.norn("run", model, code=1)
        self.assertIn("'shape' int64[3]", done.stderr)
        self.assertIn("--input NAME=FILE.npy", done.stderr)
        np.save(self.folder / "shape.npy", np.array([7, 11, -1], np.int64))
        values, _ = self.outputs(model, f"--input=shape={self.folder / 'shape.npy'}")
        self.assertEqual(values["y"].shape[:2], (7, 11))


class FilesOfOutputs(Scratch):
    def test_outputs_of_one_file_name_are_refused_before_anything_is_written(self):
        for names in (("a/b", "a_b"), ("y", "Y"), ("p/q/r", "p_q/r")):
            with self.subTest(names=names):
                nodes = [helper.make_node("Relu", ["x"], [names[0]]), helper.make_node("Neg", ["x"], [names[1]])]
                model = self.save(nodes, [port("x", FLOAT, [3])], [port(n, FLOAT, [3]) for n in names])
                done = self.norn("run", model, "--output-dir", self.folder / "none", code=2)
                for name in names:
                    self.assertIn(f"'{name}'", done.stderr)
                self.assertFalse((self.folder / "none").exists())
                self.norn("run", model)  # without files there is nothing to collide


    def test_inputs_of_one_file_name_are_refused_in_a_folder_and_taken_one_by_one(self):
        model = self.save([helper.make_node("Sub", ["a/b", "a_b"], ["y"])], [port("a/b", FLOAT, [3]), port("a_b", FLOAT, [3])],
                          [port("y", FLOAT, [3])])
        folder = self.folder / "in"
        folder.mkdir()
        np.save(folder / "a_b.npy", np.arange(3, dtype=np.float32))
        done = self.norn("run", model, "--input-dir", folder, code=2)
        self.assertIn("'a/b' and 'a_b'", done.stderr)
        values, _ = self.outputs(model, f"--input=a/b={folder / 'a_b.npy'}", "--input-dir", folder)
        self.assertEqual(values["y"].tolist(), [0, 0, 0])


class Times(Scratch):
    def slow(self):
        """A product of 2 GFLOP, some tens of milliseconds."""
        weight = constant("w", np.ones((1024, 1024), np.float32))
        nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Tanh", ["a"], ["y"])]
        return self.save(nodes, [port("x", FLOAT, [1024, 1024])], [port("y", FLOAT, None)], [weight])

    def test_at_least_three_runs_are_measured_and_small_numbers_are_flagged(self):
        done = self.norn("bench", self.slow(), "--duration", "0.000001", "--warmup", "0", "--json", "--threads", 1)
        result = json.loads(done.stdout)
        self.assertGreaterEqual(result["runs"], 3)
        self.assertLess(result["runs"], 10)
        self.assertEqual(result["of_few_runs"], ["p90", "p95", "p99"])
        self.assertGreater(result["run"]["min_us"], 0)
        self.assertGreater(result["duration_s"], 0)
        # Runs follow each other, so their sum is about the time.
        self.assertGreater(result["run"]["mean_us"] * result["runs"] / 1e6, result["duration_s"] / 2)
        text = self.norn("bench", self.slow(), "--duration", "0.000001", "--warmup", "0").stdout
        self.assertIn("* of too few runs", text)

    def test_many_runs_are_not_flagged(self):
        model = self.save([helper.make_node("Neg", ["x"], ["y"])], [port("x", FLOAT, ["n"])], [port("y", FLOAT, None)])
        result = json.loads(self.norn("bench", model, "--duration", "0.3", "--json").stdout)
        self.assertGreater(result["runs"], 100)
        self.assertEqual(result["of_few_runs"], [])


if __name__ == "__main__":
    unittest.main()
