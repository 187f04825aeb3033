"""Command line: build the example models."""

import argparse
import pathlib
import sys
import time

from . import NAMES, SIX
from .exporter import STYLES
from .write import write_model, write_package

EPILOG = """\
files, under --out:
  NAME.onnx             the TorchScript exporter's form (torch.onnx.export(dynamo=False)), opset 17
  NAME_dynamo.onnx      the torch.export-based form (dynamo=True), opset 18, with the same weights
  repository/NAME/1/    the package form: model.onnx over ai.norn operators, tables/*.safetensors;
                        for dlrm and dlrm_bags, whose standard-operator twins are NAME.onnx

models larger than 500 MB keep their weights in NAME.onnx.data, which must stay beside them.
"""


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="python -m examples.models", epilog=EPILOG,
        description="Build ranking models as ONNX, as PyTorch's exporters write them.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="DIR",
                        help="folder to write to; made if absent")
    parser.add_argument("--size", choices=("small", "full"), default="small",
                        help="small for tests (default), full for benchmarks")
    parser.add_argument("--models", metavar="A,B",
                        help=f"which of {','.join(NAMES)}; default: all for small, "
                             f"{','.join(SIX)} for full")
    parser.add_argument("--style", choices=(*STYLES, "both"),
                        help="which exporter's form; default: both for small, torchscript for full")
    parser.add_argument("--packages", action=argparse.BooleanOptionalAction, default=None,
                        help="also write dlrm as a package; default: for small only")
    parser.add_argument("--seed", type=int, default=1, metavar="N",
                        help="seed of the weights (default 1)")
    options = parser.parse_args(argv)
    small = options.size == "small"
    options.models = (options.models.split(",") if options.models
                      else list(NAMES if small else SIX))
    for name in options.models:
        if name not in NAMES:
            parser.error(f"--models: '{name}' is not one of {', '.join(NAMES)}")
    style = options.style or ("both" if small else "torchscript")
    options.styles = STYLES if style == "both" else (style,)
    if options.packages is None:
        options.packages = small
    return options


def report(paths, began):
    for path in paths:
        files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
        size = sum(file.stat().st_size for file in files) / 1e6
        print(f"{path}  {size:.1f} MB  {time.monotonic() - began:.1f} s", flush=True)


def main(argv=None):
    options = parse(argv)
    for name in options.models:
        styles = options.styles if name != "dlrm_bags" else ("torchscript",)
        for style in styles:
            began = time.monotonic()
            report(write_model(options.out, name, options.size, style, options.seed), began)
        if options.packages and name == "dlrm":
            began = time.monotonic()
            report(write_package(options.out, name, options.size, options.seed), began)


if __name__ == "__main__":
    sys.exit(main())
