"""nn.EmbeddingBag as PyTorch's exporters write it becomes one Lookup, and scores like the bags do; a loop that is
nearly that stays a loop and does what it says. The forms are those of torch 2.15, made by hand."""

import itertools
import subprocess
import unittest

import numpy as np
from onnx import TensorProto, helper

from test_shapes import F32, I64, NORN, Scratch, body_of, model_of, node, port, reference

sequence = helper.make_tensor_sequence_value_info
TABLE = np.random.default_rng(7).standard_normal((40, 6)).astype(F32)
PADDING = 7
POOLS = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}
LENGTHS = ([2, 0, 5, 1], [0, 3, 0, 0, 90, 0], [4], [0, 0])
CONSTANTS = {"table": TABLE, "zero": I64(0), "zero1": I64([0]), "one": I64(1), "one1": I64([1]), "two": I64(2),
             "minus": I64([-1]), "far": I64([2**63 - 1]), "zeros": np.zeros((1, 6), F32), "true": np.bool_(True), "pad": I64(PADDING), "height": I64(40), "empty": I64([])}


def scalar(name, dtype=I64):
    return port(name, dtype, [])


def branches(condition, output, then_nodes, else_nodes, shape=None):
    """If(condition) -> output; the last node of each branch makes its value."""
    bodies = {}
    for key, nodes in (("then_branch", then_nodes), ("else_branch", else_nodes)):
        bodies[key] = body_of(f"{output}_{key}", nodes, [], [port(nodes[-1].output[0], F32, shape)])
    return node("If", [condition], [output], **bodies)


def default_form(mode, include_last, weighted, name="", change=None):
    """The torch.export based exporter: rows of all keys, a Loop that slices them, a sequence of bags.

    `change` replaces a part by a near miss."""
    rows = [node("Gather", ["table", "v"], ["r"])]
    if weighted:
        rows += [node("Unsqueeze", ["w", "one1"], ["w1"]), node("Mul", ["r", "w1"], ["rows"])]
    else:
        rows += [node("Identity", ["r"], ["rows"])]
    rows += [node("Shape", ["v"], ["count"]), node("Size", ["o"], ["size"])]
    if include_last:
        rows += [node("Sub", ["size", "two" if change == "one bag less" else "one"], ["n"]),
                 node("Identity", ["o"], ["off"])]
    else:
        rows += [node("Identity", ["size"], ["n"]), node("Concat", ["o", "count"], ["off"], axis=0)]
    axis = "one1" if change == "columns" else "zero1"
    pool = [node("Slice", ["rows", "b", "e"], ["k"]), node(POOLS[mode], ["k", axis], ["p"])]
    if mode == "mean":  # the last bag is a branch of its own
        by_hand = [node("Slice", ["rows", "b", "e"], ["k2"]), node("ReduceSum", ["k2", "zero1"], ["s2"]),
                   node("Sub", ["count", "b"], ["d2"]), node("Greater", ["d2", "zero"], ["g2"]),
                   branches("g2", "h", [node("Cast", ["d2"], ["f2"], to=TensorProto.FLOAT),
                                        node("Div", ["s2", "f2"], ["q2"])], [node("Identity", ["s2"], ["u2"])])]
        which = "one" if change == "the second bag by hand" else "m"
        pool = [node("Sub", ["n", "one"], ["m"]), node("Equal", ["i", which], ["last"]),
                branches("last", "q", by_hand, pool)]
    elif mode == "max":
        pool = [node("Sub", ["n", "one"], ["m"]), node("Equal", ["i", "m"], ["last"]),
                branches("last", "k", [node("Slice", ["rows", "b", "count"], ["k1"])],
                         [node("Slice", ["rows", "b", "e"], ["k2"])]), pool[1]]
    empty = "ones" if change == "empty bags are ones" else "zeros"
    insert = ["s", "row", "zero"] if change == "last bag first" else ["s", "row"]
    begin = "zero" if change != "from the second bag" else "one"
    body = [node("Reshape", ["i", "minus"], ["i0"]), node("Add", ["i0", "one"], ["i1"]),
            node("Slice", ["off", "i0", "i1"], ["b"]), node("Add", ["i0", "two"], ["i2"]),
            node("Slice", ["off", "i1", "i2"], ["e"]), node("Equal", ["b", "e"], ["none"]),
            branches("none", "row", [node("Identity", [empty], ["z"])], pool, [1, 6]),
            node("SequenceInsert", insert, ["s2"]), node("Add", ["i", "one"], ["j"]),
            node("Less", ["j", "n"], ["c2"])]
    loop = body_of("bags" + name, body, [scalar("t"), scalar("c", bool), sequence("s", TensorProto.FLOAT, None),
                                         scalar("i")],
                   [scalar("c2", bool), sequence("s2", TensorProto.FLOAT, None), scalar("j")])
    return [*rows, node("SequenceEmpty", [], ["s0"]), node("Less", [begin, "n"], ["c0"]),
            node("Loop", ["", "c0", "s0", begin], ["s9", "i9"], body=loop),
            node("ConcatFromSequence", ["s9"], ["y"], axis=0)]


