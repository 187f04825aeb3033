"""Models that exporters write and that must run: values of no known size or rank, many operands, nodes in any order,
declared shapes. Against onnxruntime, through `norn run`."""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "peers"))

import served  # noqa: E402

NORN = pathlib.Path(os.environ.get("NORN", REPOSITORY / "build" / "release" / "bin" / "norn"))
F32, I64 = np.float32, np.int64
node = helper.make_node


def port(name, dtype, dims):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, dims)


def model_of(nodes, inputs, outputs, constants=None, opset=18, ir_version=10, domains=()):
    tensors = [numpy_helper.from_array(np.asarray(array), name)
               for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def body_of(name, nodes, inputs, outputs):
    return helper.make_graph(nodes, name, inputs, outputs)


def reference(model, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                           providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))


class Scratch(unittest.TestCase):
    def setUp(self):
        if not NORN.exists():
            raise FileNotFoundError(f"{NORN} is not built")
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.count = 0

    def save(self, model):
        self.count += 1
        path = self.folder / f"model{self.count}.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    def norn(self, *arguments):
        return subprocess.run([str(NORN), *map(str, arguments)], capture_output=True, text=True, timeout=120)

    def run_norn(self, path, feeds, *options):
        """Output arrays by name, or the message of a run that failed."""
        self.count += 1
        folder = self.folder / f"run{self.count}"
        folder.mkdir()
        inputs = []
        for number, (name, array) in enumerate(feeds.items()):
            np.save(folder / f"{number}.npy", array)
            inputs += ["--input", f"{name}={folder / f'{number}.npy'}"]
        done = self.norn("run", path, *inputs, "--output-dir", folder / "out", *options)
        if done.returncode != 0:
            self.assertGreaterEqual(done.returncode, 0, done.stderr)
            return done.stderr.strip()
        return {file.stem: np.load(file) for file in (folder / "out").glob("*.npy")}

    def expect(self, model, feeds, *options, rtol=1e-5, wanted=None):
        """As onnxruntime: names, types, shapes and values."""
        got = self.run_norn(self.save(model), feeds, *options)
        wanted = wanted or reference(model, feeds)
        self.assertIsInstance(got, dict, got)
        self.assertEqual(set(got), set(wanted))
        for name, array in wanted.items():
            self.assertEqual((got[name].dtype, got[name].shape), (array.dtype, array.shape), name)
            np.testing.assert_allclose(got[name], array, rtol=rtol, atol=1e-6, err_msg=name)
        return got

    def refuse(self, model, feeds, *words):
        message = self.run_norn(self.save(model), feeds)
        self.assertIsInstance(message, str, "it ran")
        for word in words:
            self.assertIn(word, message)


def twice(value, result):
    """A Loop that adds `value` to itself once: a result of no known size."""
    carried = body_of("twice", [node("Add", ["carried", value], ["sum"]), node("Identity", ["on"], ["on_too"])],
                      [port("i", I64, []), port("on", bool, []), port("carried", F32, None)],
                      [port("on_too", bool, []), port("sum", F32, None)])
    return node("Loop", ["one", "", value], [result], body=carried)


def one_of(condition, yes, no, result):
    """An If whose branches are two values around it, of different rank: a result of no known rank."""
    bodies = {key: body_of(key, [node("Identity", [value], [key + "_out"])], [], [port(key + "_out", F32, None)])
              for key, value in (("then_branch", yes), ("else_branch", no))}
    return node("If", [condition], [result], **bodies)


