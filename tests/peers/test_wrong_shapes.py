"""Every operator with inputs whose sizes do not go together; see wrong_shapes.py."""

import pathlib
import sys
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "peers"))

import seeds  # noqa: E402
import wrong_shapes  # noqa: E402

CASES = REPOSITORY / "build" / "conformance-dynamic"


class WrongShapes(unittest.TestCase):
    def test_sizes_that_do_not_go_together_are_refused_or_answered_rightly(self):
        if not (CASES / "cases.tsv").exists():
            self.skipTest(f"{CASES} is not written; tools/run_tests writes it")
        for seed in seeds.seeds("wrong shapes", 1, 60):
            self.assertEqual(wrong_shapes.main([str(CASES), "--seed", str(seed), "--count", "250"]), 0, f"seed {seed}")


if __name__ == "__main__":
    unittest.main()
