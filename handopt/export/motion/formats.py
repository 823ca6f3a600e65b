"""Which formats of motion there are, and the one function that writes them."""

from pathlib import Path
from typing import Final

from handopt import atomic_folder
from handopt.errors import OutputError, did_you_mean
from handopt.export.motion.character import read_character, target_rig, write_character
from handopt.export.motion.figures import write_amass, write_vrma
from handopt.export.motion.skeleton_bvh import own_target, write_motion_bvh
from handopt.export.motion.source import HandMotion, read_motion
from handopt.export.motion.usd import write_usd
from handopt.rig.joints import read_mapping

MOTION_SUFFIXES: Final = {
    "glb": (".glb", ".vrm"),
    "bvh": (".bvh",),
    "vrma": (".vrma",),
    "usd": (".usdc", ".usd", ".usda"),
    "amass": (".npz",),
}
"""The endings of each format; the first is the usual one."""
FOR_RIGS: Final = ("glb", "bvh")


def motion_format(output: Path, format: str | None) -> str | None:
    """The format of motion that a name or a path of the output asks for, None for neither. Raises OutputError."""
    suffix = output.suffix.lower()
    named = next((name for name, ends in MOTION_SUFFIXES.items() if suffix in ends and name != "amass"), None)
    if format is None:
        return named
    if format not in MOTION_SUFFIXES:
        return None
    if suffix not in MOTION_SUFFIXES[format]:
        ends = " or ".join(MOTION_SUFFIXES[format])
        raise OutputError(f"{output} does not end in {ends}: change output= or format={format!r}")
    return format


def export_motion(
    track: Path | str,
    output: Path | str,
    *,
    format: str | None = None,
    character: Path | str | None = None,
    joint_map: Path | str | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write the motion of a track for another program, and return what the user should know.

    track: a folder of `handopt track`. output: a file. format: a name in MOTION_SUFFIXES, None tells by the output.
    character: a .glb or .vrm, for glb (the character with one more animation) and bvh (its skeleton).
    joint_map: TOML or JSON of lines like wrist = "name of a bone", for bones of other names.
    Raises OutputError and RigError.
    """
    output = Path(output)
    chosen = motion_format(output, format)
    if chosen is None:
        raise OutputError(
            f"format={format!r} is no format of motion{did_you_mean(str(format), list(MOTION_SUFFIXES))}: "
            f"{', '.join(MOTION_SUFFIXES)}"
        )
    if character is None and (chosen == "glb" or joint_map is not None):
        raise OutputError(
            "character= is missing: the character's .glb; the track's own hand is hand.glb in its folder"
            if joint_map is None
            else "joint_map= names the bones of a character=, which is missing"
        )
    if character is not None and chosen not in FOR_RIGS:
        others = " or ".join(FOR_RIGS)
        raise OutputError(f"format={chosen!r} has a skeleton of its own: leave out character=, or use {others}")
    if (output.exists() or output.is_symlink()) and not overwrite:
        advice = "replace it with overwrite=True or choose another with output="
        raise OutputError(f"{output} exists and was kept: {advice}")
    motion = read_motion(Path(track))
    mapping = {} if joint_map is None else read_mapping(Path(joint_map))
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder.written_file(output) as partial:
        return tuple(_write(motion, chosen, None if character is None else Path(character), mapping, partial))


def _write(motion: HandMotion, chosen: str, rig: Path | None, mapping: dict[str, str], path: Path) -> list[str]:
    if chosen == "vrma":
        return write_vrma(motion, path)
    if chosen == "usd":
        return write_usd(motion, path)
    if chosen == "amass":
        return write_amass(motion, path)
    if chosen == "glb":
        assert rig is not None
        return write_character(motion, rig, mapping, path)
    target = own_target(motion)
    if rig is not None:
        target = target_rig(read_character(rig), motion.side, mapping, str(rig))
    return write_motion_bvh(motion, target, path)