class ValuesOfNoKnownSize(Scratch):
    x, row = np.arange(8, dtype=F32).reshape(2, 4), np.ones((2, 3), F32)

    def test_a_concat_of_a_product_and_what_a_loop_made(self):
        nodes = [node("MatMul", ["x", "w"], ["d"]), node("Relu", ["d"], ["r"]), twice("row", "e"),
                 node("Concat", ["r", "e"], ["y"], axis=1)]
        self.expect(model_of(nodes, [port("x", F32, ["B", 4]), port("row", F32, ["B", 3])],
                             [port("y", F32, ["B", 5])],
                             {"w": np.ones((4, 2), F32), "one": np.array(1, I64)}),
                    {"x": self.x, "row": self.row})

    def test_a_concat_of_what_an_if_made_and_a_product(self):
        nodes = [node("Unsqueeze", ["row", "zero"], ["deep"]), one_of("sure", "row", "deep", "e"),
                 node("MatMul", ["x", "w"], ["d"]), node("Concat", ["e", "d"], ["y"], axis=1)]
        self.expect(model_of(nodes, [port("x", F32, ["B", 4]), port("row", F32, ["B", 3]), port("sure", bool, [])],
                             [port("y", F32, None)], {"w": np.ones((4, 2), F32), "zero": np.array([0], I64)}),
                    {"x": self.x, "row": self.row, "sure": np.array(True)})

    def test_a_concat_inside_a_concat_with_rows_of_a_mask(self):
        nodes = [node("MatMul", ["x", "w"], ["d"]), node("Compress", ["x", "mask"], ["picked"], axis=0),
                 node("Concat", ["d", "picked"], ["inner"], axis=1), node("Concat", ["d", "inner"], ["y"], axis=1)]
        self.expect(model_of(nodes, [port("x", F32, ["B", 4]), port("mask", bool, ["M"])], [port("y", F32, None)],
                             {"w": np.ones((4, 2), F32)}), {"x": self.x, "mask": np.array([True, True])})

    def test_a_concat_of_different_rows_is_refused(self):
        nodes = [node("MatMul", ["x", "w"], ["d"]), node("Compress", ["x", "mask"], ["picked"], axis=0),
                 node("Concat", ["d", "picked"], ["y"], axis=1, name="join")]
        self.refuse(model_of(nodes, [port("x", F32, ["B", 4]), port("mask", bool, ["M"])], [port("y", F32, None)],
                             {"w": np.ones((4, 2), F32)}), {"x": self.x, "mask": np.array([True, False])}, "join")


class ManyOperands(Scratch):
    def test_sums_and_their_kin_of_hundreds_of_operands(self):
        random = np.random.default_rng(1)
        for kind in ("Sum", "Max", "Min", "Mean"):
            for count in (1, 32, 33, 63, 64, 300):
                names = [f"x{i}" for i in range(count)]
                feeds = {name: random.normal(size=(3, 1) if i % 3 else (2,)).astype(F32)
                         for i, name in enumerate(names)}
                shapes = [["B", 1] if i % 3 else [2] for i in range(count)]
                model = model_of([node(kind, names, ["y"])], [port(n, F32, s) for n, s in zip(names, shapes)],
                                 [port("y", F32, None)])
                with self.subTest(kind=kind, count=count):
                    self.expect(model, feeds)

    def test_an_einsum_of_many_operands(self):
        names = [f"x{i}" for i in range(40)]
        feeds = {name: np.linspace(0.9, 1.1, 3, dtype=F32) + F32(i / 400) for i, name in enumerate(names)}
        model = model_of([node("Einsum", names, ["y"], equation=",".join(["a"] * 40) + "->a")],
                         [port(n, F32, ["B"]) for n in names], [port("y", F32, ["B"])])
        self.expect(model, feeds, wanted={"y": np.prod([feeds[n].astype(np.float64) for n in names], axis=0).astype(F32)})

    def test_a_concat_and_a_split_of_hundreds_of_parts(self):
        names = [f"x{i}" for i in range(200)]
        parts = [f"p{i}" for i in range(200)]
        sizes = np.array([1 + i % 3 for i in range(200)], I64)
        total = int(sizes.sum())
        model = model_of([node("Concat", names, ["all"], axis=1), node("Split", ["all", "sizes"], parts, axis=1),
                          node("Sub", ["p0", "p198"], ["y"]), node("Identity", ["p199"], ["z"])],
                         [port(n, F32, ["B", int(s)]) for n, s in zip(names, sizes)],
                         [port("y", F32, ["B", 1]), port("z", F32, ["B", 2])], {"sizes": sizes})
        feeds = {n: np.full((2, s), i, F32) for i, (n, s) in enumerate(zip(names, sizes))}
        self.assertGreater(total, 200)
        self.expect(model, feeds)

    def test_an_if_whose_branch_reads_hundreds_of_values(self):
        names = [f"x{i}" for i in range(200)]
        branch = body_of("then_branch", [node("Sum", names, ["s"])], [], [port("s", F32, None)])
        other = body_of("else_branch", [node("Identity", ["x0"], ["o"])], [], [port("o", F32, None)])
        model = model_of([node("If", ["sure"], ["y"], then_branch=branch, else_branch=other)],
                         [port("sure", bool, []), *(port(n, F32, ["B"]) for n in names)], [port("y", F32, None)])
        self.expect(model, {"sure": np.array(True), **{n: np.full(2, i, F32) for i, n in enumerate(names)}})