def padded_form(mode, include_last, weighted, change=None):
    """With padding_idx: a loop in the loop collects the places of a bag's keys that are no padding."""
    rows = [node("Gather", ["table", "v"], ["r"])]
    rows += [node("Unsqueeze", ["w", "one1"], ["w1"]), node("Mul", ["r", "w1"], ["rows"])] if weighted else [
        node("Identity", ["r"], ["rows"])]
    rows += [node("Shape", ["v"], ["count"]), node("Size", ["o"], ["size"])]
    if include_last:
        rows += [node("Sub", ["size", "one"], ["n"]), node("ScatterElements", ["o", "minus", "count"], ["off"])]
    else:
        rows += [node("Identity", ["size"], ["n"]), node("Concat", ["o", "count"], ["off"], axis=0)]
    wrap = "pad" if change == "negative keys wrap elsewhere" else "height"
    keep = [node("Reshape", ["j", "minus"], ["j1"]), node("Concat", ["kept", "j1"], ["more"], axis=0)]
    same = [node("Identity", ["kept"], ["same"])]
    ways = {"then_branch": body_of("keep", keep, [], [port("more", I64, None)]),
            "else_branch": body_of("drop", same, [], [port("same", I64, None)])}
    signs = {"then_branch": body_of("wrap", [node("Add", ["key", wrap], ["k2"])], [], [scalar("k2")]),
             "else_branch": body_of("as_is", [node("Identity", ["key"], ["k3"])], [], [scalar("k3")])}
    decide = "same_key" if change == "padding alone" else "other_key"
    inner = [node("Gather", ["v", "j"], ["key"]), node("Less", ["key", "zero"], ["negative"]),
             node("If", ["negative"], ["k"], **signs), node("Equal", ["k", "pad"], ["same_key"]),
             node("Not", ["same_key"], ["other_key"]), node("If", [decide], ["kept2"], **ways),
             node("Add", ["j", "one"], ["jn"]), node("Less", ["jn", "e"], ["d2"])]
    places = body_of("places", inner, [scalar("t2"), scalar("d", bool), port("kept", I64, None), scalar("j")],
                     [scalar("d2", bool), port("kept2", I64, None), scalar("jn")])
    body = [node("Gather", ["off", "i"], ["b"]), node("Add", ["i", "one"], ["i1"]), node("Gather", ["off", "i1"], ["e"]),
            node("Less", ["b", "e"], ["d0"]), node("Loop", ["", "d0", "empty", "b"], ["kept9", "j9"], body=places),
            node("Size", ["kept9"], ["many"]), node("Equal", ["many", "zero"], ["none"]),
            branches("none", "row", [node("Identity", ["zeros"], ["z"])],
                     [node("Gather", ["rows", "kept9"], ["x"]), node(POOLS[mode], ["x", "zero1"], ["p"])], [1, 6]),
            node("SequenceInsert", ["s", "row"], ["s2"]), node("Less", ["i1", "n"], ["c2"])]
    loop = body_of("bags", body, [scalar("t"), scalar("c", bool), sequence("s", TensorProto.FLOAT, None), scalar("i")],
                   [scalar("c2", bool), sequence("s2", TensorProto.FLOAT, None), scalar("i1")])
    return [*rows, node("SequenceEmpty", [], ["s0"]), node("Less", ["zero", "n"], ["c0"]),
            node("Loop", ["", "c0", "s0", "zero"], ["s9", "i9"], body=loop),
            node("ConcatFromSequence", ["s9"], ["y"], axis=0)]


