"""python -m unittest discover -s python/tests -t python"""

import pathlib
import re
import tempfile
import unittest

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from norn import check, export
from norn import package as packages
from norn import safetensors_file

try:
    import torch
except ImportError:
    torch = None

RNG = np.random.default_rng(5)


def run(path, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def model_of(nodes, inputs, outputs, tensors, domains=("",), opset=17):
    graph = helper.make_graph(
        nodes, "test",
        [helper.make_tensor_value_info(*entry) for entry in inputs],
        [helper.make_tensor_value_info(*entry) for entry in outputs],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()])
    versions = {"": opset, packages.DOMAIN: 1}
    opsets = [helper.make_opsetid(domain, versions[domain]) for domain in domains]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


class Scratch(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)


class SplitTables(Scratch):
    """Two Gathers of a large table, one of a small, and a table that a MatMul reads too."""

    def setUp(self):
        super().setUp()
        self.tensors = {
            "user.weight": RNG.standard_normal((400, 8), np.float32),
            "small": RNG.standard_normal((4, 8), np.float32),
            "tied": RNG.standard_normal((400, 8), np.float32),
        }
        nodes = [
            helper.make_node("Gather", ["user.weight", "ids"], ["a"], name="first"),
            helper.make_node("Gather", ["user.weight", "history"], ["b"], name="second"),
            helper.make_node("ReduceSum", ["b", "one"], ["pooled"], keepdims=0),
            helper.make_node("Mod", ["ids", "four"], ["few"]),
            helper.make_node("Gather", ["small", "few"], ["c"]),
            helper.make_node("Gather", ["tied", "ids"], ["d"]),
            helper.make_node("Sum", ["a", "pooled", "c", "d"], ["e"]),
            helper.make_node("Transpose", ["tied"], ["turned"], perm=[1, 0]),
            helper.make_node("MatMul", ["e", "turned"], ["y"]),
        ]
        constants = {"one": np.int64([1]), "four": np.int64(4)}
        self.model = model_of(
            nodes, [("ids", TensorProto.INT64, ["n"]), ("history", TensorProto.INT64, ["n", 3])],
            [("y", TensorProto.FLOAT, ["n", 400])], self.tensors | constants)
        self.feeds = {"ids": RNG.integers(0, 400, 6), "history": RNG.integers(0, 400, (6, 3))}

    def test_only_large_tables_that_gather_alone_reads_are_split(self):
        model, tables = export.split_tables(self.model, table_threshold=4096)
        self.assertEqual(list(tables), ["user"])
        np.testing.assert_array_equal(tables["user"]["rows"], self.tensors["user.weight"])
        kinds = {node.name: (node.domain, node.op_type) for node in model.graph.node if node.name}
        self.assertEqual(kinds["first"], (packages.DOMAIN, "Embedding"))
        self.assertEqual(kinds["second"], (packages.DOMAIN, "Embedding"))
        self.assertEqual({tensor.name for tensor in model.graph.initializer},
                         {"small", "tied", "one", "four"})

    def test_the_original_model_is_left_alone(self):
        before = self.model.SerializeToString(deterministic=True)
        export.split_tables(self.model, table_threshold=0)
        self.assertEqual(self.model.SerializeToString(deterministic=True), before)

    def test_a_package_and_its_standard_twin_score_like_the_original(self):
        onnx.save(self.model, self.folder / "original.onnx")
        names = export.package(self.folder / "original.onnx", self.folder / "1", 4096)
        self.assertEqual(names, ["user"])
        export.to_standard_ops(self.folder / "1", self.folder / "twin.onnx")
        np.testing.assert_array_equal(run(self.folder / "twin.onnx", self.feeds)[0],
                                      run(self.folder / "original.onnx", self.feeds)[0])

    def test_a_table_that_is_an_output_or_gathered_by_column_stays(self):
        nodes = [helper.make_node("Gather", ["w", "ids"], ["y"], axis=1)]
        model = model_of(nodes, [("ids", TensorProto.INT64, ["n"])],
                         [("y", TensorProto.FLOAT, [9, "n"])], {"w": np.ones((9, 9), np.float32)})
        self.assertEqual(export.split_tables(model, 0)[1], {})

    def test_a_second_package_leaves_no_tables_of_the_first(self):
        export.package(self.model, self.folder / "1", 4096)
        export.package(self.model, self.folder / "1", 1 << 30)
        self.assertEqual(list((self.folder / "1" / "tables").iterdir()), [])

    def test_names_of_tables_are_safe_file_names(self):
        self.assertEqual(packages.table_name("emb.3.weight", {}), "emb.3")
        self.assertEqual(packages.table_name("../a b/weight", {}), "a_b_weight")
        self.assertEqual(packages.table_name("x.weight", {"x": 1}), "x_2")
        self.assertEqual(packages.table_name("...", {}), "table")