class NodesInAnyOrder(Scratch):
    x = np.array([[1, -2], [3, 4]], F32)

    def expect_sorted(self, nodes, inputs, outputs, feeds, **more):
        wanted = reference(model_of(nodes, inputs, outputs, **more), feeds)
        random = np.random.default_rng(3)
        for _ in range(4):
            mixed = [nodes[i] for i in random.permutation(len(nodes))]
            self.expect(model_of(mixed, inputs, outputs, **more), feeds, wanted=wanted)

    def test_what_a_converter_appended_is_found(self):
        nodes = [node("Relu", ["x"], ["a"]), node("Cast", ["a"], ["b"], to=TensorProto.FLOAT16),
                 node("Cast", ["b"], ["c"], to=TensorProto.FLOAT), node("Add", ["c", "x"], ["y"])]
        self.expect_sorted(nodes, [port("x", F32, ["B", 2])], [port("y", F32, ["B", 2])], {"x": self.x})

    def test_what_a_body_reads_is_made_before_its_node(self):
        inner = body_of("then_branch", [node("Neg", ["late"], ["a"])], [], [port("a", F32, None)])
        other = body_of("else_branch", [node("Identity", ["x"], ["b"])], [], [port("b", F32, None)])
        nodes = [node("Mul", ["x", "x"], ["late"]), node("If", ["sure"], ["a"], then_branch=inner, else_branch=other),
                 node("Exp", ["a"], ["y"])]
        self.expect_sorted(nodes, [port("x", F32, ["B", 2]), port("sure", bool, [])], [port("y", F32, None)],
                           {"x": self.x / 4, "sure": np.array(True)})

    def test_nodes_of_a_body_are_sorted_too(self):
        inner = body_of("then_branch", [node("Neg", ["n"], ["m"]), node("Abs", ["x"], ["n"])], [], [port("m", F32, None)])
        sorted_inner = body_of("then_branch", list(reversed(inner.node)), [], [port("m", F32, None)])
        other = body_of("else_branch", [node("Identity", ["x"], ["b"])], [], [port("b", F32, None)])
        ports = [port("x", F32, ["B", 2]), port("sure", bool, [])], [port("y", F32, None)]
        feeds = {"x": self.x, "sure": np.array(True)}
        wanted = reference(model_of([node("If", ["sure"], ["y"], then_branch=sorted_inner, else_branch=other)], *ports),
                           feeds)
        self.expect(model_of([node("If", ["sure"], ["y"], then_branch=inner, else_branch=other)], *ports), feeds,
                    wanted=wanted)

    def test_a_cycle_is_named(self):
        nodes = [node("Add", ["x", "c"], ["a"], name="first"), node("Relu", ["a"], ["c"], name="second")]
        self.refuse(model_of(nodes, [port("x", F32, ["B"])], [port("c", F32, ["B"])]), {"x": np.ones(1, F32)},
                    "cycle", "first")