def script_form(mode, include_last, weighted, change=None):
    """The TorchScript based exporter: a Loop that slices keys, gathers and pools them; bags are scanned."""
    before = [node("Shape", ["v"], ["count"])]
    before += [node("Identity", ["o"], ["off"])] if include_last else [node("Concat", ["o", "count"], ["off"], axis=0)]
    before += [node("Slice", ["off", "one1", "far", "zero1", "one1"], ["ends"]), node("Shape", ["ends"], ["n1"]),
               node("Gather", ["n1", "zero"], ["n"])]
    body = [node("Gather", ["off", "i"], ["b"]), node("Gather", ["ends", "i"], ["e"]),
            node("Unsqueeze", ["b", "zero1"], ["b1"]), node("Unsqueeze", ["e", "zero1"], ["e1"]),
            node("Slice", ["v", "b1", "e1", "zero1"], ["k"]), node("Gather", ["table", "k"], ["r"])]
    if weighted:
        start = "zero1" if change == "weights of the first bag" else "b1"
        body += [node("Slice", ["w", start, "e1", "zero1"], ["x"]), node("Unsqueeze", ["x", "one1"], ["x1"]),
                 node("Mul", ["r", "x1"], ["m"])]
    else:
        body += [node("Identity", ["r"], ["m"])]
    body += [node(POOLS[mode], ["m", "zero1"], ["p"], keepdims=0), node("Identity", ["true"], ["c2"])]
    loop = body_of("bags", body, [scalar("i"), scalar("c", bool)], [scalar("c2", bool), port("p", F32, [6])])
    return [*before, node("Loop", ["n", "true"], ["y"], body=loop)]


def feeds_of(lengths, include_last, weighted):
    rng = np.random.default_rng(sum(lengths))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(I64)
    feeds = {"v": rng.integers(-40, 40, offsets[-1]), "o": offsets if include_last else offsets[:-1]}
    if weighted:
        feeds["w"] = rng.uniform(0.5, 2, offsets[-1]).astype(F32)
    return feeds


def bags_of(mode, lengths, feeds, padding=None):
    rows = TABLE[feeds["v"]] * feeds.get("w", np.ones(len(feeds["v"]), F32))[:, None]
    counts = np.ones(len(rows), bool) if padding is None else feeds["v"] % 40 != padding
    ends = np.cumsum(lengths)
    pool = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    bags = [rows[end - n:end][counts[end - n:end]] for n, end in zip(lengths, ends)]
    return np.stack([pool(bag, axis=0) if len(bag) else np.zeros(6) for bag in bags])