class StandardOps(Scratch):
    """The rewritten operators against pooling written out in numpy."""

    ROWS = RNG.standard_normal((50, 4), np.float32)
    VALUES = RNG.integers(0, 50, 9)
    OFFSETS = np.int64([0, 3, 3, 4, 9])
    WEIGHTS = RNG.uniform(0.5, 2, 9).astype(np.float32)

    def bag(self, mode, weighted=False, opset=17, tables=None, values=None, **attributes):
        values = self.VALUES if values is None else values
        operands = ["values", "offsets"] + (["weights"] if weighted else [])
        node = helper.make_node("EmbeddingBag", operands, ["y"], name="bag", table="t", dim=4,
                                mode=mode, domain=packages.DOMAIN, **attributes)
        inputs = [("values", TensorProto.INT64, ["nnz"]), ("offsets", TensorProto.INT64, ["b + 1"])]
        feeds = {"values": values, "offsets": self.OFFSETS}
        if weighted:
            inputs.append(("weights", TensorProto.FLOAT, ["nnz"]))
            feeds["weights"] = self.WEIGHTS
        model = model_of([node], inputs, [("y", TensorProto.FLOAT, ["b", 4])], {},
                         ("", packages.DOMAIN), opset)
        packages.write(self.folder / "1", model, tables or {"t": {"rows": self.ROWS}})
        export.to_standard_ops(self.folder / "1", self.folder / "twin.onnx")
        onnx.checker.check_model(str(self.folder / "twin.onnx"))
        return run(self.folder / "twin.onnx", feeds)[0]

    def expected(self, pool, weights=None):
        rows = self.ROWS[self.VALUES] * (1 if weights is None else weights[:, None])
        bags = [rows[a:b] for a, b in zip(self.OFFSETS, self.OFFSETS[1:])]
        return np.stack([pool(bag) if len(bag) else np.zeros(4) for bag in bags])

    def test_sum_mean_and_max_pool_like_numpy_and_empty_bags_are_zero(self):
        for mode, pool in (("sum", np.sum), ("mean", np.mean), ("max", np.max)):
            for opset in (17, 18):
                with self.subTest(mode=mode, opset=opset):
                    wanted = self.expected(lambda bag: pool(bag, axis=0))
                    np.testing.assert_allclose(self.bag(mode, opset=opset), wanted, rtol=1e-6)

    def test_padding_is_not_in_the_bag(self):
        values = np.int64([1, 7, 2, 7, 7, 7, 3, 4, 7])
        bags = [[1, 2], [], [], [3, 4]]
        for mode, pool in (("sum", np.sum), ("mean", np.mean), ("max", np.max)):
            with self.subTest(mode=mode):
                wanted = [pool(self.ROWS[bag], axis=0) if bag else np.zeros(4) for bag in bags]
                got = self.bag(mode, values=values, padding_idx=7)
                np.testing.assert_allclose(got, wanted, rtol=1e-6)

    def test_weights_scale_rows_before_pooling(self):
        wanted = self.expected(lambda bag: bag.sum(axis=0), self.WEIGHTS)
        np.testing.assert_allclose(self.bag("sum", weighted=True), wanted, rtol=1e-5, atol=1e-6)

    def test_a_hashed_table_reads_by_key_and_missing_keys_read_zeros(self):
        keys = RNG.permutation(np.arange(50)) * 1_000_003 - 7
        values = keys[self.VALUES]
        tables = {"t": {"rows": self.ROWS, "keys": keys}}
        wanted = self.expected(lambda bag: bag.sum(axis=0))
        np.testing.assert_allclose(self.bag("sum", tables=tables, values=values), wanted,
                                   rtol=1e-6)
        values[3] = 12345678901
        wanted[2] = 0
        np.testing.assert_allclose(self.bag("sum", tables=tables, values=values), wanted,
                                   rtol=1e-6)

    def test_an_unknown_mode_and_a_missing_table_name_the_culprit(self):
        with self.assertRaisesRegex(ValueError, "node 'bag': mode 'median'"):
            self.bag("median")
        with self.assertRaisesRegex(FileNotFoundError, "t.safetensors"):
            self.bag("sum", tables={"other": {"rows": self.ROWS}})


