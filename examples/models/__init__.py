"""Ranking models as ONNX files, as PyTorch's exporters would write them.

    python -m examples.models --out build/models            six models and their variants, small
    python -m examples.models --out build/full --size full  the six at benchmark size
    python -m examples.models.check                         all of them under onnxruntime
"""

import pathlib
import sys

try:
    import norn  # noqa: F401
except ImportError:
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))

from . import bags, dcn_v2, deepfm, din, dlrm, mmoe, wide_deep  # noqa: E402

SIX = ("dlrm", "deepfm", "wide_deep", "dcn_v2", "din", "mmoe")
_MODULES = {"dlrm": dlrm, "deepfm": deepfm, "wide_deep": wide_deep, "dcn_v2": dcn_v2,
            "din": din, "mmoe": mmoe, "dlrm_multihot": dlrm, "dlrm_bags": bags}
NAMES = tuple(_MODULES)


def config(name, size):
    sizes = dlrm.MULTIHOT_SIZES if name == "dlrm_multihot" else _MODULES[name].SIZES
    return sizes[size]


def build(name, size, style, seed):
    """A ModelProto; for `dlrm_bags`, whose tables are files, (ModelProto, tables)."""
    return _MODULES[name].build(config(name, size), style, seed)


def inputs(name, size, batch, seed=0):
    """{input name: array} for a batch, with ids in range and distributed like traffic."""
    return _MODULES[name].inputs(config(name, size), batch, seed)
