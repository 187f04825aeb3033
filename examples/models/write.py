"""Write the models to files, each stamped with its name and size so that inputs can be made."""

from norn import export
from norn import package as packages
from norn.standard_ops import save

from . import bags, build, config

STAMP = "norn.example"


def write_model(out, name, size, style, seed):
    """Write one model in one style; returns the paths written."""
    if name == "dlrm_bags":
        return _write_bags(out, size, seed)
    model = build(name, size, style, seed)
    _stamp(model, name, size)
    stem = name if style == "torchscript" else f"{name}_dynamo"
    return save(model, out / f"{stem}.onnx")


def write_package(out, name, size, seed):
    """Write `name` as a package whose standard-operator twin is NAME.onnx in the same folder."""
    folder = out / "repository" / name / "1"
    model = build(name, size, "torchscript", seed)
    _stamp(model, name, size)
    export.package(model, folder)
    return [folder]


def _write_bags(out, size, seed):
    model, tables = build("dlrm_bags", size, "torchscript", seed)
    _stamp(model, "dlrm_bags", size)
    folder = out / "repository" / "dlrm_bags" / "1"
    packages.write(folder, model, tables, bags.settings(config("dlrm_bags", size)))
    return [folder, *export.to_standard_ops(folder, out / "dlrm_bags.onnx")]


def _stamp(model, name, size):
    entry = model.metadata_props.add()
    entry.key, entry.value = STAMP, f"{name}:{size}"


def stamp_of(model):
    """(name, size) of a file that this module wrote, else None."""
    for entry in model.metadata_props:
        if entry.key == STAMP:
            return tuple(entry.value.split(":"))
    return None
