"""Opens a track's hand.glb and hand.bvh in Blender: python check_outputs_blender.py EXPECTED.json hand.glb hand.bvh

Run by a Python that has the package bpy. Prints the largest distance in mm between Blender's skinned vertices (of the
GLB) and joints (of the BVH) and those expected, at some frames. Exits with 1 if one is beyond MOST_OFF_MM.
"""

import json
import sys

import bpy
import numpy as np

MM_PER_M, MM_PER_CM = 1000.0, 10.0
MOST_OFF_MM = 0.01
RATE = 30


def main(expected_name: str, glb: str, bvh: str) -> int:
    """Compare both files."""
    with open(expected_name) as file:  # noqa: PTH123
        expected = json.load(file)
    off = {"glb_vertices_off_mm": of_glb(glb, expected), "bvh_joints_off_mm": of_bvh(bvh, expected)}
    print(json.dumps({"blender": bpy.app.version_string, **off}))
    return int(max(off.values()) > MOST_OFF_MM)


def of_glb(path: str, expected: dict) -> float:
    """Blender turns y up into z up."""
    begin()
    bpy.ops.import_scene.gltf(filepath=path)
    mesh = next(each for each in bpy.data.objects if each.type == "MESH" and each.find_armature() is not None)
    most = 0.0
    for frame in expected["frames"]:
        show(frame["time_s"] * RATE)
        shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
        skin = shown.to_mesh()
        points = np.array([shown.matrix_world @ vertex.co for vertex in skin.vertices])
        shown.to_mesh_clear()
        most = max(most, MM_PER_M * farthest(points, z_up(frame["vertices_m"])))
    return most


def of_bvh(path: str, expected: dict) -> float:
    """Joints by name; Blender keeps the file's unit, centimetres."""
    begin()
    bpy.ops.import_anim.bvh(filepath=path, frame_start=0, axis_forward="-Z", axis_up="Y", use_fps_scale=False)
    armature = next(each for each in bpy.data.objects if each.type == "ARMATURE")
    most = 0.0
    for frame in expected["frames"]:
        show(frame["frame"] + 1)  # the first frame of the file comes one after frame_start
        joints = {name: place for name, place in frame["joints_m"].items() if name in armature.pose.bones}
        points = np.array([armature.matrix_world @ armature.pose.bones[name].head for name in joints])
        centimetres = 100.0 * z_up(list(joints.values()))
        most = max(most, MM_PER_CM * farthest(points, centimetres))
    return most


def begin() -> None:
    """An empty scene of RATE frames a second, at which the importer turns times into frames."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps, bpy.context.scene.render.fps_base = RATE, 1.0


def show(frame: float) -> None:
    """Go to a frame, which may lie between two."""
    bpy.context.scene.frame_set(int(frame // 1), subframe=frame % 1)


def z_up(points: list) -> np.ndarray:
    """From y up, z towards the viewer, to Blender's frame."""
    x, y, z = np.array(points).T
    return np.stack([x, -z, y], axis=1)


def farthest(points: np.ndarray, others: np.ndarray) -> float:
    """The largest distance between two sets of points; infinite where they are of another size."""
    return float(np.linalg.norm(points - others, axis=1).max()) if points.shape == others.shape else float("inf")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
