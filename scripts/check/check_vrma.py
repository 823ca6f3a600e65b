#!/usr/bin/env python3
"""Play the VRM animation of a track on an avatar with @pixiv/three-vrm: fingers point where the track's bones point.

    scripts/check/check_vrma.py TRACK

TRACK: a folder of handopt track. Needs node and npm, which install three and three-vrm into a folder for the time of
the check. The avatar is a bare skeleton of VRM 1 with other lengths than the hand, whose bones have axes of their own.
Prints the largest angle in degrees; exits with 1 beyond one degree.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from handopt.export.motion.formats import export_motion
from handopt.export.motion.source import HandMotion, read_motion

SCRIPT = Path(__file__).with_name("check_vrma.mjs")
NODE_PACKAGES = ("three", "@pixiv/three-vrm", "@pixiv/three-vrm-animation")
DIGITS = {"Thumb": 1, "Index": 5, "Middle": 9, "Ring": 13, "Little": 17}
"""The first keypoint of each digit."""
BODY = {  # bone: the bone above it, and where it is from there, m
    "hips": (None, (0, 1, 0)), "spine": ("hips", (0, 0.1, 0)), "head": ("spine", (0, 0.5, 0)),
    "leftUpperLeg": ("hips", (0.1, 0, 0)), "leftLowerLeg": ("leftUpperLeg", (0, -0.4, 0)),
    "leftFoot": ("leftLowerLeg", (0, -0.4, 0)), "rightUpperLeg": ("hips", (-0.1, 0, 0)),
    "rightLowerLeg": ("rightUpperLeg", (0, -0.4, 0)), "rightFoot": ("rightLowerLeg", (0, -0.4, 0)),
}  # fmt: skip


def parts(digit: str) -> tuple[str, ...]:
    """What VRM 1 calls the three bones of a digit."""
    return (
        "Metacarpal" if digit == "Thumb" else "Proximal",
        "Proximal" if digit == "Thumb" else "Intermediate",
        "Distal",
    )


def skeleton() -> dict[str, tuple[str | None, tuple[float, ...]]]:
    """All bones of an avatar in the T-pose."""
    bones: dict[str, tuple[str | None, tuple[float, ...]]] = dict(BODY)
    for side, out in (("left", 1.0), ("right", -1.0)):
        for bone, above, length in (
            ("UpperArm", "spine", 0.15),
            ("LowerArm", "UpperArm", 0.3),
            ("Hand", "LowerArm", 0.25),
        ):
            parent = above if above == "spine" else side + above
            bones[side + bone] = (parent, (out * length, 0.4 if above == "spine" else 0.0, 0.0))
        for row, digit in enumerate(DIGITS):
            above = f"{side}Hand"
            for number, part in enumerate(parts(digit)):
                own = (0.03, 0.0, 0.03) if digit == "Thumb" else (0.04, 0.0, 0.0)
                first = (0.09, 0.0, 0.04 - 0.02 * row)
                place = first if number == 0 and digit != "Thumb" else own
                bones[f"{side}{digit}{part}"] = (above, (out * place[0], *place[1:]))
                above = f"{side}{digit}{part}"
    return bones


def write_avatar(path: Path) -> None:
    """Write a VRM 1 file without a mesh; each bone's axes are turned at random."""
    import pygltflib as gltf

    bones, rng = skeleton(), np.random.default_rng(7)
    names = list(bones)
    turned = {name: Rotation.random(random_state=rng) for name in names}
    document = gltf.GLTF2(asset=gltf.Asset(version="2.0"), scene=0, scenes=[gltf.Scene(nodes=[0])])
    for name, (above, place) in bones.items():
        frame = turned[above].inv() if above else Rotation.identity()
        below = [names.index(each) for each, (parent, _) in bones.items() if parent == name]
        document.nodes.append(
            gltf.Node(
                name=name,
                children=below or None,
                translation=frame.apply(place).tolist(),
                rotation=(frame * turned[name]).as_quat().tolist(),
            )
        )
    meta = {"name": "skeleton", "authors": ["handopt"], "licenseUrl": "https://vrm.dev/licenses/1.0/"}
    human = {"humanBones": {name: {"node": row} for row, name in enumerate(names)}}
    document.extensionsUsed = ["VRMC_vrm"]
    document.extensions = {"VRMC_vrm": {"specVersion": "1.0", "meta": meta, "humanoid": human}}
    path.write_bytes(b"".join(document.save_to_bytes()))


def expected(motion: HandMotion) -> dict[str, Any]:
    """Where the bones between joints of the avatar point."""
    bones = []
    for digit, first in DIGITS.items():
        own = parts(digit)
        for number in range(2):
            points = motion.joints_m[:, first + number + 1] - motion.joints_m[:, first + number]
            ends = {"from": f"{motion.side}{digit}{own[number]}", "to": f"{motion.side}{digit}{own[number + 1]}"}
            bones.append({**ends, "points": points.tolist()})
    return {"time_s": motion.time_s.tolist(), "bones": bones}


def main(arguments: list[str]) -> int:
    """Write, play, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("track", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        write_avatar(work / "avatar.vrm")
        export_motion(options.track, work / "hand.vrma")
        (work / "expected.json").write_text(json.dumps(expected(read_motion(options.track))), encoding="utf-8")
        subprocess.run(["npm", "install", "--silent", "--prefix", work, *NODE_PACKAGES], check=True)
        script = shutil.copy(SCRIPT, work)
        files = [work / each for each in ("expected.json", "avatar.vrm", "hand.vrma")]
        return subprocess.run(["node", script, *files], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