class NamesOfDimensions(Scratch):
    def test_what_is_no_name_ties_nothing(self):
        for name in ("?", "", "-1", "None", "unk", "48"):
            with self.subTest(name=name):
                model = model_of([node("GlobalAveragePool", ["x"], ["y"])], [port("x", F32, [name, 3, name, name])],
                                 [port("y", F32, [name, 3, 1, 1])])
                self.expect(model, {"x": np.ones((2, 3, 4, 19), F32)})

    def test_a_name_that_one_input_has_twice_is_no_square(self):
        model = model_of([node("ReduceMax", ["x"], ["y"], keepdims=0)], [port("x", F32, ["n", "size", "size"])],
                         [port("y", F32, [])])
        self.expect(model, {"x": np.arange(24, dtype=F32).reshape(2, 3, 4)})

    def test_an_operator_that_needs_a_square_ties_them_again(self):
        nodes = [node("MatMul", ["links", "x"], ["y"])]
        model = model_of(nodes, [port("links", F32, ["n", "n"]), port("x", F32, ["n", 2])], [port("y", F32, ["n", 2])])
        self.expect(model, {"links": np.eye(3, dtype=F32), "x": np.arange(6, dtype=F32).reshape(3, 2)})
        self.refuse(model, {"links": np.ones((3, 4), F32), "x": np.ones((3, 2), F32)}, "input 'links'", "dim 1 is 4")

    def test_one_row_beside_many_where_the_caller_named_both(self):
        model = model_of([node("Add", ["user", "items"], ["s"]), node("ReduceSum", ["s", "one"], ["y"], keepdims=0)],
                         [port("user", F32, ["users", 4]), port("items", F32, ["items", 4])],
                         [port("y", F32, ["items"])], {"one": np.array([1], I64)})
        for users, items in ((1, 5), (5, 5), (5, 1), (1, 1)):
            with self.subTest(users=users, items=items):
                self.expect(model, {"user": np.ones((users, 4), F32), "items": np.ones((items, 4), F32)})
        self.refuse(model, {"user": np.ones((2, 4), F32), "items": np.ones((3, 4), F32)}, "do")

    def test_names_that_an_exporter_numbered_are_one(self):
        for one, two in (("s0", "s1"), ("unk__7", "unk__9"), ("batch", "batch_1"), ("batch", "")):
            model = model_of([node("Add", ["a", "b"], ["y"])], [port("a", F32, [one, 4]), port("b", F32, [two, 4])],
                             [port("y", F32, [one, 4])])
            with self.subTest(one=one, two=two):
                told = self.norn("inspect", self.save(model)).stdout
                self.assertEqual(told.count("[B,4]") + told.count("[B, 4]") >= 3, True, told)


class SizesThatDoNotGoTogether(Scratch):
    """Promises that only a run can check are checked while running."""

    def test_split_sizes_add_up_to_the_axis(self):
        nodes = [node("Split", ["x", "sizes"], ["a", "b"], name="cut"), node("Identity", ["a"], ["c"])]
        model = model_of(nodes, [port("x", F32, ["B", 2])], [port("c", F32, None), port("b", F32, None)],
                         {"sizes": np.array([2, 2], I64)})
        self.expect(model, {"x": np.arange(8, dtype=F32).reshape(4, 2)})
        for rows in (3, 5, 7):
            self.refuse(model, {"x": np.ones((rows, 2), F32)}, "cut")

    def test_split_sizes_that_are_an_input_add_up_too(self):
        model = model_of([node("Split", ["x", "sizes"], ["a", "b"], name="cut")],
                         [port("x", F32, ["B", 2]), port("sizes", I64, [2])],
                         [port("a", F32, None), port("b", F32, None)])
        x = np.arange(14, dtype=F32).reshape(7, 2)
        self.expect(model, {"x": x, "sizes": np.array([3, 4], I64)})
        for sizes in ([2, 2], [-1, 8], [7, 1]):
            self.refuse(model, {"x": x, "sizes": np.array(sizes, I64)}, "cut")

    def test_an_equal_split_of_old_opsets_is_equal(self):
        def model(opset, **more):
            return model_of([node("Split", ["x"], ["a", "b"], name="cut", **more)], [port("x", F32, ["B"])],
                            [port("a", F32, None), port("b", F32, None)], opset=opset)
        self.refuse(model(13), {"x": np.ones(7, F32)}, "cut", "7", "multiple of 2")
        self.expect(model(18, num_outputs=2), {"x": np.arange(7, dtype=F32)})

    def test_parameters_of_norms_fit_what_they_scale(self):
        for kind, opset in (("LayerNormalization", 17), ("RMSNormalization", 23)):
            model = model_of([node(kind, ["x", "w"], ["y"], name="norm")],
                             [port("x", F32, ["B", "D"]), port("w", F32, ["W"])], [port("y", F32, ["B", "D"])],
                             opset=opset)
            for width in (3, 5, 8):
                self.refuse(model, {"x": np.ones((2, 4), F32), "w": np.ones(width, F32)}, "norm", "scale")
            self.expect(model, {"x": np.arange(8, dtype=F32).reshape(2, 4), "w": np.arange(4, dtype=F32)})

    def test_a_product_of_other_columns_is_refused(self):
        model = model_of([node("MatMul", ["x", "w"], ["y"], name="top")], [port("x", F32, ["B", "K"])],
                         [port("y", F32, ["B", 2])], {"w": np.ones((4, 2), F32)})
        self.expect(model, {"x": np.ones((3, 4), F32)})
        for width in (0, 3, 5):
            self.refuse(model, {"x": np.ones((3, width), F32)}, "top")

    def test_depth_that_blocks_do_not_divide_is_refused(self):
        model = model_of([node("DepthToSpace", ["x"], ["y"], name="unfold", blocksize=2)],
                         [port("x", F32, ["B", "C", 2, 2])], [port("y", F32, None)])
        self.expect(model, {"x": np.arange(32, dtype=F32).reshape(1, 8, 2, 2)})
        self.refuse(model, {"x": np.ones((1, 6, 2, 2), F32)}, "unfold", "multiple of 4")


