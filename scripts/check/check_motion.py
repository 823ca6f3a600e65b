#!/usr/bin/env python3
"""Check the files of `handopt export` with motion in Blender: finger bones point where the track's bones point.

    scripts/check/check_motion.py TRACK CHARACTER.glb --blender PYTHON

TRACK: a folder of handopt track. CHARACTER.glb: a rig for its hand. PYTHON: a Python with the package bpy. Written are
GLB (the character), BVH and USD. Prints the largest angle in degrees of each; exits with 1 beyond one degree.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from handopt.export.motion.formats import export_motion
from handopt.export.motion.source import read_motion
from handopt.rig.bone_names import hand_bones
from handopt.rig.gltf import read_skinned_meshes
from handopt.rig.joints import BONES, KEYPOINT_JOINTS

BLENDER_SIDE = Path(__file__).with_name("check_motion_blender.py")


def main() -> int:
    """Write, ask Blender, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("track", type=Path)
    parser.add_argument("character", type=Path)
    parser.add_argument("--blender", required=True)
    options = parser.parse_args()
    motion = read_motion(options.track)
    bones = hand_bones(read_skinned_meshes(options.character)[0].joint_names, motion.side)
    with tempfile.TemporaryDirectory() as folder:
        names = {"glb": bones, "bvh": None, "usdc": None}
        for suffix in names:
            character = options.character if suffix == "glb" else None
            export_motion(options.track, Path(folder) / f"moved.{suffix}", character=character)
        own = dict(zip(KEYPOINT_JOINTS, KEYPOINT_JOINTS, strict=True))
        expected = {
            "fps": motion.fps,
            "time_s": motion.time_s.tolist(),
            "joints_m": motion.joints_m.tolist(),
            "bones": [pair for pair in BONES if pair[0]],
            "names": {
                suffix: [(given or own).get(name) for name in KEYPOINT_JOINTS] for suffix, given in names.items()
            },
        }
        (Path(folder) / "expected.json").write_text(json.dumps(expected), encoding="utf-8")
        return subprocess.run([options.blender, str(BLENDER_SIDE), folder], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
