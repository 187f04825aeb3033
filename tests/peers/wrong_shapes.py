"""Inputs whose sizes do not go together: every operator, through `norn run`, beside onnxruntime.

    python tests/peers/wrong_shapes.py build/conformance-dynamic [--seed S] [--times N] [--count N] [--filter TEXT]
                                                                  [--verbose]

Each case of the dynamic conformance run is given inputs of other sizes than its own. Norn must never crash; where
onnxruntime answers, the same answer or an error is right; where onnxruntime refuses, an answer is listed, because it is
wrong unless the operator is defined there. Exit status 1: a crash or another answer.
"""

import argparse
import concurrent.futures
import concurrent.futures.process
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

NORN = os.environ.get("NORN", "build/release/bin/norn")


def read_inputs(folder, graph):
    inputs = {}
    for number, info in enumerate(graph.input):
        proto = onnx.TensorProto()
        proto.ParseFromString((folder / "test_data_set_0" / f"input_{number}.pb").read_bytes())
        inputs[info.name] = numpy_helper.to_array(proto)
    return inputs


def twist(inputs, rng, full):
    """Another size for one or two dims; `full`: not 0."""
    twisted = dict(inputs)
    choices = [(name, axis) for name, array in inputs.items() for axis in range(array.ndim)
               if array.shape[axis] > 1]
    for name, axis in rng.sample(choices, min(len(choices), rng.choice((1, 1, 2)))):
        shape = list(twisted[name].shape)
        shape[axis] = rng.choice((int(full), 1, shape[axis] - 1, shape[axis] + 1, 2 * shape[axis]))
        twisted[name] = np.resize(twisted[name], shape) if 0 not in shape else np.zeros(shape, inputs[name].dtype)
    return twisted


def reference(model, inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception:
        return None  # not an operator of onnxruntime's
    try:
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, inputs)))
    except Exception as error:
        return str(error)


class Reference:
    """onnxruntime in a process of its own, which some sizes end."""

    def __init__(self):
        self.pool = None

    def __call__(self, model, inputs):
        if self.pool is None:
            self.pool = concurrent.futures.ProcessPoolExecutor(1)
        try:
            return self.pool.submit(reference, model, inputs).result(timeout=120)
        except (concurrent.futures.process.BrokenProcessPool, concurrent.futures.TimeoutError):
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.pool = None
            return None


def run_norn(path, inputs):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        arguments = []
        for number, (name, array) in enumerate(inputs.items()):
            np.save(scratch / f"{number}.npy", array)
            arguments += ["--input", f"{name}={scratch / f'{number}.npy'}"]
        done = subprocess.run([NORN, "run", str(path), *arguments, "--output-dir", str(scratch / "out")],
                              capture_output=True, text=True, timeout=120)
        if done.returncode not in (0, 1) or "Sanitizer" in done.stderr or "runtime error" in done.stderr:
            return None, done.stderr.strip()[-2000:]
        if done.returncode == 1:
            return done.stderr.strip(), None
        return {file.stem: np.load(file) for file in (scratch / "out").glob("*.npy")}, None


def compare(got, wanted):
    for name, array in wanted.items():
        mine = got.get(name.replace("/", "_"))
        if mine is None or not isinstance(array, np.ndarray):
            continue
        if mine.shape != array.shape:
            return f"{name} has shape {mine.shape}, not {array.shape}"
        if array.dtype.kind not in "fiub":
            continue
        if array.dtype == np.float32:  # onnxruntime's mask is the least number, ONNX's is -inf
            mine, array = (np.where(a < -3e38, -np.inf, a) for a in (mine, array))
        finite = np.abs(array[np.isfinite(array)].astype(np.float64))
        slack = 1e-3 * max(1.0, finite.max(initial=0.0))
        if not np.allclose(mine, array, rtol=1e-2, atol=slack, equal_nan=True):
            return f"{name} has other values"
    return None


SKIP = ("bernoulli", "random", "dropout", "multinomial",  # draw
        "dynamicquantizelinear",  # of one value there is no scale
        "convtranspose_autopad_same",  # onnxruntime makes 5 of 3 * 2
        "scales_linear_align", "scales_cubic_align")  # the reference counts parts of a pixel, onnxruntime does not
# Of nothing onnxruntime answers the input's own shape, or any number.
FULL = ("arg", "reduce")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--count", type=int, help="that many cases, drawn")
    parser.add_argument("--filter", default="")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args(argv)
    rng = random.Random(options.seed)
    reference_of = Reference()
    counts = {"same": 0, "both refuse": 0, "norn refuses": 0, "norn answers": 0, "other": 0, "crash": 0}
    names = [line.split("\t")[0] for line in (options.folder / "cases.tsv").read_text().splitlines()]
    if options.count:
        names = rng.sample(names, min(options.count, len(names)))
    for name in names:
        if options.filter not in name or any(word in name for word in SKIP):
            continue
        path = options.folder / name / "model.onnx"
        model = path.read_bytes()
        try:
            inputs = read_inputs(options.folder / name, onnx.load_from_string(model).graph)
        except Exception:
            continue  # a type that numpy does not have
        if any(a.dtype.kind not in "fiub" for a in inputs.values()) or not any(a.ndim for a in inputs.values()):
            continue
        for _ in range(options.times):
            twisted = twist(inputs, rng, any(word in name for word in FULL))
            shapes = " ".join(f"{n}{list(a.shape)}" for n, a in twisted.items())
            got, crash = run_norn(path, twisted)
            wanted = reference_of(model, twisted)
            kind, text = "same", ""
            if crash:
                kind, text = "crash", crash
            elif isinstance(got, str):
                kind, text = "norn refuses" if isinstance(wanted, dict) else "both refuse", got[-200:]
            elif isinstance(wanted, str):
                kind, text = "norn answers", f"{ {n: a.shape for n, a in got.items()} } / {wanted[-160:]}"
            elif wanted is not None:
                text = compare(got, wanted)
                kind = "other" if text else "same"
                # A window that does not fit gives nothing (ONNX rounds down); onnxruntime rounds towards zero.
                if text and "pool" in name and any(a.size == 0 for a in got.values()):
                    kind = "norn answers"
            counts[kind] += 1
            if kind in ("crash", "other") or (options.verbose and kind.startswith("norn")):
                print(f"{kind}: {name} {shapes}: {text}".replace("\n", " "), flush=True)
    print(f"seed {options.seed}: " + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return 1 if counts["crash"] or counts["other"] else 0


if __name__ == "__main__":
    sys.exit(main())