class SqueezesWithoutAxes(Scratch):
    """What is 1 shows when running: the rank too."""

    def at_batches(self, nodes, inputs, outputs, constants=None, sizes=(1, 2, 3)):
        model = model_of(nodes, inputs, outputs, constants)
        for rows in sizes:
            with self.subTest(rows=rows):
                self.expect(model, {i.name: np.arange(rows * 3, dtype=F32).reshape(rows, 3) / 7 for i in inputs})
        return model

    def test_scores_squeezed_at_the_end(self):
        model = self.at_batches(
            [node("MatMul", ["x", "w"], ["m"]), node("Squeeze", ["m"], ["s"]), node("Sigmoid", ["s"], ["y"])],
            [port("x", F32, ["B", 3])], [port("y", F32, ["B"]), port("s", F32, None)], {"w": np.ones((3, 1), F32)})
        self.assertIn("float32[B]", self.norn("inspect", self.save(model)).stdout)

    def test_two_squeezed_parts_that_are_added(self):
        self.at_batches(
            [node("MatMul", ["x", "w"], ["m"]), node("Squeeze", ["m"], ["a"]), node("ReduceSum", ["x", "one"], ["n"]),
             node("Squeeze", ["n"], ["b"]), node("Add", ["a", "b"], ["c"]), node("Mul", ["c", "half"], ["y"])],
            [port("x", F32, ["B", 3])], [port("y", F32, ["B"])],
            {"w": np.ones((3, 1), F32), "one": np.array([1], I64), "half": np.array(0.5, F32)})

    def test_a_squeeze_in_the_middle_changes_what_follows(self):
        self.at_batches(
            [node("Squeeze", ["x"], ["s"]), node("Shape", ["s"], ["shape"]), node("Add", ["s", "s"], ["y"])],
            [port("x", F32, ["B", 3])], [port("y", F32, None), port("shape", I64, None)])
        self.at_batches([node("Squeeze", ["x"], ["s"]), node("Add", ["s", "x"], ["y"])], [port("x", F32, ["B", 3])],
                        [port("y", F32, None), port("s", F32, None)])

    def test_a_squeezed_answer_has_the_shape_of_its_own_rows(self):
        model = model_of([node("ReduceSum", ["x", "one"], ["n"]), node("Squeeze", ["n"], ["y"])],
                         [port("x", F32, ["B", 3])], [port("y", F32, ["B"])], {"one": np.array([1], I64)})
        repository = self.folder / "repository"
        served.add_model(repository, "scores", self.save(model))
        server = served.Server(repository)
        self.addCleanup(server.close)
        for rows, shape, data in ((1, [], [3.0]), (2, [2], [3.0, 3.0])):
            body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [rows, 3], "data": [1.0] * 3 * rows}]}
            answer = json.loads(server.post("/v2/models/scores/infer", json.dumps(body).encode())[1])
            self.assertEqual((answer["outputs"][0]["shape"], answer["outputs"][0]["data"]), (shape, data))


