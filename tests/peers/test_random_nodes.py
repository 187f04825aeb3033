"""Operators one by one, at random attributes, types and shapes, as onnxruntime or ONNX's reference has them."""

import os
import pathlib
import sys
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "peers"))

import node_makers  # noqa: E402
import random_nodes  # noqa: E402
from seeds import seeds  # noqa: E402

NORN = pathlib.Path(os.environ.get("NORN", REPOSITORY / "build" / "release" / "bin" / "norn"))


class RandomNodes(unittest.TestCase):
    def test_an_operator_means_what_onnx_says_at_any_attributes_types_and_shapes(self):
        with tempfile.TemporaryDirectory() as scratch:
            for seed in seeds("random nodes", 60, 25):
                with self.subTest(seed=seed):
                    self.assertIsNone(random_nodes.check(NORN, seed, pathlib.Path(scratch))[0])

    def test_every_operator_comes_up(self):
        """A maker whose nodes no peer accepts would test nothing."""
        with tempfile.TemporaryDirectory() as scratch:
            for number, op in enumerate(sorted(node_makers.MAKERS)):
                made = False
                for seed in range(1000 * number, 1000 * number + 12):
                    problem, nodes = random_nodes.check(NORN, seed, pathlib.Path(scratch), op)
                    with self.subTest(op=op, seed=seed):
                        self.assertIsNone(problem)
                    made = made or bool(nodes)
                    if made and seed % 1000 >= (1 if os.environ.get("NORN_SANITIZED") else 3):
                        break
                self.assertTrue(made, f"no node of {op} in twelve was taken")


if __name__ == "__main__":
    unittest.main()
