"""What the passes make of the example models: tests/golden/passes/NAME.txt, a node a line.

    NORN=build/dev/bin/norn python tests/peers/test_passes.py --write     after a change that is meant
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = REPOSITORY / "tests" / "golden" / "passes"
sys.path[:0] = [str(REPOSITORY / "tests" / "peers"), str(REPOSITORY), str(REPOSITORY / "python")]

import served  # noqa: E402

NORN = pathlib.Path(os.environ.get("NORN", REPOSITORY / "build" / "release" / "bin" / "norn"))
MODELS = ("dlrm", "dlrm_multihot", "deepfm", "wide_deep", "dcn_v2", "din", "mmoe")


def nodes_of(model, scratch):
    """The optimised graph without names of values: `float32[B,64] = GemmRegion  # /bot/Gemm, ...`"""
    done = subprocess.run([NORN, "compile", model, "-o", scratch / "plan.norn",
                           "--print-after", "pack_weights"], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    lines = []
    for line in done.stderr.splitlines():
        found = re.match(r"%\d.* = (norn\.)?(\w+)\((.*)\)( \{.*\})?  # (.*)$", line)
        if not found:
            continue
        outs = re.findall(r"%\d+ (\w+\[[^\]]*\])", line.split(" = ")[0])
        placed = re.search(r"norn_placed=(\[[\d,]*\])", line)
        lines.append(f"{', '.join(outs)} = {found[2]}{' ' + placed[1] if placed else ''}  # {found[5]}")
    return "\n".join(lines) + "\n"


class PassesOnTheExamples(unittest.TestCase):
    maxDiff = None

    def test_each_model_becomes_the_nodes_that_are_written_down(self):
        self.assertTrue(NORN.exists(), f"{NORN} is not built")
        models = served.example_models()
        with tempfile.TemporaryDirectory() as scratch:
            for name in MODELS:
                with self.subTest(model=name):
                    self.assertEqual(nodes_of(models / f"{name}.onnx", pathlib.Path(scratch)),
                                     (GOLDEN / f"{name}.txt").read_text())

    def test_both_exporters_forms_become_the_same_nodes(self):
        models = served.example_models()
        with tempfile.TemporaryDirectory() as scratch:
            for name in MODELS:
                with self.subTest(model=name):
                    forms = [[line.split("  #")[0] for line in
                              nodes_of(models / f"{name}{form}.onnx", pathlib.Path(scratch)).splitlines()]
                             for form in ("", "_dynamo")]
                    self.assertEqual(*forms)


def write():
    with tempfile.TemporaryDirectory() as scratch:
        for name in MODELS:
            text = nodes_of(served.example_models() / f"{name}.onnx", pathlib.Path(scratch))
            (GOLDEN / f"{name}.txt").write_text(text)


if __name__ == "__main__":
    write() if "--write" in sys.argv else unittest.main()