class DeclaredShapes(Scratch):
    """Where inference can only say "known while running", the model's word is taken, and looked at in each run."""

    def test_sizes_that_went_through_floats_are_followed(self):
        # As torch.jit.trace writes int(windows.shape[0] / 4).
        nodes = [node("Reshape", ["x", "windows"], ["w"]), node("Shape", ["w"], ["s"]),
                 node("Gather", ["s", "zero"], ["n"]), node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
                 node("Div", ["f", "four"], ["q"]), node("Floor", ["q"], ["b"]),
                 node("Cast", ["b"], ["back"], to=TensorProto.INT64), node("Unsqueeze", ["back", "axis"], ["rows"]),
                 node("Concat", ["rows", "rest"], ["shape"], axis=0), node("Reshape", ["w", "shape"], ["y"])]
        model = model_of(nodes, [port("x", F32, ["B", 8])], [port("y", F32, None)],
                         {"windows": np.array([-1, 2], I64), "zero": np.array(0, I64), "four": np.array(4, F32),
                          "axis": np.array([0], I64), "rest": np.array([4, 2], I64)})
        self.assertIn("float32[B,4,2]", self.norn("inspect", self.save(model)).stdout)
        for rows in (1, 3):
            self.expect(model, {"x": np.arange(8 * rows, dtype=F32).reshape(rows, 8)})

    def declared(self, dims, value_info=()):
        branch = body_of("then_branch", [node("MatMul", ["x", "w"], ["a"])], [], [port("a", F32, None)])
        other = body_of("else_branch", [node("ReduceSum", ["x", "zero"], ["b"], keepdims=0)], [], [port("b", F32, None)])
        nodes = [node("If", ["sure"], ["h"], name="choose", then_branch=branch, else_branch=other),
                 node("Relu", ["h"], ["y"])]
        model = model_of(nodes, [port("x", F32, ["batch", 3]), port("sure", bool, [])], [port("y", F32, dims)],
                         {"w": np.ones((3, 5), F32), "zero": np.array([0], I64)})
        model.graph.value_info.extend(value_info)
        return model

    def test_a_declared_output_is_believed_and_checked(self):
        x = np.arange(6, dtype=F32).reshape(2, 3)
        model = self.declared(["batch", 5])
        self.assertIn("float32[B,5]", self.norn("inspect", self.save(model)).stdout)
        self.expect(model, {"x": x, "sure": np.array(True)})
        self.refuse(model, {"x": x, "sure": np.array(False)}, "Relu:y")
        self.expect(self.declared(None), {"x": x, "sure": np.array(False)})

    def test_an_output_that_is_declared_otherwise_is_told(self):
        def told(op, dims, **attributes):
            model = model_of([node(op, ["x"], ["y"], **attributes)], [port("x", F32, ["batch", 3])], [port("y", F32, dims)])
            return "'y' does not have the shape that the model declares" in self.norn("run", self.save(model)).stderr

        for dims, wrong in ((None, False), (["batch", 3], False), (["rows", "columns"], False), ([7, 3], False),
                            (["batch", 4], True), (["batch"], True), (["batch", 3, 1], True), ([], True)):
            with self.subTest(dims=dims):
                self.assertEqual(told("Relu", dims), wrong)
        self.assertFalse(told("ReduceSum", [], keepdims=0))
        self.assertTrue(told("ReduceSum", [1], keepdims=0))

    def test_a_declared_value_is_believed_and_checked(self):
        x = np.arange(6, dtype=F32).reshape(2, 3)
        model = self.declared(None, [port("h", F32, ["batch", 5])])
        self.expect(model, {"x": x, "sure": np.array(True)})
        self.refuse(model, {"x": x, "sure": np.array(False)}, "choose")

    def test_a_number_in_the_first_place_is_the_batch_that_was_traced(self):
        model = self.declared([1, 5])
        self.expect(model, {"x": np.arange(6, dtype=F32).reshape(2, 3), "sure": np.array(True)})

    def test_a_squeezed_rank_stays_that_of_the_run(self):
        nodes = [node("Squeeze", ["x"], ["s"]), node("Add", ["s", "x"], ["y"])]
        model = model_of(nodes, [port("x", F32, ["B", 1])], [port("y", F32, ["B", "B"]), port("s", F32, ["B"])])
        for rows in (1, 3):
            self.expect(model, {"x": np.arange(rows, dtype=F32).reshape(rows, 1)})


