"""`norn run` against onnxruntime: every example model, in every form, at 1, 7, 64 and 1000 rows."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PEERS = REPOSITORY / "tests" / "peers"
sys.path[:0] = [str(PEERS), str(REPOSITORY), str(REPOSITORY / "python")]

import make_expectations  # noqa: E402
import onnx  # noqa: E402
import served  # noqa: E402

BATCHES = (1, 7, 64, 1000)
NORN = pathlib.Path(os.environ.get("NORN", REPOSITORY / "build" / "release" / "bin" / "norn"))


def run_norn(*arguments):
    return subprocess.run([str(NORN), *map(str, arguments)], capture_output=True, text=True)


class RunEqualsOnnxruntime(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not NORN.exists():
            raise FileNotFoundError(f"{NORN} is not built")
        cls.models = served.example_models()
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.scratch = pathlib.Path(scratch.name)

    def expect(self, model, twin=None, through_plan=False):
        """Run `model` on each batch; the outputs must be those of `twin` under onnxruntime."""
        folder = self.scratch / (twin or model).stem
        make_expectations.make(twin or model, folder, BATCHES, 1, 2)
        target = model
        if through_plan:
            target = self.scratch / f"{model.stem}.norn"
            done = run_norn("compile", model, "-o", target)
            self.assertEqual(done.returncode, 0, done.stderr)
        for batch in BATCHES:
            with self.subTest(model=model.name, batch=batch, plan=through_plan):
                inputs = [f"--input={file.stem}={file}"
                          for file in sorted((folder / f"b{batch}" / "inputs").glob("*.npy"))]
                done = run_norn("run", target, *inputs, "--expect",
                                folder / f"b{batch}" / "expected", "--rtol", "1e-5",
                                "--atol", "1e-7")
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_models_as_the_torchscript_exporter_writes_them(self):
        for file in sorted(self.models.glob("*.onnx")):
            if not file.stem.endswith("_dynamo"):
                self.expect(file)

    def test_models_as_the_dynamo_exporter_writes_them(self):
        for file in sorted(self.models.glob("*_dynamo.onnx")):
            self.expect(file)

    def test_a_compiled_plan_scores_like_its_model(self):
        for name in ("dlrm", "din"):
            self.expect(self.models / f"{name}.onnx", through_plan=True)

    def test_packages_score_like_their_standard_twins(self):
        for name in ("dlrm", "dlrm_bags"):
            self.expect(self.models / "repository" / name / "1", self.models / f"{name}.onnx")

    def test_a_wrong_score_is_noticed(self):
        model = self.models / "mmoe.onnx"
        folder = self.scratch / "wrong"
        make_expectations.make(model, folder, (7,), 1, 2)
        expected = next((folder / "b7" / "expected").glob("*.npy"))
        scores = make_expectations.np.load(expected)
        scores[3] *= 1.001
        make_expectations.np.save(expected, scores)
        inputs = [f"--input={file.stem}={file}"
                  for file in sorted((folder / "b7" / "inputs").glob("*.npy"))]
        done = run_norn("run", model, *inputs, "--expect", expected.parent, "--rtol", "1e-5")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(expected.stem, done.stdout + done.stderr)

    def test_what_is_no_number_equals_only_itself(self):
        """--expect: infinities by sign, NaN and NaN, numbers within rtol and atol, to the last of them."""
        np = make_expectations.np
        folder = self.scratch / "special"
        folder.mkdir()
        graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g",
                                       [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["B"])],
                                       [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["B"])])
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx")
        inf, nan = float("inf"), float("nan")
        for number, (value, wanted, same) in enumerate((
                (inf, inf, True), (-inf, -inf, True), (inf, -inf, False), (nan, nan, True), (nan, 1, False), (1, nan, False), (inf, 1, False),
                (1, inf, False), (1, 1.0009, True), (1, 1.002, False), (0, 0.0099, True), (0, 0.012, False), (100, 100.2, False), (-5, 5, False))):
            with self.subTest(value=value, wanted=wanted):
                case = folder / str(number)
                case.mkdir()
                np.save(folder / "x.npy", np.float32([0.5, value]))
                np.save(case / "y.npy", np.float32([0.5, wanted]))
                tolerance = ["--rtol", "1e-3", "--atol", "0"] if value else ["--rtol", "0", "--atol", "0.01"]
                done = run_norn("run", folder / "model.onnx", f"--input=x={folder / 'x.npy'}", "--expect", case, *tolerance)
                self.assertEqual(done.returncode, 0 if same else 1, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
