"""`handopt model export`, and what `handopt model show` says of a network."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.console import Console
from handopt.cli.errors import naming_option
from handopt.cli.help import SectionedCommand
from handopt.cli.options import FILE, output_options, verbosity_options
from handopt.cli.outputs import require_free_file

if TYPE_CHECKING:
    from handopt.proposals.model_file import PoseModel

SUFFIX = ".npz"
"""Of a network's file; that of a rig ends in .glb or .gltf."""


@click.command(
    cls=SectionedCommand,
    short_help="Write a network as ONNX.",
    examples=(("a model of handopt train for ONNX Runtime", "handopt model export base.npz -o base.onnx"),),
)
@click.argument("model", metavar="MODEL", type=FILE)
@output_options("FILE", "Where to write it; the name ends in .onnx.", replaces="a file that exists")
@verbosity_options
def export(model: Path, output: Path | None, *, overwrite: bool) -> None:
    """Write the network of MODEL, a file of handopt train, as ONNX, which needs the package onnx.

    Its input is called view, (batch, 64, 64, 6), or 2 in place of 6 for models that were trained without labels of
    pixels; its outputs are hypotheses, and keypoints_mm, radius_mm, uncertainty_mm and visible where the model tells of
    the joints.
    """
    from handopt.atomic_folder import written_file
    from handopt.errors import OutputError
    from handopt.proposals.onnx_export import onnx_bytes

    if output is None:
        raise click.UsageError("-o FILE is missing: say where the network is to be written, such as -o model.onnx")
    if output.suffix.lower() != ".onnx":
        raise click.UsageError(f"-o {output}: the network is an ONNX file; call it {output.with_suffix('.onnx').name}")
    require_free_file(output, overwrite=overwrite)
    content = onnx_bytes(load_network(model))
    try:
        with written_file(output) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error.strerror or error}; choose another with -o") from error
    Console().result(click.format_filename(output))


def load_network(path: Path) -> "PoseModel":
    """Read a network. Raises UsageError."""
    from handopt.proposals.model_file import load_model

    with naming_option("MODEL"):
        return load_model(path)


def describe_network(path: Path, *, as_json: bool) -> Iterator[str]:
    """What a network is, how it was trained and what its scores were, as lines of text or of JSON."""
    model = load_network(path)
    facts = document(model)
    if as_json:
        yield json.dumps({"model": str(path), **facts})
        return
    yield f"{path.name}: a network of {facts['heads']} hypotheses, {facts['numbers']:,} numbers"
    yield f"digest: {model.digest}"
    yield f"written by handopt {facts['handopt']}"
    for title, values in (("trained on", facts["training"]), ("scores", facts["scores"])):
        yield ""
        yield f"{title}:" if values else f"{title}: the file does not say"
        yield from (f"  {name}: {_shown(value)}" for name, value in (values or {}).items())


def document(model: "PoseModel") -> dict[str, Any]:
    """A network as JSON values."""
    metadata, weights = model.metadata, model.network.weights
    return {
        **model.describe(),
        "handopt": metadata.get("handopt"),
        "rig": metadata.get("rig"),
        "version": metadata.get("version"),
        "heads": model.network.heads,
        "numbers": sum(each.size for each in weights.values()),
        "scores": metadata.get("scores"),
    }


def _shown(value: Any) -> str:
    """A plain value, numbers with few digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
