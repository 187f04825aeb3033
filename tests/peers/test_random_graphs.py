"""Random graphs mean the same to Norn, passes and all, as to onnxruntime without any."""

import os
import pathlib
import sys
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "peers"))

import random_graphs  # noqa: E402
from seeds import seeds  # noqa: E402

NORN = pathlib.Path(os.environ.get("NORN", REPOSITORY / "build" / "release" / "bin" / "norn"))


class RandomGraphs(unittest.TestCase):
    def check_graphs(self, real, count):
        self.assertTrue(NORN.exists(), f"{NORN} is not built")
        with tempfile.TemporaryDirectory() as scratch:
            for seed in seeds(f"random graphs of {real}", count, count // 10):
                with self.subTest(seed=seed):
                    self.assertIsNone(random_graphs.check(NORN, seed, pathlib.Path(scratch), real))

    def test_passes_keep_what_a_graph_means(self):
        self.check_graphs("float32", 200)

    def test_passes_keep_what_a_graph_of_float64_means(self):
        self.check_graphs("float64", 100)

    def test_passes_keep_what_a_graph_of_float16_means(self):
        self.check_graphs("float16", 100)


if __name__ == "__main__":
    unittest.main()
