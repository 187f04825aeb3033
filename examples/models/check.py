"""Run every example model under onnxruntime and check what comes out.

The outputs must be finite, of the batch's size and spread out (a model whose scores are all alike
tests nothing), and the forms of a model must agree: both exporters' and the package's twin.
"""

import argparse
import pathlib
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime

from norn import export

from . import NAMES, SIX, inputs
from .exporter import STYLES
from .write import write_model, write_package


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def files_of(name, size, folder, seed):
    """Every form of a model that onnxruntime can run."""
    files = []
    for style in STYLES if name != "dlrm_bags" else STYLES[:1]:
        files += [p for p in write_model(folder, name, size, style, seed) if p.suffix == ".onnx"]
    if name == "dlrm" and size == "small":
        package = write_package(folder, name, size, seed)[0]
        files += export.to_standard_ops(package, folder / "dlrm_from_package.onnx")
    return files


def check_model(name, size, batches, seed, threads):
    """Problems found, one line each."""
    with tempfile.TemporaryDirectory() as scratch:
        files = files_of(name, size, pathlib.Path(scratch), seed)
        for file in files:
            onnx.checker.check_model(str(file))
        sessions = [session(file, threads) for file in files]
        for batch in batches:
            feeds = inputs(name, size, batch, seed)
            results = [each.run(None, feeds) for each in sessions]
            yield from _judge(name, batch, [file.name for file in files], results)


def _judge(name, batch, files, results):
    first = results[0]
    for array in first:
        if array.shape[0] != batch or not np.isfinite(array).all():
            yield f"{name} batch {batch}: an output is {array.shape}, or not finite"
        if batch >= 64 and array.std() < 0.05:
            yield f"{name} batch {batch}: scores spread by only {array.std():.3g}"
    for file, other in zip(files[1:], results[1:]):
        worst = max(np.max(np.abs(a - b) / np.abs(b)) for a, b in zip(other, first))
        if worst > 1e-5:
            yield f"{name} batch {batch}: {file} differs from {files[0]} by {worst:.3g}"
    spread = " ".join(f"{a.mean():.3f}±{a.std():.3f}" for a in first)
    print(f"  {name:14} batch {batch:5}  {len(files)} forms agree  scores {spread}", flush=True)


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m examples.models.check", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--models", metavar="A,B", help=f"which of {','.join(NAMES)}")
    parser.add_argument("--batches", default="1,7,64,1000", metavar="N,N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    names = options.models.split(",") if options.models else (
        NAMES if options.size == "small" else SIX)
    batches = [int(batch) for batch in options.batches.split(",")]
    began, problems = time.monotonic(), []
    for name in names:
        problems += check_model(name, options.size, batches, options.seed, options.threads)
    for problem in problems:
        print(f"check: {problem}", file=sys.stderr)
    print(f"{len(names)} models, {len(problems)} problems, {time.monotonic() - began:.1f} s")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
