"""A model package: a directory with model.onnx, tables/*.safetensors and norn.json.

    model.onnx                   reads its tables through the operators of domain `ai.norn`
    tables/<table>.safetensors   "rows" [n, dim]; "keys" [n] int64 too, when keys are not 0..n-1
    norn.json                    optional settings
"""

import json
import pathlib
import re

import onnx

from . import safetensors_file

DOMAIN = "ai.norn"


class Package:
    """The parts of a package on disk, read lazily."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        if not (self.folder / "model.onnx").is_file():
            raise FileNotFoundError(f"{self.folder}: no model.onnx; is this a version's folder, "
                                    "as in repository/<model>/<version>?")

    def model(self):
        return onnx.load(self.folder / "model.onnx")

    def table(self, name):
        """{"rows": [n, dim]} and, for a hashed table, "keys": [n]."""
        path = self.folder / "tables" / f"{name}.safetensors"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the model reads table '{name}', which has no file")
        tensors = safetensors_file.read(path)
        if "rows" not in tensors or tensors["rows"].ndim != 2:
            raise ValueError(f"{path}: no tensor 'rows' of shape [n, dim]")
        return tensors

    def settings(self):
        path = self.folder / "norn.json"
        return json.loads(path.read_text()) if path.is_file() else {}


def write(folder, model, tables, settings=None):
    """Write a package; `tables` is {name: {"rows": array[, "keys": array]}}."""
    folder = pathlib.Path(folder)
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for stale in (folder / "tables").glob("*.safetensors"):
        stale.unlink()
    onnx.save(model, folder / "model.onnx")
    for name, tensors in tables.items():
        keyed = {"keys": tensors["keys"]} if "keys" in tensors else {}
        safetensors_file.write(folder / "tables" / f"{name}.safetensors",
                               {**keyed, "rows": tensors["rows"]})
    if settings:
        (folder / "norn.json").write_text(json.dumps(settings, indent=2) + "\n")
    return folder


def table_name(initializer, taken):
    """A file name for the table of an initializer: `emb.3.weight` becomes `emb.3`."""
    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", initializer.removesuffix(".weight")).strip("._")
    stem = stem or "table"
    name, count = stem, 1
    while name in taken:
        count += 1
        name = f"{stem}_{count}"
    return name