class InitializersThatCallersMayOverride(Scratch):
    """IR 4 and later: an initializer that is an input too is a default."""

    x, w = np.array([[1, 2]], F32), np.array([[10], [100]], F32)

    def model(self, ir_version=8, dims=(2, 1)):
        return model_of([node("MatMul", ["x", "w"], ["m"]), node("Add", ["m", "b"], ["y"])],
                        [port("x", F32, ["B", 2]), port("w", F32, dims)], [port("y", F32, ["B", 1])],
                        {"w": np.array([[1], [1]], F32), "b": np.array([0.5], F32)}, ir_version=ir_version)

    def test_the_default_and_what_overrides_it(self):
        self.assertEqual(self.expect(self.model(), {"x": self.x})["y"].tolist(), [[3.5]])
        self.assertEqual(self.expect(self.model(), {"x": self.x, "w": self.w})["y"].tolist(), [[210.5]])
        self.expect(self.model(dims=("K", 1)), {"x": self.x})
        self.refuse(self.model(), {"x": self.x, "w": np.ones((3, 1), F32)}, "input 'w'")

    def test_a_list_of_sizes_that_is_a_default(self):
        model = model_of([node("Reshape", ["x", "shape"], ["y"])], [port("x", F32, ["B", 6]), port("shape", I64, [2])],
                         [port("y", F32, None)], {"shape": np.array([-1, 3], I64)})
        x = np.arange(12, dtype=F32).reshape(2, 6)
        self.expect(model, {"x": x})
        self.expect(model, {"x": x, "shape": np.array([4, 3], I64)})
        self.expect(model, {"x": x, "shape": np.array([2, -1], I64)})

    def test_before_ir_4_and_when_frozen_it_is_a_constant(self):
        for path, options in ((self.save(self.model(ir_version=3)), []),
                              (self.save(self.model()), ["--freeze-initializers"])):
            got = self.run_norn(path, {"x": self.x}, *options)
            self.assertEqual(got["y"].tolist(), [[3.5]])
            self.assertIn("has no input 'w'", self.run_norn(path, {"x": self.x, "w": self.w}, *options))

    def test_a_large_default_is_told(self):
        for elems, options, told in ((16384, [], True), (16383, [], False), (16384, ["--freeze-initializers"], False)):
            model = model_of([node("Mul", ["x", "w"], ["y"])], [port("x", F32, ["B", 1]), port("w", F32, [elems])],
                             [port("y", F32, ["B", elems])], {"w": np.ones(elems, F32)})
            text = self.norn("run", self.save(model), *options).stderr
            self.assertEqual(f"may override initializer 'w' ({elems * 4} bytes)" in text, told, text)

    def test_a_plan_file_keeps_the_default(self):
        plan = self.folder / "m.norn"
        self.assertEqual(self.norn("compile", self.save(self.model()), "-o", plan).returncode, 0)
        self.assertEqual(self.run_norn(plan, {"x": self.x})["y"].tolist(), [[3.5]])
        self.assertEqual(self.run_norn(plan, {"x": self.x, "w": self.w})["y"].tolist(), [[210.5]])

    def test_a_request_may_leave_it_out_or_bring_its_own(self):
        repository = self.folder / "repository"
        served.add_model(repository, "m", self.save(self.model()))
        server = served.Server(repository)
        self.addCleanup(server.close)

        def tensor(name, array):
            return {"name": name, "datatype": "FP32", "shape": list(array.shape), "data": array.ravel().tolist()}

        def score(_, **tensors):
            inputs = [tensor(name, array) for name, array in tensors.items()]
            answer = json.loads(server.post("/v2/models/m/infer", json.dumps({"inputs": inputs}).encode())[1])
            return answer["outputs"][0]["data"][0]

        config = json.loads(server.get("/v2/models/m/config")[1])
        self.assertEqual([entry.get("optional", False) for entry in config["input"]], [False, True])
        self.assertGreater(config["max_batch_size"], 0)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:  # joined or not, each gets its own
            jobs = [pool.submit(score, i, x=self.x, **({"w": self.w * i} if i % 2 else {})) for i in range(40)]
            self.assertEqual([job.result() for job in jobs], [210.0 * i + 0.5 if i % 2 else 3.5 for i in range(40)])


