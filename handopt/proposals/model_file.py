"""A model in a file: the network that proposes poses, what it was trained on, and for which hand.

One .npz file of arrays, read without executing anything; every array is checked where the file is read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.assets import asset
from handopt.errors import HandoptError, OutputError
from handopt.files import UnreadableError, sha256_of
from handopt.input.arrays import ArraySpec, read_arrays
from handopt.proposals.features import CHANNELS, PLAIN_CHANNELS, SIZE
from handopt.proposals.network import STEM, VERSION, Network, head_sizes
from handopt.proposals.votes import MAPS, vote_layers
from handopt.rig import default_rig
from handopt.rig.joints import KEYPOINT_JOINTS

ASSET: Final = "proposals.npz"
"""The model that comes with handopt."""
MODEL_FORMAT: Final = "handopt.model/1"
ARCHIVE: Final = b"PK"
"""What .npz files begin with."""
LARGEST_BYTES: Final = 256 << 20
"""Of all arrays of a model."""
MOST_STAGES: Final = 5
MOST_HEADS: Final = 64
LARGEST_WEIGHT: Final = 1e4
WIDEST_CONVOLUTION: Final = 512
WIDEST: Final = 4096
"""Channels of a convolution and numbers that any layer gives, at most."""


@dataclass(frozen=True, eq=False)
class PoseModel:
    """A network that proposes poses. metadata: see save_model; digest: SHA-256 of its file, in hexadecimal."""

    network: Network
    metadata: dict[str, Any]
    digest: str

    def describe(self) -> dict[str, Any]:
        """What results say about the model that they come from."""
        return {"format": MODEL_FORMAT, "digest": self.digest, "training": self.metadata.get("training")}


def save_model(
    path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any], *, overwrite: bool = False
) -> None:
    """Write a model, complete or not at all.

    arrays: weights and biases by name, as handopt.proposals.network.Network has them. metadata: heads, stages, and
    further plain values such as training (how it was made) and scores. Raises OutputError.
    """
    from importlib.metadata import version

    from handopt.atomic_folder import written_file

    if not overwrite and (path.exists() or path.is_symlink()):
        raise OutputError(f"{path} exists and was kept: replace it with overwrite=True or choose another name")
    facts = {"version": VERSION, "handopt": version("handopt"), "rig": rig_digest(), **metadata}
    try:
        with written_file(path) as partial, partial.open("wb") as file:
            np.savez(  # halves hardly compress, and unpacking takes longer than reading
                file,
                allow_pickle=False,
                format=np.array(MODEL_FORMAT),
                metadata=np.array(json.dumps(facts, allow_nan=False)),
                **{name: each.astype(np.float16) for name, each in arrays.items()},
            )
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}; choose another place") from error


def check_model_place(output: Path, *, replace: bool) -> None:
    """Refuse a name that is none for a model, or that is taken. Raises OutputError."""
    if output.suffix != ".npz" or not output.stem:
        raise OutputError(f"{output} is not a name for a model: choose one that ends in .npz")
    if output.is_dir():
        raise OutputError(f"{output} is a folder: choose another name")
    if not replace and (output.exists() or output.is_symlink()):
        raise OutputError(f"{output} exists and was kept: replace it with overwrite=True or choose another name")


def load_model(path: str | PathLike[str]) -> PoseModel:
    """Read a model. Raises HandoptError, which says what is wrong with the file and what to do."""
    path = Path(path)
    try:
        metadata = _metadata(path)
        specs = _layout(int(metadata["stages"]), int(metadata["heads"]))
        arrays, _ = read_arrays(path, specs, LARGEST_BYTES)
        digest = sha256_of(path)
    except UnreadableError as error:
        if not _is_archive(path):
            raise HandoptError(
                f"{path} is no usable model: a network of handopt train or handopt adapt is a .npz archive, and this "
                "is none (a rigged hand goes to handopt fit and track); give such a file"
            ) from error
        raise HandoptError(f"{path} is no usable model: {error.reason}; copy or train it again") from error
    weights = {name: each.astype(np.float32) for name, each in arrays.items()}
    network = Network(weights, int(metadata["stages"]), int(metadata["heads"]))
    problem = _misfit(network)
    if problem is not None:
        raise HandoptError(f"{path} is no usable model: {problem}; copy or train it again")
    return PoseModel(network, metadata, digest)


def _is_archive(path: Path) -> bool:
    """Whether a file begins as archives do, or is none that can be read."""
    try:
        if not path.is_file():
            return True
        with path.open("rb") as file:
            return file.read(len(ARCHIVE)) == ARCHIVE
    except OSError:
        return True


@cache
def default_model() -> PoseModel:
    """The model that comes with handopt. Raises HandoptError where its file is missing or broken."""
    try:
        return load_model(asset(ASSET))
    except (HandoptError, OSError) as error:
        raise HandoptError(f"handopt's own network cannot be used ({error}): install handopt again") from error


@cache
def rig_digest() -> str:
    """What tells the default hand, whose poses a model gives, from another one."""
    rig = default_rig("right")
    numbers = (rig.keypoints_mm, rig.limits.lower, rig.limits.upper)
    return sha256(b"".join(np.round(each, 3).astype("<f8").tobytes() for each in numbers)).hexdigest()[:16]


def _metadata(path: Path) -> dict[str, Any]:
    """Format, version and rig, checked. Raises UnreadableError and, where the file is of another kind, HandoptError."""
    text = {"format": ArraySpec("text", ()), "metadata": ArraySpec("text", ())}
    try:
        arrays, _ = read_arrays(path, text, LARGEST_BYTES)
    except UnreadableError as error:
        if str(error).startswith("lacks"):
            raise HandoptError(f"{path} is no model of handopt: give a file that handopt train wrote") from error
        raise
    if str(arrays["format"]) != MODEL_FORMAT:
        raise HandoptError(
            f"{path} is {str(arrays['format'])[:60]!r}, this handopt reads {MODEL_FORMAT}: train it again, or install "
            "the version that wrote it"
        )
    try:
        metadata: dict[str, Any] = json.loads(str(arrays["metadata"]))
    except ValueError as error:
        raise UnreadableError("has damaged metadata") from error
    known = isinstance(metadata, dict) and all(
        isinstance(metadata.get(name), int) and least <= metadata[name] <= most
        for name, least, most in (("stages", MAPS, MOST_STAGES), ("heads", 1, MOST_HEADS))
    )
    if not known:
        raise UnreadableError("has damaged metadata")
    if metadata.get("version") != VERSION:
        raise HandoptError(
            f"{path} has a network of version {metadata.get('version')!r}, this handopt runs {VERSION}: train it again"
        )
    if metadata.get("rig") != rig_digest():
        raise HandoptError(f"{path} was trained for another hand than handopt's own: train it again with this handopt")
    return metadata


def _layout(stages: int, heads: int) -> dict[str, ArraySpec]:
    """What each array must be; a name stands for the width of a layer."""
    numbers = sum(head_sizes(int(default_rig("right").limits.free.sum())))
    sizes: dict[str, tuple[int | str | None, int | str | None]] = {"stem": ("pixels", "width0")}
    for stage in range(stages):
        width = f"width{stage + 1}"
        sizes[f"stage{stage}.shrink"] = (None, width)
        sizes[f"stage{stage}.first"] = sizes[f"stage{stage}.second"] = (None, width)
    sizes |= {
        "dense": (None, "hidden"),
        "inner": ("hidden", "features"),
        "head": ("features", heads * numbers),
        "joints": ("features", 2 * len(KEYPOINT_JOINTS)),
        **vote_layers("features", *(f"width{stage + 1}" for stage in range(stages - MAPS, stages))),
    }
    specs = {}
    for name, (inputs, outputs) in sizes.items():
        specs[f"{name}.weight"] = ArraySpec("number", (inputs, outputs), -LARGEST_WEIGHT, LARGEST_WEIGHT)
        specs[f"{name}.bias"] = ArraySpec("number", (outputs,), -LARGEST_WEIGHT, LARGEST_WEIGHT)
    return specs


def _misfit(network: Network) -> str | None:
    """Why layers do not fit together, or give what is not finite."""
    for name, each in network.weights.items():
        if name.endswith("bias") and len(each) > (WIDEST_CONVOLUTION if name.startswith("st") else WIDEST):
            return f"its layer {name.removesuffix('.bias')} is too wide"
    inputs = len(network.weights["stem.weight"])
    if inputs not in [STEM * STEM * channels for channels in (PLAIN_CHANNELS, CHANNELS)]:
        return f"its first layer has {inputs} inputs"
    try:
        with np.errstate(all="ignore"):
            features, maps = network.look(np.zeros((1, SIZE, SIZE, network.channels), np.float32))
            found = [network.hypotheses(features), *network.joints(features), *network.votes(features, maps)]
    except ValueError:
        return "its layers do not fit together"
    return None if all(np.isfinite(each).all() for each in found) else "it gives numbers that are not finite"
