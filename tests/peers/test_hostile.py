"""Hostile files: whatever is on disk, `norn` answers with one line that names it, and exit status 1.

Every run has a limit on its address space and on its time, so a crash, an abort, a hang or an
allocation of gigabytes fails the test. NORN_HOSTILE_ROUNDS multiplies the random damage.
"""

import concurrent.futures
import json
import os
import pathlib
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests" / "peers"), str(REPOSITORY), str(REPOSITORY / "python")]

import served  # noqa: E402

ROUNDS = int(os.environ.get("NORN_HOSTILE_ROUNDS", "1"))
ADDRESS_SPACE = 3 << 30
SECONDS = 30
LINE_MAX = 1000
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def limited(norn):
    """Sanitizers reserve terabytes of addresses: only a plain build can be limited."""
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    try:
        plain = subprocess.run([norn, "--version"], capture_output=True, preexec_fn=limit, check=False)
        return limit if plain.returncode == 0 else None
    except OSError:
        return None


def tensor(name, array):
    return onnx.numpy_helper.from_array(np.asarray(array), name)


def value(name, dims, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, dims)


def model_of(nodes, inputs, outputs, initializers=(), functions=()):
    graph = helper.make_graph(nodes, "hostile", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.norn", 1)],
                             ir_version=8, functions=functions)


def tiny():
    """A ranking model in some 600 bytes: a lookup, a product, an activation."""
    rng = np.random.default_rng(7)
    nodes = [helper.make_node("Gather", ["table", "id"], ["vector"], "look", axis=0),
             helper.make_node("Concat", ["vector", "dense"], ["x"], "join", axis=1),
             helper.make_node("Gemm", ["x", "w", "b"], ["y"], "top", transB=1),
             helper.make_node("Sigmoid", ["y"], ["score"], "act")]
    weights = [tensor("table", rng.normal(size=(5, 2)).astype(np.float32)),
               tensor("w", rng.normal(size=(1, 4)).astype(np.float32)), tensor("b", np.zeros(1, np.float32))]
    return model_of(nodes, [value("id", ["batch"], INT64), value("dense", ["batch", 2])],
                    [value("score", ["batch", 1])], weights)


class HostileTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.norn = served.NORN
        if not pathlib.Path(cls.norn).exists():
            raise FileNotFoundError(f"{cls.norn} is not built")
        cls.limit = staticmethod(limited(cls.norn)) if limited(cls.norn) else None
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = pathlib.Path(scratch.name)
        cls.models = served.example_models()

    def setUp(self):
        self.folder = self.scratch / self.id().rsplit(".", 1)[1]
        self.folder.mkdir()

    # ---- running ------------------------------------------------------------------------------------

    def run_norn(self, *arguments):
        return subprocess.run([self.norn, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=SECONDS, preexec_fn=self.limit, check=False)

    def check(self, done, what, may_pass=False, words=(), code=1):
        """Exit status 1 (2: the command line itself) and one line; or 0 where the damage may be harmless."""
        errors = done.stderr.decode(errors="replace")
        what = f"{what}: exit {done.returncode}: {errors[:2000]}"
        if may_pass and done.returncode == 0:
            return
        self.assertEqual(done.returncode, code, what)
        lines = [line for line in errors.splitlines() if not line.startswith("input ")]  # random inputs are told
        self.assertEqual(len(lines), 1, what)
        self.assertRegex(lines[0], r"^norn \w+: .", what)
        self.assertLess(len(lines[0]), LINE_MAX, what)
        for word in words:
            self.assertIn(word, lines[0], what)

    def refuse(self, *arguments, words=()):
        self.check(self.run_norn(*arguments), " ".join(map(str, arguments)), words=words)

    def survive_all(self, cases, arguments_of):
        """cases: (what, path). Damage at random offsets may leave a valid file."""
        def one(case):
            return case[0], self.run_norn(*arguments_of(case[1]))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for what, done in pool.map(one, cases):
                with self.subTest(what):
                    self.check(done, what, may_pass=True)

    def damaged(self, source, seed, flips, cuts, head=None):
        """Files with one byte changed, in the first `head` bytes or anywhere; and files cut short."""
        rng = np.random.default_rng(seed)
        data = source.read_bytes()
        head = min(head or len(data), len(data))
        for i in range(flips * ROUNDS):
            at, bits = int(rng.integers(head)), int(rng.integers(1, 256))
            path = self.folder / f"flip{seed}_{i}{source.suffix}"
            path.write_bytes(data[:at] + bytes([data[at] ^ bits]) + data[at + 1:])
            yield f"{source.name}, byte {at} ^ {bits:#x}", path
        for i in range(cuts * ROUNDS):
            at = int(rng.integers(len(data)))
            path = self.folder / f"cut{seed}_{i}{source.suffix}"
            path.write_bytes(data[:at])
            yield f"{source.name}, cut at {at}", path

    def write_model(self, name, model):
        path = self.folder / name
        path.write_bytes(model.SerializeToString())
        return path

    def refuse_model(self, name, model, *words):
        path = self.write_model(f"{name}.onnx", model)
        with self.subTest(name):
            self.refuse("run", path, words=words)

    # ---- ONNX files -----------------------------------------------------------------------------------

    def test_damaged_onnx_files(self):
        small = self.write_model("tiny.onnx", tiny())
        cases = list(self.damaged(small, 1, 150, 30))
        for seed, name in enumerate(("dcn_v2", "din_dynamo", "mmoe")):
            cases += self.damaged(self.models / f"{name}.onnx", 10 + seed, 15, 5, head=4000)
        self.survive_all(cases, lambda path: ("run", path))

    def test_what_is_no_model(self):
        (self.folder / "empty.onnx").touch()
        (self.folder / "text.onnx").write_text("this is no model\n" * 10)
        (self.folder / "ones.onnx").write_bytes(b"\xff" * 5000)
        (self.folder / "zeros.onnx").write_bytes(b"\0" * 5000)
        (self.folder / "folder.onnx").mkdir()
        for name in ("empty.onnx", "text.onnx", "ones.onnx", "zeros.onnx", "folder.onnx", "missing.onnx", "missing.norn"):
            for command in (("run",), ("compile", "-o", self.folder / "o.norn"), ("bench",)):
                with self.subTest(name, command=command[0]):
                    self.refuse(*command, self.folder / name, words=(name,))
        self.refuse("check", self.folder / "nowhere", words=("nowhere",))
        self.refuse("check", self.folder, words=(self.folder.name,))

    def test_nesting_deeper_than_any_model(self):
        then = helper.make_graph([helper.make_node("Identity", ["x"], ["deep_y"])], "inner", [],
                                 [value("deep_y", [1])])
        for depth in range(7):
            node = helper.make_node("If", ["c"], [f"y{depth}"], f"if{depth}", then_branch=then, else_branch=then)
            then = helper.make_graph([node], f"g{depth}", [], [value(f"y{depth}", [1])])
        model = model_of([helper.make_node("If", ["c"], ["y"], "outer", then_branch=then, else_branch=then)],
                         [value("c", [], TensorProto.BOOL), value("x", [1])], [value("y", [1])])
        path = self.write_model("nested.onnx", model)
        self.check(self.run_norn("run", path), "nested", may_pass=True)
        # by hand: groups inside groups, 100 000 deep, as field 7 (graph) of field 7 ...
        body = b""
        for _ in range(20000):
            body = b"\x3a" + varint(len(body)) + body
            if len(body) > 200000:
                break
        deep = self.folder / "deep.onnx"
        deep.write_bytes(body)
        self.refuse("run", deep)
        attribute = chain_of_subgraphs(3000)
        deep.write_bytes(attribute)
        self.refuse("run", deep)

    def test_wrong_graphs(self):
        x, y = value("x", ["batch", 4]), value("y", None)
        node = helper.make_node
        w = tensor("w", np.ones((3, 2), np.float32))
        self.refuse_model("cycle", model_of([node("Add", ["x", "b"], ["a"], "one"), node("Relu", ["a"], ["b"], "two")],
                                            [x], [value("b", None)]), "one")
        self.refuse_model("self", model_of([node("Relu", ["y"], ["y"], "self")], [x], [y]), "self")
        self.refuse_model("missing_input", model_of([node("Add", ["x", "ghost"], ["y"], "adder")], [x], [y]),
                          "adder", "ghost")
        self.refuse_model("missing_output", model_of([node("Relu", ["x"], ["z"], "act")], [x], [y]), "y")
        self.refuse_model("duplicate", model_of([node("Relu", ["x"], ["y"], "first"), node("Abs", ["x"], ["y"], "second")],
                                                [x], [y]), "second", "y")
        self.refuse_model("input_twice", model_of([node("Relu", ["x"], ["y"])], [x, x], [y]), "x")
        self.refuse_model("weight_twice", model_of([node("MatMul", ["x", "w"], ["y"])], [x], [y], [w, w]), "w")
        self.refuse_model("wrong_rows", model_of([node("MatMul", ["x", "w"], ["y"], "product")], [x], [y], [w]), "product")
        self.refuse_model("wrong_rank", model_of([node("Gemm", ["x", "w3"], ["y"], "top")], [x], [y],
                                                 [tensor("w3", np.ones((2, 4, 2), np.float32))]), "top")
        self.refuse_model("wrong_dtype", model_of([node("Add", ["x", "i"], ["y"], "sum")], [x], [y],
                                                  [tensor("i", np.ones(4, np.int64))]), "sum")
        self.refuse_model("too_few", model_of([node("MatMul", ["x"], ["y"], "half")], [x], [y]), "half")
        self.refuse_model("no_such_operator", model_of([node("Frobnicate", ["x"], ["y"], "frob")], [x], [y]),
                          "frob", "Frobnicate")
        self.refuse_model("no_such_domain", model_of([node("Relu", ["x"], ["y"], "own", domain="com.example")], [x], [y]),
                          "own", "com.example")
        self.refuse_model("bad_axis", model_of([node("Softmax", ["x"], ["y"], "soft", axis=9)], [x], [y]), "soft")
        self.refuse_model("bad_perm", model_of([node("Transpose", ["x"], ["y"], "turn", perm=[0, 7])], [x], [y]), "turn")
        self.refuse_model("bad_reshape", model_of([node("Reshape", ["x", "to"], ["y"], "shape")], [x], [y],
                                                  [tensor("to", np.array([-1, -1]))]), "shape")
        self.refuse_model("no_outputs", model_of([node("Relu", ["x"], ["y"])], [x], []), "output")
        self.refuse_model("rank", model_of([node("Relu", ["x"], ["y"])], [value("x", [1] * 40)], [y]), "x")
        said = model_of([node("Relu", ["x"], ["y"], "act")], [x], [value("y", [7, 9, 9])])
        done = self.run_norn("run", self.write_model("wrong_output_shape.onnx", said))  # a claim, not needed to run
        self.assertIn(b"'y'", done.stderr)

    def test_shapes_that_are_no_integers(self):
        """A shape that only the run knows, of a type or rank that is none: found by random graphs of one node."""
        y = value("y", None)
        for op, kind, dims in (("Reshape", FLOAT, [3]), ("Squeeze", INT64, [3, 2]), ("Unsqueeze", FLOAT, [3]),
                               ("Expand", FLOAT, [3]), ("Reshape", INT64, [2, 2])):
            model = model_of([helper.make_node(op, ["x", "to"], ["y"], "shape")],
                             [value("x", [3, 2]), value("to", dims, kind)], [y])
            self.refuse_model(f"{op}_{kind}", model, "shape")

    def test_names_cannot_write_lines_of_their_own(self):
        node = helper.make_node("Frobnicate", ["x"], ["y"], "a\nnorn run: all is well\x1b[2J")
        self.refuse_model("newline", model_of([node], [value("x", [1])], [value("y", None)]), "Frobnicate")

    def test_a_function_that_calls_itself(self):
        body = [helper.make_node("Self", ["a"], ["b"], "again", domain="own")]
        function = helper.make_function("own", "Self", ["a"], ["b"], body, [helper.make_opsetid("own", 1)])
        model = model_of([helper.make_node("Self", ["x"], ["y"], "call", domain="own")], [value("x", [1])],
                         [value("y", None)], functions=[function])
        model.opset_import.append(helper.make_opsetid("own", 1))
        self.refuse_model("recursion", model, "call", "deep")

    def test_wrong_weights(self):
        x, y = value("x", ["batch", 4]), value("y", None)

        def with_weight(**fields):
            weight = TensorProto(name="w", data_type=FLOAT, dims=[4, 2])
            weight.raw_data = b"\0" * 32
            for key, content in fields.items():
                weight.ClearField(key)
                if isinstance(content, list):
                    getattr(weight, key).extend(content)
                else:
                    setattr(weight, key, content)
            return model_of([helper.make_node("MatMul", ["x", "w"], ["y"], "product")], [x], [y], [weight])

        self.refuse_model("short", with_weight(raw_data=b"\0" * 31), "w")
        self.refuse_model("long", with_weight(raw_data=b"\0" * 33), "w")
        self.refuse_model("none", with_weight(raw_data=b""), "w")
        self.refuse_model("huge", with_weight(dims=[1 << 40, 1 << 40]), "w")
        self.refuse_model("wraps", with_weight(dims=[1 << 62, 4]), "w")
        self.refuse_model("negative", with_weight(dims=[-4, 2]), "w")
        self.refuse_model("gigabytes", with_weight(dims=[1 << 20, 1 << 14]), "w")
        self.refuse_model("type", with_weight(data_type=99), "w")
        self.refuse_model("rank", with_weight(dims=[1] * 30 + [8]), "w")

    def test_external_data_stays_in_its_folder(self):
        outside = self.scratch / "outside.bin"
        outside.write_bytes(b"\0" * 64)
        (self.folder / "short.bin").write_bytes(b"\0" * 16)
        (self.folder / "good.bin").write_bytes(b"\0" * 64)
        (self.folder / "link.bin").symlink_to(outside)
        (self.folder / "loop.bin").symlink_to(self.folder / "loop.bin")
        (self.folder / "dir.bin").mkdir()

        def external(name, **more):
            weight = TensorProto(name="weight", data_type=FLOAT, dims=[4, 2], data_location=TensorProto.EXTERNAL)
            for key, text in {"location": name, **more}.items():
                entry = weight.external_data.add()
                entry.key, entry.value = key, str(text)
            return model_of([helper.make_node("MatMul", ["x", "weight"], ["y"], "product")],
                            [value("x", ["batch", 4])], [value("y", None)], [weight])

        good = self.write_model("good.onnx", external("good.bin"))
        self.assertEqual(self.run_norn("run", good).returncode, 0)
        for number, (name, more) in enumerate([
                ("../outside.bin", {}), (str(outside), {}), ("/etc/passwd", {}), ("missing.bin", {}), ("short.bin", {}),
                ("sub/../../outside.bin", {}), ("", {}), (".", {}), ("dir.bin", {}), ("loop.bin", {}),
                ("good.bin", {"offset": 60}), ("good.bin", {"offset": -4}), ("good.bin", {"offset": "x"}),
                ("good.bin", {"offset": 1 << 63}), ("good.bin", {"length": 8}), ("good.bin", {"length": 1 << 62}),
                ("good.bin", {"offset": (1 << 64) - 16, "length": 32})]):
            path = self.write_model(f"external{number}.onnx", external(name, **more))
            with self.subTest(name, **more):
                self.refuse("run", path, words=("weight",))

    def test_constants_of_gigabytes(self):
        y = value("y", None)
        node = helper.make_node
        x = value("x", [1])

        def grows(name, op, initializers, inputs, *words):
            nodes = [node(op, inputs, ["big"], "grower"), node("ReduceSum", ["big"], ["total"], keepdims=0),
                     node("Cast", ["total"], ["real"], to=FLOAT), node("Add", ["real", "x"], ["y"])]
            path = self.write_model(f"{name}.onnx", model_of(nodes, [x], [y], initializers))
            with self.subTest(name):
                self.refuse("run", path, words=words)

        one = tensor("one", np.ones(1, np.float32))
        for name, dims in {"terabytes": [1 << 20, 1 << 20], "overflow": [1 << 40, 1 << 40], "negative": [-5],
                           "gigabytes": [1 << 16, 1 << 16]}.items():
            dims = tensor("dims", np.array(dims, np.int64))
            grows(f"fill_{name}", "ConstantOfShape", [dims], ["dims"], "grower")
            grows(f"expand_{name}", "Expand", [one, dims], ["one", "dims"], "grower")
            square = tensor("square", np.ones([1] * dims.dims[0], np.float32))
            grows(f"tile_{name}", "Tile", [square, dims], ["square", "dims"], "grower")
        scalar = lambda name, number: tensor(name, np.array(number, np.int64))  # noqa: E731
        grows("range", "Range", [scalar("a", 0), scalar("b", 1 << 60), scalar("c", 1)], ["a", "b", "c"], "grower")
        grows("range_still", "Range", [scalar("a", 0), scalar("b", 10), scalar("c", 0)], ["a", "b", "c"], "grower")
        grows("pad", "Pad", [one, tensor("pads", np.array([1 << 40, 1 << 40]))], ["one", "pads"], "grower")
        grows("one_hot", "OneHot", [scalar("i", 3), scalar("depth", 1 << 50), tensor("v", np.array([0, 1], np.float32))],
              ["i", "depth", "v"], "grower")

    def test_sizes_that_depend_on_the_input(self):
        nodes = [helper.make_node("ConstantOfShape", ["n"], ["big"], "grower"),
                 helper.make_node("ReduceSum", ["big"], ["y"], keepdims=0)]
        path = self.write_model("grow.onnx", model_of(nodes, [value("n", [2], INT64)], [value("y", [])]))
        for dims in ([1 << 20, 1 << 20], [1 << 40, 1 << 40], [-1, 3], [1 << 62, 1 << 62]):
            np.save(self.folder / "n.npy", np.array(dims, np.int64))
            with self.subTest(dims):
                self.refuse("run", path, "--input", f"n={self.folder / 'n.npy'}", words=("grower",))
        node = helper.make_node("Range", ["a", "b", "c"], ["y"], "counter")
        path = self.write_model("range.onnx", model_of([node], [value(n, [], INT64) for n in "abc"], [value("y", None, INT64)]))
        for a, b, c in ((0, 1 << 62, 1), (0, 5, 0), (-(1 << 63), (1 << 63) - 1, 1)):
            for name, number in zip("abc", (a, b, c)):
                np.save(self.folder / f"{name}.npy", np.array(number, np.int64))
            with self.subTest((a, b, c)):
                self.refuse("run", path, "--input-dir", self.folder, words=("counter",))

    def test_zero_dims_run(self):
        x = value("x", ["batch", 0])
        model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"], "empty")], [x], [value("y", ["batch", 3])],
                         [tensor("w", np.zeros((0, 3), np.float32))])
        path = self.write_model("zero.onnx", model)
        done = self.run_norn("run", path, "--batch", "2", "--output-dir", self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        np.testing.assert_array_equal(np.load(self.folder / "y.npy"), np.zeros((2, 3), np.float32))
        none = self.run_norn("run", self.write_model("tiny.onnx", tiny()), "--batch", "0", "--output-dir", self.folder)
        self.check(none, "batch 0", code=2, words=("--batch",))

    def test_shapes_on_the_command_line(self):
        path = self.write_model("tiny.onnx", tiny())
        self.refuse("run", path, "--shapes", "id:99999999999,dense:99999999999x2")
        self.refuse("run", path, "--shapes", "id:9223372036854775807,dense:9223372036854775807x2")
        self.refuse("run", path, "--shapes", "id:2,dense:3x2", words=("id",))
        self.refuse("run", path, "--shapes", "nobody:2", words=("nobody",))
        np.save(self.folder / "three.npy", np.zeros((3, 2), np.float32))
        np.save(self.folder / "two.npy", np.zeros(2, np.int64))
        self.refuse("run", path, "--input", f"id={self.folder / 'two.npy'}", "--input", f"dense={self.folder / 'three.npy'}")
        self.refuse("run", path, "--max-shapes", "id:1,dense:1x2", "--min-shapes", "id:5,dense:5x2")
        huge = self.run_norn("compile", path, "-o", self.folder / "huge.norn", "--max-batch", "4611686018427387904")
        self.check(huge, "--max-batch", code=2, words=("--max-batch",))
        self.refuse("compile", path, "-o", self.folder / "no" / "such" / "folder.norn", words=("folder.norn",))
        self.check(self.run_norn("run", path, "--device", "tpu"), "--device", code=2, words=("tpu",))
        self.refuse("run", path, "--batch-dim", "nobody:0", words=("nobody",))

    # ---- plans ----------------------------------------------------------------------------------------

    def test_damaged_plans(self):
        model, plan = self.write_model("tiny.onnx", tiny()), self.folder / "tiny.norn"
        self.assertEqual(self.run_norn("compile", model, "-o", plan).returncode, 0)
        data = bytearray(plan.read_bytes())
        cases = []

        def flip(at, bits):
            path = self.folder / f"plan{at}_{bits}.norn"
            data[at] ^= bits
            path.write_bytes(data)
            data[at] ^= bits
            cases.append((f"plan byte {at} ^ {bits:#x}", path))

        for at in range(0, 192, 1 if ROUNDS > 1 else 2):
            flip(at, 0xff if at % 2 else 0x01)
        filled = [at for at in range(192, len(data)) if data[at]]
        rng = np.random.default_rng(3)
        for at in rng.choice(filled, 150 * ROUNDS):
            flip(int(at), int(rng.integers(1, 256)))
        cases += self.damaged(plan, 5, 10, 30)
        self.survive_all(cases, lambda path: ("run", path))

    def test_a_plan_given_as_an_input_is_refused(self):
        model, plan = self.write_model("tiny.onnx", tiny()), self.folder / "tiny.norn"
        self.assertEqual(self.run_norn("compile", model, "-o", plan).returncode, 0)
        done = self.run_norn("run", plan, "--input", f"id={plan}")
        self.check(done, "a plan as an input", words=("tiny.norn",))

    # ---- safetensors ------------------------------------------------------------------------------------

    def package(self, table_bytes=None, config=None, keep=("emb.0.safetensors",)):
        """A copy of the dlrm package with another table file or norn.json."""
        folder = self.folder / f"package{len(list(self.folder.iterdir()))}"
        shutil.copytree(self.models / "repository" / "dlrm" / "1", folder)
        if table_bytes is not None:
            (folder / "tables" / keep[0]).write_bytes(table_bytes)
        if config is not None:
            (folder / "norn.json").write_bytes(config)
        return folder

    def test_wrong_tables(self):
        source = sorted((self.models / "repository" / "dlrm" / "1" / "tables").glob("*.safetensors"))[0]
        good = source.read_bytes()
        size = struct.unpack("<Q", good[:8])[0]
        header, data = json.loads(good[8:8 + size]), good[8 + size:]
        name = next(key for key in header if key != "__metadata__")
        entry = header[name]

        def build(text, content=data):
            text = text if isinstance(text, bytes) else json.dumps(text).encode()
            return struct.pack("<Q", len(text)) + text + content

        def changed(**fields):
            return build({**header, name: {**entry, **fields}})

        text = json.dumps(header)
        cases = {
            "empty": b"", "seven": good[:7], "length_huge": struct.pack("<Q", 1 << 63) + good[8:],
            "length_long": struct.pack("<Q", len(good)) + good[8:], "length_zero": struct.pack("<Q", 0) + good[8:],
            "length_wraps": struct.pack("<Q", (1 << 64) - 8) + good[8:], "cut": good[:-4], "cut_header": good[:8 + size // 2],
            "no_json": build(b"\xff" * 100), "list": build(b"[1,2]"), "deep": build(b"[" * 100000),
            "begin_after_end": changed(data_offsets=[100, 0]), "past_end": changed(data_offsets=[0, len(data) + 4]),
            "negative": changed(data_offsets=[-4, len(data)]), "three": changed(data_offsets=[0, 4, 8]),
            "no_offsets": build({name: {"dtype": "F32", "shape": [1]}}), "dtype": changed(dtype="F31"),
            "shape_huge": changed(shape=[1 << 60, 1 << 60]), "shape_negative": changed(shape=[-1, 4]),
            "shape_wrong": changed(shape=[entry["shape"][0], entry["shape"][1] + 1]),
            "rank": changed(shape=[1] * 50), "shape_text": changed(shape="many"),
            "wrong_dim": build({name: {"dtype": "F32", "shape": [1, 4], "data_offsets": [0, 16]}}, b"\0" * 16),
            "no_rows": build({name: {"dtype": "F32", "shape": [0, entry["shape"][1]], "data_offsets": [0, 0]}}, b""),
            "int_rows": build({name: {"dtype": "I64", "shape": [1, entry["shape"][1]],
                                      "data_offsets": [0, 8 * entry["shape"][1]]}}, b"\0" * 8 * entry["shape"][1]),
            "overlap": build({name: entry, "other": {"dtype": "U8", "shape": [64], "data_offsets": [0, 64]}}),
            "hole": build({name: {**entry, "data_offsets": [4, len(data) + 4]}}, b"\0" * 4 + data),
            "twice": build((text[:-1] + ", " + json.dumps({name: entry})[1:]).encode()),
            "no_rows_tensor": build({"keys": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}, b"\0" * 8),
        }
        for what, table in cases.items():
            with self.subTest(what):
                package = self.package(table, keep=(source.name,))
                done = self.run_norn("run", package)
                # Some writers align their data: bytes that belong to no tensor are passed over.
                self.check(done, what, words=(source.stem,), may_pass=what == "hole")
        with self.subTest("missing"):
            package = self.package()
            (package / "tables" / source.name).unlink()
            self.refuse("run", package, words=(source.stem,))
        self.survive_all([(what, self.package(path.read_bytes(), keep=(source.name,)))
                          for what, path in self.damaged(source, 21, 25, 5, head=8 + size)],
                         lambda path: ("run", path))

    def test_duplicated_and_unsorted_keys(self):
        rows = np.zeros((3, 4), np.float32).tobytes()
        folder = self.folder / "hashed"
        (folder / "tables").mkdir(parents=True)
        node = helper.make_node("Embedding", ["id"], ["y"], "look", domain="ai.norn", table="users", dim=4)
        model = model_of([node], [value("id", ["batch"], INT64)], [value("y", ["batch", 4])])
        (folder / "model.onnx").write_bytes(model.SerializeToString())

        def table(keys):
            keys = np.array(keys, np.int64).tobytes()
            text = json.dumps({"rows": {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, len(rows)]},
                               "keys": {"dtype": "I64", "shape": [len(keys) // 8],
                                        "data_offsets": [len(rows), len(rows) + len(keys)]}}).encode()
            text += b" " * (-len(text) % 8)
            (folder / "tables" / "users.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + rows + keys)

        table([7, 5, -3])
        self.assertEqual(self.run_norn("run", folder).returncode, 0, self.run_norn("run", folder).stderr)
        for keys in ([7, 5, 7], [1, 2], [1, 2, 3, 4], []):
            table(keys)
            with self.subTest(keys):
                self.refuse("run", folder, words=("users",))

    # ---- configurations and inputs ------------------------------------------------------------------------

    def test_wrong_configurations(self):
        cases = {b"": None, b"{": None, b"[]": None, b"nonsense": None, b"{" * 100000: None, b'{"a":' * 50000: None,
                 b'{"inputs": {"nobody": {"batch": "user"}}}': "nobody", b'{"inputs": []}': "inputs",
                 b'{"batching": {"max_batch": -1}}': "max_batch", b'{"batching": {"max_batch": 1e99}}': "max_batch",
                 b'{"batching": {"max_delay_us": 99999999999999999999}}': "max_delay_us",
                 b'{"instances": 1000000}': "instances", b'{"device": "tpu"}': "tpu", b'{"precision": "fp3"}': "fp3",
                 b'{"profile": {"max": {"dense": [1,2,3,4,5,6,7,8,9,10]}}}': "dense", b'{"colour": "red"}': "colour",
                 b'{"profile": {"max": {"nobody": [4]}}}': "nobody", b'\xff\xfe{}': None, b'{} {}': None,
                 b'{"profile": {"max_batch": 99999999999}}': "max_batch",
                 b'{"tables": {"nobody": {"missing": "error"}}}': "nobody", b'{"device": "\\ud800"}': None}
        for text, word in cases.items():
            with self.subTest(text[:60]):
                self.refuse("check", self.package(config=text), words=("norn.json",) if word is None else (word,))

    def test_wrong_input_files(self):
        model = self.write_model("tiny.onnx", tiny())
        good = self.folder / "dense.npy"
        np.save(good, np.zeros((1, 2), np.float32))
        data = good.read_bytes()
        header = data[:data.index(b"\n")]
        cases = {"empty": b"", "magic": b"NUMPY" + data[5:], "version": data[:6] + b"\x09" + data[7:],
                 "cut": data[:-1], "cut_header": data[:20], "long_header": data[:8] + b"\xff\xff" + data[10:],
                 "huge": header.replace(b"(1, 2)", b"(99999999999, 99999999999)") + b"\n",
                 "negative": data.replace(b"(1, 2)", b"(-1,-2)"), "object": data.replace(b"<f4", b"|O8"),
                 "dtype": data.replace(b"<f4", b"<i4"), "rank": data.replace(b"(1, 2)", b"(2,  )")}
        for what, content in cases.items():
            bad = self.folder / "bad.npy"
            bad.write_bytes(content)
            with self.subTest(what):
                self.refuse("run", model, "--input", f"dense={bad}", words=("dense",) if what in ("dtype", "rank") else ("bad.npy",))
        self.survive_all(list(self.damaged(good, 31, 20, 10)), lambda path: ("run", model, "--input", f"dense={path}"))
        self.refuse("run", model, "--input", f"nobody={good}", words=("nobody",))
        self.refuse("run", model, "--input", f"dense={self.folder / 'no.npy'}", words=("no.npy",))
        np.save(self.folder / "id.npy", np.array([1 << 40]))
        self.refuse("run", model, "--input", f"id={self.folder / 'id.npy'}", words=(str(1 << 40),))


def varint(number):
    out = b""
    while True:
        number, low = number >> 7, number & 0x7f
        out += bytes([low | (0x80 if number else 0)])
        if not number:
            return out


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def chain_of_subgraphs(depth):
    """A ModelProto whose one node holds a graph whose one node holds a graph ..."""
    graph = b""
    for _ in range(depth):
        attribute = field(1, b"then_branch") + field(6, graph) + varint(20 << 3) + varint(5)
        graph = field(1, field(4, b"If") + field(5, attribute))
    return varint(1 << 3) + varint(8) + field(7, graph) + field(8, varint(2 << 3) + varint(17))


if __name__ == "__main__":
    unittest.main()
