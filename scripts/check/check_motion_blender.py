"""Opens moved.glb, moved.bvh and moved.usdc of a folder in Blender: python check_motion_blender.py FOLDER

Run by a Python that has the package bpy. expected.json says which bones there are and where they point. Prints the
largest angle in degrees between Blender's bones and those; exits with 1 beyond MOST_DEGREES.
"""

import json
import sys
from pathlib import Path

import bpy
import numpy as np

MOST_DEGREES = 1.0
LEAST_BONES = 10
"""Of five fingers, two each, that have a bone at both ends in every format."""


def main(folder: Path) -> int:
    """Compare all files."""
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    off = {suffix: compared(folder / f"moved.{suffix}", suffix, expected) for suffix in expected["names"]}
    print(json.dumps({"blender": bpy.app.version_string, "largest_degrees": off}))
    compared_all = all(each["bones"] >= LEAST_BONES for each in off.values())
    return int(not compared_all or max(each["degrees"] for each in off.values()) > MOST_DEGREES)


def compared(path: Path, suffix: str, expected: dict) -> dict:
    """The largest angle, and how many bones of how many frames were compared."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    fps = expected["fps"]
    bpy.context.scene.render.fps = round(fps)
    if suffix == "glb":
        bpy.ops.import_scene.gltf(filepath=str(path))
    elif suffix == "bvh":
        bpy.ops.import_anim.bvh(filepath=str(path), frame_start=0, axis_forward="-Z", axis_up="Y", use_fps_scale=False)
    else:
        bpy.ops.wm.usd_import(filepath=str(path), set_frame_range=True)
    armature = next(each for each in bpy.data.objects if each.type == "ARMATURE")
    names = [name and name.replace("-", "_") for name in expected["names"][suffix]]
    heads = {bone.name.replace("-", "_"): bone for bone in armature.pose.bones}  # USD has no hyphens
    pairs = [(a, b) for a, b in expected["bones"] if names[a] in heads and names[b] in heads]
    most = 0.0
    for row, time_s in enumerate(expected["time_s"]):
        frame = row + 1 if suffix == "bvh" else time_s * fps
        bpy.context.scene.frame_set(int(frame), subframe=frame - int(frame))
        true = np.array(expected["joints_m"][row])
        for parent, child in pairs:
            first, last = (armature.matrix_world @ heads[names[each]].head for each in (parent, child))
            most = max(most, degrees(np.array(last - first), z_up(true[child] - true[parent])))
    return {"degrees": round(most, 4), "bones": len(pairs), "frames": len(expected["time_s"])}


def z_up(vector: np.ndarray) -> np.ndarray:
    """Blender turns y up into z up."""
    return np.array([vector[0], -vector[2], vector[1]])


def degrees(first: np.ndarray, second: np.ndarray) -> float:
    """The angle between two vectors."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second)))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
