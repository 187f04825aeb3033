"""Run what an export wrote, and compare it with what it was made from."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np

RTOL, ATOL = 1e-3, 1e-4  # float32 in another order; a wrong row, mask or count is far outside


class NotChecked(Exception):
    """There is nothing here that could run the model; the message says what would."""


def find_norn():
    """The `norn` binary: $NORN, else on the PATH; None if there is none."""
    named = os.environ.get("NORN")
    if named and pathlib.Path(named).is_file():
        return named
    return shutil.which("norn")


def run_norn(binary, package_dir, inputs):
    """Outputs by name, `/` in a name as `_`; `inputs` is {name: array}."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [binary, "run", str(package_dir), "--output-dir", f"{scratch}/out"]
        for number, (name, array) in enumerate(inputs.items()):
            np.save(f"{scratch}/{number}.npy", array)
            command += ["--input", f"{name}={scratch}/{number}.npy"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{package_dir}: norn cannot run it: {done.stderr.strip()}")
        return {file.stem: np.load(file) for file in pathlib.Path(scratch, "out").glob("*.npy")}


def open_standard(path):
    """An onnxruntime session of a file without `ai.norn` operators; NotChecked without the package."""
    try:
        import onnxruntime
    except ImportError as error:
        raise NotChecked("onnxruntime is not installed") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise RuntimeError(f"{path}: onnxruntime refuses it: {error}") from error


def run_standard(path, inputs):
    session = open_standard(path)
    names = [output.name.replace("/", "_") for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(None, inputs)))
    except Exception as error:
        raise RuntimeError(f"{path}: onnxruntime cannot run it: {error}") from error


def compare(what, outputs, wanted):
    """RuntimeError naming the first output of `outputs` that is not as in `wanted`."""
    for name, array in wanted.items():
        got = outputs.get(name.replace("/", "_"))
        if got is None:
            raise RuntimeError(f"{what}: it has no output '{name}'")
        if got.shape != array.shape:
            raise RuntimeError(f"{what}: output '{name}' has shape {list(got.shape)}, the module "
                               f"gives {list(array.shape)}")
        if not np.allclose(got, array, rtol=RTOL, atol=ATOL, equal_nan=True):
            error = np.abs(got.astype(np.float64) - array).max()
            raise RuntimeError(f"{what}: output '{name}' differs by up to {error:.3g} from what the "
                               "module gives for the example inputs")


def check_package(package_dir, inputs, wanted):
    """Run a package on `inputs` with norn, else rewritten with onnxruntime, and compare.

    Raises NotChecked when neither is there.
    """
    from .standard_ops import rewrite

    binary = find_norn()
    if binary:
        compare(package_dir, run_norn(binary, package_dir, inputs), wanted)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "standard.onnx"
        rewrite(package_dir, path)
        try:
            compare(package_dir, run_standard(path, inputs), wanted)
        except NotChecked as error:
            raise NotChecked("neither norn (on the PATH, or named by $NORN) nor onnxruntime is "
                             "here") from error