class SafetensorsFile(Scratch):
    def test_the_reference_library_reads_what_is_written(self):
        import safetensors.numpy

        tensors = {"keys": np.arange(7), "rows": RNG.standard_normal((7, 3), np.float32),
                   "half": np.float16([[1.5]]), "none": np.zeros((0, 4), np.float32)}
        path = self.folder / "t.safetensors"
        size = safetensors_file.write(path, tensors)
        self.assertEqual(size, path.stat().st_size)
        theirs = safetensors.numpy.load_file(path)
        self.assertEqual(set(theirs), set(tensors))
        for name, array in tensors.items():
            np.testing.assert_array_equal(theirs[name], array)
            self.assertEqual(theirs[name].dtype, array.dtype)

    def test_what_the_reference_library_writes_is_read(self):
        import safetensors.numpy

        tensors = {"b": RNG.standard_normal((5, 2)), "a": np.arange(3)}
        path = self.folder / "t.safetensors"
        safetensors.numpy.save_file(tensors, path, {"made": "here"})
        for name, array in safetensors_file.read(path).items():
            np.testing.assert_array_equal(array, tensors[name])

    def test_data_starts_at_a_multiple_of_64_bytes(self):
        path = self.folder / "t.safetensors"
        for length in (1, 20, 50):
            safetensors_file.write(path, {"n" * length: np.zeros(3, np.float32)})
            self.assertEqual((path.stat().st_size - 12) % 64, 0)

    def test_a_cut_file_and_a_foreign_dtype_are_refused(self):
        path = self.folder / "t.safetensors"
        path.write_bytes(b"\xff\xff\0\0\0\0\0\0{}")
        with self.assertRaisesRegex(ValueError, "the header says 65535 bytes"):
            safetensors_file.read(path)
        with self.assertRaisesRegex(ValueError, "complex64"):
            safetensors_file.write(path, {"x": np.zeros(1, np.complex64)})


class NamesOfDims(unittest.TestCase):
    def test_an_example_of_one_row_that_fixed_the_batch_is_refused(self):
        model = model_of([helper.make_node("Identity", ["x"], ["y"])],
                         [("x", TensorProto.FLOAT, [1, 4])], [("y", TensorProto.FLOAT, [1, 4])], {})
        with self.assertRaisesRegex(ValueError, "input 'x' has 1 row .* at least two rows"):
            export._name_batch(model, [np.zeros((1, 4), np.float32)])


