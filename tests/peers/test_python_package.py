"""The tests of python/norn, run with the other peers' tests."""

import pathlib
import sys
import unittest

PYTHON = pathlib.Path(__file__).resolve().parents[2] / "python"
sys.path.insert(0, str(PYTHON))


def load_tests(loader, _standard, _pattern):
    return unittest.TestSuite(
        loader.loadTestsFromName(f"tests.{path.stem}")
        for path in sorted((PYTHON / "tests").glob("test_*.py")))


if __name__ == "__main__":
    unittest.main()