class Bags(Scratch):
    def model(self, nodes, weighted, more_inputs=(), output=("y", F32, None), constants=None):
        inputs = [port("v", I64, ["nnz"]), port("o", I64, ["ends"])]
        inputs += [port("w", F32, ["nnz"])] if weighted else []
        return self.save(model_of(nodes, [*inputs, *more_inputs], [port(*output)], CONSTANTS | (constants or {})))

    def is_lookup(self, path):
        done = self.norn("compile", path, "-o", self.folder / "plan.norn", "--print-after", "recognise_lookup")
        self.assertEqual(done.returncode, 0, done.stderr)
        return " = norn.Lookup(" in done.stderr and " = Loop(" not in done.stderr

    def test_every_form_of_every_mode_is_a_lookup_and_pools_like_the_bags(self):
        for form, mode, include_last, weighted in itertools.product(
                (default_form, script_form), POOLS, (False, True), (False, True)):
            if weighted and mode == "mean" and form is default_form:
                continue  # PyTorch has weights for sums only
            with self.subTest(form=form.__name__, mode=mode, include_last=include_last, weighted=weighted):
                path = self.model(form(mode, include_last, weighted), weighted)
                self.assertTrue(self.is_lookup(path))
                for lengths in LENGTHS:
                    feeds = feeds_of(lengths, include_last, weighted)
                    got = self.run_norn(path, feeds)
                    self.assertIsInstance(got, dict, got)
                    np.testing.assert_allclose(got["y"], bags_of(mode, lengths, feeds), rtol=1e-5, atol=1e-5)

    def test_bags_with_padding_are_lookups_that_leave_it_out(self):
        for mode, include_last, weighted in itertools.product(POOLS, (False, True), (False, True)):
            with self.subTest(mode=mode, include_last=include_last, weighted=weighted):
                path = self.model(padded_form(mode, include_last, weighted), weighted)
                self.assertTrue(self.is_lookup(path))
                for lengths in LENGTHS:
                    feeds = feeds_of(lengths, include_last, weighted)
                    feeds["v"][:2], feeds["v"][3:7] = PADDING, PADDING - 40
                    got = self.run_norn(path, feeds)
                    self.assertIsInstance(got, dict, got)
                    wanted = bags_of(mode, lengths, feeds, PADDING)
                    np.testing.assert_allclose(got["y"], wanted, rtol=1e-5, atol=1e-5)
        for change in ("padding alone", "negative keys wrap elsewhere"):
            with self.subTest(change=change):
                path = self.model(padded_form("sum", True, False, change), False)
                self.assertFalse(self.is_lookup(path))

    def test_a_loop_by_a_condition_may_count_to_what_no_number_of_bags_is(self):
        for trips, lookup in ((2**31 - 2, False), (2**31 - 1, True), (2**63 - 1, True)):
            with self.subTest(trips=trips):
                nodes = padded_form("sum", True, False)
                next(n for n in nodes if n.op_type == "Loop").input[0] = "trips"
                path = self.model(nodes, False, constants={"trips": I64(trips)})
                self.assertEqual(self.is_lookup(path), lookup)

    def test_a_loop_that_is_nearly_a_bag_stays_one_and_does_what_it_says(self):
        cases = [(default_form, "sum", False, change) for change in
                 ("one bag less", "columns", "empty bags are ones", "last bag first", "from the second bag")]
        cases += [(default_form, "mean", False, "the second bag by hand")]
        cases += [(script_form, "sum", True, "weights of the first bag")]
        for form, mode, weighted, change in cases:
            with self.subTest(change=change):
                nodes = form(mode, True, weighted, change=change)
                constants = {"ones": np.ones((1, 6), F32)}
                path = self.model(nodes, weighted, constants=constants)
                self.assertFalse(self.is_lookup(path))
                lengths = [2, 0, 3] if change in ("one bag less", "empty bags are ones") else [3, 3, 3]
                feeds = feeds_of(lengths, True, weighted)
                if change == "weights of the first bag":
                    feeds["o"] = np.int64([0, 3])
                inputs = [port(n, a.dtype, [n]) for n, a in feeds.items()]
                wanted = reference(model_of(nodes, inputs, [port("y", F32, None)], CONSTANTS | constants), feeds)
                got = self.run_norn(path, feeds)
                self.assertIsInstance(got, dict, got)
                np.testing.assert_allclose(got["y"], wanted["y"], rtol=1e-5, atol=1e-5)

    def test_bags_of_one_table_beside_a_dense_part_are_one_lookup(self):
        """Two features share a table, as in a DLRM: no Loop is left and the products know their sizes."""
        first = default_form("sum", True, False)
        second = [helper.make_node(n.op_type, [{"v": "v2", "o": "o2"}.get(i, i) for i in n.input], list(n.output))
                  for n in first]
        for old, new in zip(first, second):
            new.attribute.extend(old.attribute)
        renamed = []
        for part, suffix in ((first, "_a"), (second, "_b")):
            text = body_of("g", part, [], [])
            made = {o for n in part for o in n.output}

            def rename(graph, made=made, suffix=suffix):
                for n in graph.node:
                    n.input[:] = [i + suffix if i in made else
                                  {"v": "v2", "o": "o2"}.get(i, i) if suffix == "_b" else i for i in n.input]
                    n.output[:] = [o + suffix if o in made else o for o in n.output]
                    for a in n.attribute:
                        if a.type == a.GRAPH:
                            rename(a.g)
            rename(text)
            renamed += text.node
        nodes = [*renamed, node("MatMul", ["x", "k1"], ["d"]), node("Concat", ["d", "y_a", "y_b"], ["t"], axis=1),
                 node("MatMul", ["t", "k2"], ["z"])]
        constants = {"k1": np.ones((4, 2), F32), "k2": np.arange(14, dtype=F32).reshape(14, 1)}
        path = self.model(nodes, False, [port("x", F32, ["B", 4]), port("v2", I64, ["m"]), port("o2", I64, ["e2"])],
                          ("z", F32, ["B", 1]), constants)
        self.assertTrue(self.is_lookup(path))
        a, b, x = feeds_of([2, 0, 1], True, False), feeds_of([1, 4, 0], True, False), np.ones((3, 4), F32)
        got = self.run_norn(path, a | {"v2": b["v"], "o2": b["o"], "x": x})
        self.assertIsInstance(got, dict, got)
        whole = np.concatenate([x @ constants["k1"], bags_of("sum", [2, 0, 1], a), bags_of("sum", [1, 4, 0], b)], 1)
        np.testing.assert_allclose(got["z"], whole @ constants["k2"], rtol=1e-4)

    def test_offsets_that_cannot_be_are_refused_by_name(self):
        path = self.model(default_form("sum", True, False), False)
        for offsets, reason in (([0, 3, 2], "must not fall"), ([0, 2, 9], "end within the 4 keys")):
            message = self.run_norn(path, {"v": np.int64([1, 2, 3, 4]), "o": np.int64(offsets)})
            self.assertIsInstance(message, str)
            self.assertRegex(message, reason)


if __name__ == "__main__":
    unittest.main()