@unittest.skipUnless(torch, "torch is not installed")
class FromTorch(Scratch):
    def test_both_exporters_give_a_package_that_scores_like_the_module(self):
        class Ranker(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.item = torch.nn.Embedding(3000, 16)
                self.top = torch.nn.Linear(16, 1)

            def forward(self, item, history):
                x = self.item(item) * self.item(history).sum(1)
                return torch.sigmoid(self.top(x))

        module = Ranker().eval()
        item, history = torch.randint(0, 3000, (4,)), torch.randint(0, 3000, (4, 5))
        for dynamo in (True, False):
            with self.subTest(dynamo=dynamo):
                names = export.from_torch(module, (item, history), self.folder / "1",
                                          input_names=["item", "history"], dynamo=dynamo,
                                          output_names=["score"], table_threshold=1000)
                self.assertEqual(names, ["item"])
                export.to_standard_ops(self.folder / "1", self.folder / "twin.onnx")
                for batch in (1, 9):
                    feeds = {"item": RNG.integers(0, 3000, batch),
                             "history": RNG.integers(0, 3000, (batch, 5))}
                    with torch.no_grad():
                        wanted = module(*(torch.from_numpy(feeds[n]) for n in feeds)).numpy()
                    got = run(self.folder / "twin.onnx", feeds)[0]
                    np.testing.assert_allclose(got, wanted, rtol=1e-5)

    def test_embedding_bags_become_one_node_each_and_pool_like_the_module(self):
        class Bags(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.csr = torch.nn.EmbeddingBag(50, 4, mode="sum", include_last_offset=True)
                self.starts = torch.nn.EmbeddingBag(60, 4, mode="max")
                self.padded = torch.nn.EmbeddingBag(70, 4, mode="mean")
                self.scaled = torch.nn.EmbeddingBag(80, 4, mode="sum", include_last_offset=True)

            def forward(self, values, offsets, weights, starts, padded):
                return (self.csr(values, offsets) + self.starts(values, starts)
                        + self.padded(padded) + self.scaled(values, offsets, weights))

        def example(batch, count):
            cuts = np.sort(RNG.integers(0, count + 1, batch - 1))
            offsets = np.concatenate([[0], cuts, [count]])
            return {"values": RNG.integers(0, 50, count), "offsets": offsets,
                    "weights": RNG.uniform(0.5, 2, count).astype(np.float32),
                    "starts": offsets[:-1].copy(), "padded": RNG.integers(0, 70, (batch, 3))}

        module = Bags().eval()
        feeds = example(5, 17)
        count, free = torch.export.Dim("nnz"), torch.export.Dim.AUTO
        shapes = ({0: count}, {0: free}, {0: count}, {0: free}, {0: free})
        names = export.from_torch(module, [torch.from_numpy(a) for a in feeds.values()],
                                  self.folder / "1", list(feeds), ["y"], dynamic_shapes=shapes)
        self.assertEqual(sorted(names), ["csr", "padded", "scaled", "starts"])
        kinds = [node.op_type for node in packages.Package(self.folder / "1").model().graph.node]
        self.assertEqual(kinds.count("EmbeddingBag"), 4)
        self.assertNotIn("Loop", kinds)
        export.to_standard_ops(self.folder / "1", self.folder / "twin.onnx")
        for batch, count in ((5, 17), (9, 40)):
            feeds = example(batch, count)
            with torch.no_grad():
                wanted = module(*(torch.from_numpy(a) for a in feeds.values())).numpy()
            got = run(self.folder / "twin.onnx", feeds)[0]
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


    class EveryForm(torch.nn.Module if torch else object):
        """One bag read in each form that a caller may have; `tied` bags join a dense input."""

        def __init__(self, mode, padding):
            super().__init__()
            options = {"mode": mode, "padding_idx": padding}
            self.ends = torch.nn.EmbeddingBag(50, 4, include_last_offset=True, **options)
            self.starts = torch.nn.EmbeddingBag(50, 4, **options)
            with torch.no_grad():
                self.starts.weight.copy_(self.ends.weight)

        def forward(self, dense, values, ends, starts, lengths, grid, weights, grid_weights):
            sums = torch.cat([torch.zeros(1, dtype=torch.int64), torch.cumsum(lengths, 0)])
            if self.ends.mode != "sum":
                weights = grid_weights = None
            return (torch.cat([dense, self.ends(values, ends, weights)], 1),
                    self.starts(values, starts, weights), self.ends(values, sums, weights),
                    self.starts(grid, per_sample_weights=grid_weights))

    NAMES = ("dense", "values", "ends", "starts", "lengths", "grid", "weights", "grid_weights")

    @staticmethod
    def every_form_example(lengths):
        lengths, rng = np.int64(lengths), np.random.default_rng(len(lengths))
        ends, count = np.concatenate([[0], np.cumsum(lengths)]), int(lengths.sum())
        batch = len(lengths)
        return (rng.standard_normal((batch, 2), np.float32), rng.integers(0, 9, count), ends,
                ends[:-1].copy(), lengths, rng.integers(0, 9, (batch, 3)),
                rng.uniform(0.5, 2, count).astype(np.float32),
                rng.uniform(0.5, 2, (batch, 3)).astype(np.float32))

    def test_bags_of_every_mode_form_and_padding_score_like_the_module(self):
        """Empty bags first, last and between; bags of padding alone; other sizes than the example's."""
        for mode in ("sum", "mean", "max"):
            for padding in (None, 3):
                with self.subTest(mode=mode, padding=padding):
                    module = self.EveryForm(mode, padding).eval()
                    folder = self.folder / f"{mode}{padding}"
                    example = [torch.from_numpy(a) for a in self.every_form_example([2, 0, 5, 1, 1])]
                    export.from_torch(module, example, folder / "1", self.NAMES, list("abcd"))
                    export.to_standard_ops(folder / "1", folder / "twin.onnx")
                    for lengths in ([0, 3, 0, 0, 1, 70, 0], [4], [0, 0]):
                        arrays = self.every_form_example(lengths)
                        if padding is not None and arrays[1].size:
                            arrays[1][:3] = padding
                        self.assert_scores(folder, module, arrays)

    def test_rows_of_the_outputs_are_the_batch_and_offsets_have_one_more(self):
        module = self.EveryForm("sum", None).eval()
        example = [torch.from_numpy(a) for a in self.every_form_example([2, 0, 5])]
        export.from_torch(module, example, self.folder / "1", self.NAMES, list("abcd"))
        graph = packages.Package(self.folder / "1").model().graph
        first = {info.name: info.type.tensor_type.shape.dim[0].dim_param
                 for info in [*graph.input, *graph.output]}
        for name in ("dense", "starts", "lengths", "grid", *"abcd"):
            self.assertEqual(first[name], "batch", name)
        self.assertEqual(first["ends"], "batch + 1")
        self.assertEqual(first["values"], first["weights"])
        self.assertNotIn("batch", first["values"])

    def test_the_readme_recipe_works_as_it_is_written(self):
        text = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
        recipe = next(part for part in re.findall(r"```python\n(.*?)```", text, re.S) if "class" in part)
        names = {"torch": torch, "export": export}
        exec(recipe.replace('"repository/', f'"{self.folder}/'), names)
        package = packages.Package(self.folder / "ranker" / "1")
        self.assertEqual(package.table("items")["rows"].shape, (60000, 16))
        kinds = [node.op_type for node in package.model().graph.node]
        self.assertEqual(kinds.count("EmbeddingBag"), 1)

    def assert_scores(self, folder, module, arrays):
        with torch.no_grad():
            wanted = [y.numpy() for y in module(*map(torch.from_numpy, arrays))]
        kept = {info.name for info in packages.Package(folder / "1").model().graph.input}
        feeds = {name: a for name, a in zip(self.NAMES, arrays) if name in kept}
        for got, right in zip(run(folder / "twin.onnx", feeds), wanted):
            np.testing.assert_allclose(got, right, rtol=1e-5, atol=1e-6)
        if check.find_norn():
            outputs = check.run_norn(check.find_norn(), folder / "1", feeds)
            for name, right in zip("abcd", wanted):
                np.testing.assert_allclose(outputs[name], right, rtol=1e-5, atol=1e-6)

    def test_sizes_that_are_tied_are_refused_with_the_way_out(self):
        module, free = self.EveryForm("sum", None).eval(), torch.export.Dim.AUTO
        some = [torch.from_numpy(a) for a in self.every_form_example([2, 0, 5])]
        shapes = ({0: torch.export.Dim("batch")}, *({0: free} for _ in some[1:]))
        with self.assertRaisesRegex(ValueError, "leave dynamic_shapes out"):
            export.from_torch(module, some, self.folder / "1", self.NAMES, dynamic_shapes=shapes)

    def test_a_package_that_does_not_score_like_its_module_is_an_error(self):
        """The check runs what was written: here a table that changed on the way."""
        module = torch.nn.Sequential(torch.nn.Embedding(400, 8))
        ids = torch.randint(0, 400, (4,))
        original = export.split_tables

        def damaged(model, threshold):
            model, tables = original(model, threshold)
            tables = {name: {"rows": t["rows"] + 1} for name, t in tables.items()}
            return model, tables

        export.split_tables = damaged
        self.addCleanup(setattr, export, "split_tables", original)
        with self.assertRaisesRegex(RuntimeError, "output '.*' differs by up to 1 "):
            export.from_torch(module, (ids,), self.folder / "1", ["ids"], table_threshold=1000)


if __name__ == "__main__":
    unittest.main()
