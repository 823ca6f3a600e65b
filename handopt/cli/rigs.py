"""From --model, --joint-map, --limits and --hand to a rig; and from names to networks."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from handopt.cli.errors import naming_option

if TYPE_CHECKING:
    from handopt.cli.settings import HandOptions, SynthOptions
    from handopt.proposals.model_file import PoseModel
    from handopt.rig import Rig
    from handopt.rig.keypoint_places import Places

OWN_NETWORK = "handopt"
"""Stands for handopt's own network."""


def load_model(options: "HandOptions | SynthOptions", *, either_side: bool = False) -> "Rig | None":
    """Load --model, if one is given. either_side: also where --hand names the other one. Raises UsageError."""
    from handopt.rig import load_rig
    from handopt.rig.joints import read_mapping

    mapping = options.joint_map
    if options.model is None:
        if mapping is not None:
            raise click.UsageError("--joint-map names the joints of a --model, which is missing")
        if options.part is not None:
            raise click.UsageError("--part names a hand of a --model, which is missing")
        if options.keypoints not in (None, "rig"):
            raise click.UsageError(
                "--keypoints is for a --model, which is missing: handopt's own hand has its joints where both say; "
                "leave it out, or name the rig with --model"
            )
        return None
    if mapping is not None:
        with naming_option("--joint-map"):
            read_mapping(mapping)
    side = options.hand if options.hand in ("right", "left") and not either_side else None
    with naming_option("--model"):
        rig = load_rig(options.model, side, mapping, options.limits, options.part)
    return placed_keypoints(rig, options.keypoints)


def placed_keypoints(rig: "Rig", places: "Places | None") -> "Rig":
    """The rig with its keypoints where --keypoints says. Raises UsageError."""
    from handopt.rig import with_keypoints

    with naming_option("--keypoints"):
        return with_keypoints(rig, places or "auto")


def load_proposals(path: "Path | None", name: str = "--proposals") -> "PoseModel | None":
    """Load the model of a network, if one is given. name: of the option. Raises UsageError."""
    from handopt.proposals.model_file import load_model as load_network

    if path is None:
        return None
    with naming_option(name):
        return load_network(path)


def named_network(word: str, name: str) -> "PoseModel | None":
    """The model that an argument names, None for handopt's own network. Raises UsageError."""
    if word == OWN_NETWORK:
        return None
    path = Path(word)
    if not path.is_file():
        raise click.UsageError(
            f"{name} {word} is no file: give a model, or the word {OWN_NETWORK} for handopt's own network"
        )
    return load_proposals(path, name)


def own_rig(side: str, limits: str) -> "Rig | None":
    """handopt's own hand with --limits; None for the hand as it is. side: auto as well."""
    from handopt.rig import default_rig

    if limits == "default":
        return None
    return default_rig("left" if side == "left" else "right", limits)
