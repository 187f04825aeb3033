"""The generated reference pages are those of this binary."""

import os
import subprocess
import sys
import unittest

from served import NORN, REPOSITORY


class ReferenceTest(unittest.TestCase):
    def test_docs_cli_and_metrics_are_up_to_date(self):
        run = subprocess.run([sys.executable, str(REPOSITORY / "tools/reference"), "--check", os.path.abspath(NORN)],
                             capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)


if __name__ == "__main__":
    unittest.main()