class Tables(Scratch):
    def package(self, nodes, inputs, outputs, table):
        folder = self.folder / "package"
        (folder / "tables").mkdir(parents=True)
        (folder / "model.onnx").write_bytes(
            model_of(nodes, inputs, outputs, domains=["ai.norn"]).SerializeToString())
        (folder / "tables" / "t.safetensors").write_bytes(table)
        return folder

    def file_of(self, tensors, shift):
        """A safetensors file whose data begins `shift` bytes off a multiple of eight."""
        data = b"".join(array.tobytes() for array in tensors.values())
        header, at = {}, 0
        for name, array in tensors.items():
            kind = {"f": "F", "i": "I"}[array.dtype.kind] + str(8 * array.dtype.itemsize)
            header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [at, at + array.nbytes]}
            at += array.nbytes
        text = json.dumps(header).encode()
        text += b" " * ((shift - len(text)) % 8)
        return len(text).to_bytes(8, "little") + text + data

    def test_a_table_at_any_byte_is_read(self):
        tensors = {"keys": np.array([70, 7], I64), "rows": np.array([[1, 2], [3, 4]], F32)}
        for shift in (1, 2, 4, 7):
            with self.subTest(shift=shift):
                self.folder = self.folder / str(shift)
                package = self.package([node("Embedding", ["k"], ["y"], domain="ai.norn", table="t", dim=2)],
                                       [port("k", I64, ["B"])], [port("y", F32, ["B", 2])],
                                       self.file_of(tensors, shift))
                got = self.run_norn(package, {"k": np.array([7, 70, 7], I64)})
                self.assertEqual(got["y"].tolist(), [[3, 4], [1, 2], [3, 4]])

    def test_offsets_of_no_element_are_named(self):
        package = self.package([node("EmbeddingBag", ["v", "o"], ["y"], domain="ai.norn", table="t", dim=2,
                                     mode="sum")], [port("v", I64, ["n"]), port("o", I64, ["M"])],
                               [port("y", F32, ["B", 2])], self.file_of({"rows": np.ones((4, 2), F32)}, 0))
        message = self.run_norn(package, {"v": np.zeros(0, I64), "o": np.zeros(0, I64)})
        self.assertIn("input 'o' makes M 0", message)
        got = self.run_norn(package, {"v": np.zeros(0, I64), "o": np.zeros(1, I64)})
        self.assertEqual(got["y"].shape, (0, 2))


class SlicesFromTheEnd(Scratch):
    """A plan for [-5:-2] says three elements; of fewer than five it is less, and three would be wrong."""

    def test_a_slice_of_too_few_elements_is_refused_and_never_wrong(self):
        for start, end in ((-5, -2), (-3, 2), (-1, 2**63 - 1), (0, -1), (2, -2)):
            nodes = [node("Slice", ["x", "s", "e", "a"], ["t"]), node("Neg", ["t"], ["y"])]
            path = self.save(model_of(nodes, [port("x", F32, ["n", 2])], [port("y", F32, None)],
                                      {"s": I64([start]), "e": I64([end]), "a": I64([0])}))
            for rows in (1, 2, 4, 5, 9):
                with self.subTest(start=start, end=end, rows=rows):
                    x = np.arange(2 * rows, dtype=F32).reshape(rows, 2)
                    got = self.run_norn(path, {"x": x})
                    if isinstance(got, str):
                        self.assertRegex(got, "too small|for these inputs")
                        self.assertTrue(rows < 5 or start == -3)
                    else:
                        np.testing.assert_array_equal(got["y"], -x[start:end])


if __name__ == "__main__":
    sys.exit(unittest.main())
