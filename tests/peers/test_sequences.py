"""Sequences and optionals inside a model, against onnxruntime through `norn run`: every operator, every element
type and rank that they carry, through Loop, Scan and If, and what must be refused with a reason."""

import unittest

import numpy as np
from onnx import TensorProto, helper

from test_shapes import F32, I64, Scratch, body_of, model_of, node, port, reference

sequence = helper.make_tensor_sequence_value_info


class Sequences(Scratch):
    def check(self, nodes, feeds, outputs, constants=None, opset=18, **kinds):
        """Outputs by name -> (dtype, dims); each as onnxruntime has it."""
        feeds = {name: np.asarray(array) for name, array in feeds.items()}
        inputs = [port(name, array.dtype, kinds.get(name, [f"{name}{d}" for d in range(array.ndim)]))
                  for name, array in feeds.items()]
        model = model_of(nodes, inputs, [port(n, t, d) for n, (t, d) in outputs.items()], constants, opset)
        wanted = reference(model, feeds)
        got = self.run_norn(self.save(model), feeds)
        self.assertIsInstance(got, dict, got)
        for name in outputs:
            np.testing.assert_array_equal(got[name], wanted[name])
            self.assertEqual(got[name].dtype, wanted[name].dtype)
            self.assertEqual(got[name].shape, wanted[name].shape)

    def refused(self, nodes, feeds, reason, constants=None, output=("y", F32, None)):
        inputs = [port(n, a.dtype, [f"{n}{d}" for d in range(a.ndim)]) for n, a in feeds.items()]
        model = model_of(nodes, inputs, [port(*output)], constants)
        got = self.run_norn(self.save(model), feeds)
        self.assertIsInstance(got, str)
        self.assertRegex(got, reason)

    def test_tensors_of_several_shapes_go_in_and_come_out_at_every_position(self):
        a, b, c = (np.arange(n, dtype=F32).reshape(s) for n, s in ((6, (2, 3)), (4, (4,)), (1, ())))
        build = [node("SequenceConstruct", ["a", "b"], ["s0"])]
        for at in (-2, -1, 0, 1, 2):
            for take in (-3, -1, 0, 1, 2):
                with self.subTest(inserted=at, taken=take):
                    self.check([*build, node("SequenceInsert", ["s0", "c", "at"], ["s1"]),
                                node("SequenceAt", ["s1", "take"], ["y"]),
                                node("SequenceErase", ["s1", "take"], ["s2"]),
                                node("SequenceAt", ["s2", "first"], ["z"]),
                                node("SequenceLength", ["s2"], ["n"])],
                               {"a": a, "b": b, "c": c},
                               {"y": (F32, None), "z": (F32, None), "n": (I64, [])},
                               {"at": I64(at), "take": np.int32(take), "first": I64(0)})

    def test_every_element_type_is_carried(self):
        for dtype in (np.float32, np.float64, np.float16, np.int64, np.int32, np.int8, np.uint8, np.bool_):
            x = (np.arange(10).reshape(5, 2) % 3).astype(dtype)
            with self.subTest(dtype=dtype):
                kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
                self.check([node("SequenceEmpty", [], ["s"], dtype=kind),
                            node("SequenceInsert", ["s", "x"], ["s1"]),
                            node("SequenceInsert", ["s1", "x"], ["s2"]),
                            node("ConcatFromSequence", ["s2"], ["y"], axis=-1)],
                           {"x": x}, {"y": (dtype, None)})

    def test_a_tensor_is_split_along_every_axis_and_joined_again(self):
        x = np.arange(5 * 4 * 6, dtype=F32).reshape(5, 4, 6)
        for axis in (0, 1, 2, -1, -3):
            length = x.shape[axis]
            for split in (None, I64(1), I64(2), I64(9), I64([1] * length), I64([length - 1, 0, 1])):
                with self.subTest(axis=axis, split=None if split is None else split.tolist()):
                    feeds = {"x": x} if split is None else {"x": x, "k": split}
                    self.check([node("SplitToSequence", list(feeds), ["s"], axis=axis),
                                node("ConcatFromSequence", ["s"], ["y"], axis=axis),
                                node("SequenceLength", ["s"], ["n"]),
                                node("SequenceAt", ["s", "last"], ["z"])],
                               feeds, {"y": (F32, None), "n": (I64, []), "z": (F32, None)},
                               {"last": I64(-1)})

    def test_parts_without_the_split_axis_are_stacked_along_any_other(self):
        x = np.arange(24, dtype=np.int32).reshape(3, 4, 2)
        for axis in (0, 1, 2):
            for new in (0, 1, 2, -1):
                with self.subTest(axis=axis, new=new):
                    self.check([node("SplitToSequence", ["x"], ["s"], axis=axis, keepdims=0),
                                node("ConcatFromSequence", ["s"], ["y"], axis=new, new_axis=1)],
                               {"x": x}, {"y": (np.int32, None)})

    def bag_loop(self, trips="n"):
        """Rows [i * i, ...) of a sequence carried by a Loop, an If in its body that adds or erases."""
        grow = body_of("grow", [node("Reshape", ["i", "one"], ["v"]), node("Tile", ["v", "k1"], ["w"]),
                                node("SequenceInsert", ["s", "w"], ["a"])], [], [sequence("a", TensorProto.INT64, None)])
        drop = body_of("drop", [node("SequenceErase", ["s", "first"], ["b"])], [],
                       [sequence("b", TensorProto.INT64, None)])
        body = body_of("body", [node("Add", ["i", "two"], ["k"]), node("Reshape", ["k", "one"], ["k1"]),
                                node("Mod", ["i", "three"], ["m"]), node("Less", ["m", "two"], ["odd"]),
                                node("If", ["odd"], ["s2"], then_branch=grow, else_branch=drop),
                                node("SequenceLength", ["s2"], ["count"]), node("Identity", ["c"], ["c2"])],
                       [port("i", I64, []), port("c", bool, []), sequence("s", TensorProto.INT64, None)],
                       [port("c2", bool, []), sequence("s2", TensorProto.INT64, None), port("count", I64, [])])
        return [node("SequenceEmpty", [], ["s0"], dtype=TensorProto.INT64),
                node("SequenceInsert", ["s0", "x"], ["s1"]),
                node("Loop", [trips, "", "s1"], ["s9", "counts"], body=body),
                node("ConcatFromSequence", ["s9"], ["y"], axis=0)]

    def test_a_loop_carries_a_sequence_that_grows_and_shrinks(self):
        for trips in (0, 1, 2, 3, 4, 30):
            with self.subTest(trips=trips):
                self.check(self.bag_loop(), {"n": I64(trips), "x": I64([7, 8])},
                           {"y": (I64, None), "counts": (I64, ["t"])},
                           {"one": I64([1]), "two": I64(2), "three": I64(3), "first": I64(0)})

    def test_optionals_say_what_they_have(self):
        empty = body_of("empty", [node("Identity", ["zeros"], ["e"])], [], [port("e", F32, None)])
        full = body_of("full", [node("OptionalGetElement", ["o"], ["f"])], [], [port("f", F32, None)])
        self.check([node("Optional", ["x"], ["o"]), node("OptionalHasElement", ["o"], ["h"]),
                    node("If", ["h"], ["y"], then_branch=full, else_branch=empty)],
                   {"x": F32([1, 2])}, {"y": (F32, None), "h": (bool, [])}, {"zeros": F32([0])})

    def test_sequence_map_runs_its_body_on_each_with_whole_tensors_beside(self):
        body = body_of("body", [node("Mul", ["a", "w"], ["p"]), node("Shape", ["a"], ["q"])],
                       [port("a", F32, ["n"]), port("w", F32, [1])], [port("p", F32, ["n"]), port("q", I64, [1])])
        self.check([node("SplitToSequence", ["x", "k"], ["s"], axis=0),
                    node("SequenceMap", ["s", "w"], ["t", "u"], body=body),
                    node("ConcatFromSequence", ["t"], ["y"], axis=0),
                    node("ConcatFromSequence", ["u"], ["z"], axis=0)],
                   {"x": np.arange(7, dtype=F32), "w": F32([3])}, {"y": (F32, None), "z": (I64, None)},
                   {"k": I64([3, 0, 4])})

    def test_what_cannot_be_is_refused_with_a_reason_and_the_node(self):
        x, pair = {"x": F32([[1, 2], [3, 4]])}, [node("SequenceConstruct", ["x", "x"], ["s"])]
        self.refused([*pair, node("SequenceAt", ["s", "i"], ["y"], name="pick")], x,
                     "'pick': position 2 is outside a sequence of 2", {"i": I64(2)})
        self.refused([*pair, node("SequenceErase", ["s", "i"], ["t"]), node("ConcatFromSequence", ["t"], ["y"], axis=0)],
                     x, "position -3 is outside", {"i": I64(-3)})
        self.refused([*pair, node("ConcatFromSequence", ["s"], ["y"], axis=2, name="join")], x, "'join': (its axis|axis 2) is outside rank 2")
        self.refused([*pair, node("Relu", ["s"], ["y"], name="act")], x,
                     r"'act' \(Relu\): input 0 is a sequence of float32; it takes tensors only")
        self.refused([node("SequenceEmpty", [], ["s"]), node("ConcatFromSequence", ["s"], ["y"], axis=0)], x,
                     "the sequence is empty")
        self.refused([node("SplitToSequence", ["x", "k"], ["s"], axis=0, name="cut"),
                      node("ConcatFromSequence", ["s"], ["y"], axis=0)], x, "'cut'", {"k": I64([1, 2])})
        self.refused([node("SequenceConstruct", ["x", "k"], ["s"], name="mix"),
                      node("ConcatFromSequence", ["s"], ["y"], axis=0)], x, "'mix': input 1 is int64", {"k": I64([1])})

    def test_sequences_of_known_tensors_are_taken_apart(self):
        """chunk, stack and lists as exporters write them leave Split, Concat and nothing of sequences."""
        x = np.arange(3 * 7 * 2, dtype=F32).reshape(3, 7, 2)
        constants = {"k": I64(3), "sizes": I64([1, 0, 6]), "first": I64(0), "last": I64(-1), "middle": I64(1)}
        forms = {
            "chunk": [node("SplitToSequence", ["x", "k"], ["s"], axis=1), node("SequenceAt", ["s", "last"], ["a"]),
                      node("SequenceAt", ["s", "middle"], ["b"]), node("Concat", ["a", "b"], ["y"], axis=1)],
            "sizes": [node("SplitToSequence", ["x", "sizes"], ["s"], axis=-2), node("SequenceAt", ["s", "first"], ["a"]),
                      node("SequenceAt", ["s", "last"], ["b"]), node("Concat", ["b", "a"], ["y"], axis=1)],
            "unbind": [node("SplitToSequence", ["x"], ["s"], axis=1, keepdims=0), node("SequenceErase", ["s"], ["t"]),
                       node("ConcatFromSequence", ["t"], ["y"], axis=-1, new_axis=1)],
            "list": [node("SequenceEmpty", [], ["s0"]), node("Neg", ["x"], ["n"]),
                     node("SequenceInsert", ["s0", "x"], ["s1"]), node("SequenceInsert", ["s1", "n", "first"], ["s2"]),
                     node("SequenceLength", ["s2"], ["l"]), node("ConcatFromSequence", ["s2"], ["c"], axis=0),
                     node("Cast", ["l"], ["f"], to=TensorProto.FLOAT), node("Add", ["c", "f"], ["y"])],
        }
        for name, nodes in forms.items():
            with self.subTest(form=name):
                model = model_of(nodes, [port("x", F32, ["B", 7, 2])], [port("y", F32, None)], constants)
                path = self.save(model)
                done = self.norn("compile", path, "-o", self.folder / "p.norn", "--print-after", "pack_weights")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertNotRegex(done.stderr, r" = (Sequence|SplitToSequence|ConcatFromSequence)")
                got = self.run_norn(path, {"x": x})
                self.assertIsInstance(got, dict, got)
                np.testing.assert_array_equal(got["y"], reference(model, {"x": x})["y"])

    def test_a_sequence_at_the_door_is_refused_by_the_command_line_and_the_server(self):
        model = model_of([node("SequenceConstruct", ["x", "x"], ["s"])], [port("x", F32, ["n"])],
                         [sequence("s", TensorProto.FLOAT, None)])
        message = self.run_norn(self.save(model), {"x": F32([1])})
        self.assertRegex(message, "output 's' is a sequence of float32; the command line takes and writes tensors")


if __name__ == "__main__":
    unittest.main()
