"""A track as USD: the skinned hand, its skeleton and its motion, in metres with y up (UsdSkel)."""

from pathlib import Path
from typing import Any

import numpy as np

from handopt.errors import import_extra
from handopt.export.gltf_buffer import M_PER_MM, Y_UP
from handopt.export.morph_targets import MorphTargets, features_of, morph_targets
from handopt.export.motion.character import quaternions
from handopt.export.motion.source import HandMotion
from handopt.typing import Floats

PACKAGE, EXTRA = "pxr", "usd"


def write_usd(motion: HandMotion, path: Path) -> list[str]:
    """Write a .usd, .usda or .usdc file, and return what the user should know. Raises OutputError without usd-core.

    https://openusd.org/release/api/usd_skel_page_front.html: joints are paths, matrices act on rows from the right.
    """
    for module in ("pxr.Usd", "pxr.UsdGeom", "pxr.UsdSkel", "pxr.Gf", "pxr.Vt"):
        import_extra(module, "USD", EXTRA)
    from pxr import Usd, UsdGeom, UsdSkel

    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(motion.fps)
    stage.SetFramesPerSecond(motion.fps)
    codes = motion.time_s * motion.fps
    stage.SetStartTimeCode(float(codes[0]))
    stage.SetEndTimeCode(float(codes[-1]))
    root = UsdSkel.Root.Define(stage, "/hand")
    stage.SetDefaultPrim(root.GetPrim())
    skeleton = UsdSkel.Skeleton.Define(stage, "/hand/skeleton")
    animation = UsdSkel.Animation.Define(stage, "/hand/skeleton/motion")
    joints = _paths(motion)
    binds = _square(motion.hand.bind)
    _set_skeleton(skeleton, joints, binds, motion.hand.parents)
    _set_motion(animation, joints, local_matrices(motion, binds), motion, codes)
    UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPrim().GetPath()])
    mesh = UsdGeom.Mesh.Define(stage, "/hand/mesh")
    _set_mesh(mesh, motion, skeleton)
    if motion.hand.pose_correctives is not None:
        targets = morph_targets(motion.hand.pose_correctives, features_of(motion.hand, motion.angles_rad))
        if targets.names:
            _set_correctives(stage, mesh, animation, targets, codes)
    stage.GetRootLayer().Save()
    return []


def local_matrices(motion: HandMotion, binds: Floats) -> Floats:
    """(T, J, 4, 4) of the joints in their parents' frames, in metres; that of the wrist has the hand's scale."""
    turned = np.tile(np.eye(4), (*motion.transforms.shape[:2], 1, 1))
    turned[..., :3, :3] = Y_UP @ motion.transforms[..., :3]
    turned[..., :3, 3] = motion.transforms[..., 3] @ Y_UP.T * M_PER_MM
    world = turned @ binds
    local = world.copy()
    for joint, parent in enumerate(motion.hand.parents):
        if parent >= 0:
            local[:, joint] = np.linalg.inv(world[:, parent]) @ world[:, joint]
    return local


def _square(bind: Floats) -> Floats:
    """(J, 4, 4) in metres of bind matrices (J, 3, 4) in mm."""
    square = np.tile(np.eye(4), (len(bind), 1, 1))
    square[:, :3] = bind
    square[:, :3, 3] *= M_PER_MM
    return square


def _paths(motion: HandMotion) -> list[str]:
    """The path of each joint; USD's names have no hyphens."""
    paths: list[str] = []
    for name, parent in zip(motion.joint_names, motion.hand.parents, strict=True):
        own = name.replace("-", "_")
        paths.append(own if parent < 0 else f"{paths[parent]}/{own}")
    return paths


def _matrices(matrices: Floats) -> Any:
    from pxr import Gf, Vt

    return Vt.Matrix4dArray([Gf.Matrix4d(*matrix.T.ravel().tolist()) for matrix in matrices])


def _set_skeleton(skeleton: Any, joints: list[str], binds: Floats, parents: Any) -> None:
    rest = binds.copy()
    for joint, parent in enumerate(parents):
        if parent >= 0:
            rest[joint] = np.linalg.inv(binds[parent]) @ binds[joint]
    skeleton.CreateJointsAttr(joints)
    skeleton.CreateBindTransformsAttr(_matrices(binds))
    skeleton.CreateRestTransformsAttr(_matrices(rest))


def _set_motion(animation: Any, joints: list[str], local: Floats, motion: HandMotion, codes: Floats) -> None:
    from pxr import Gf, Vt

    animation.CreateJointsAttr(joints)
    scales = np.linalg.norm(local[..., :3, :3], axis=-2)
    rotations = local[..., :3, :3] / scales[..., None, :]
    turned = np.stack([quaternions(rotations[:, joint]) for joint in range(len(joints))], axis=1)
    places, turns, sizes = (
        animation.CreateTranslationsAttr(),
        animation.CreateRotationsAttr(),
        animation.CreateScalesAttr(),
    )
    for row, code in enumerate(codes.tolist()):
        places.Set(Vt.Vec3fArray([Gf.Vec3f(*each) for each in local[row, :, :3, 3].tolist()]), code)
        turns.Set(Vt.QuatfArray([Gf.Quatf(w, x, y, z) for x, y, z, w in turned[row].tolist()]), code)
        sizes.Set(Vt.Vec3hArray([Gf.Vec3h(*each) for each in scales[row].tolist()]), code)


def _set_mesh(mesh: Any, motion: HandMotion, skeleton: Any) -> None:
    from pxr import Gf, UsdGeom, UsdSkel, Vt

    hand = motion.hand
    mesh.CreatePointsAttr(Vt.Vec3fArray([Gf.Vec3f(*each) for each in (hand.rest_mm * M_PER_MM).tolist()]))
    mesh.CreateFaceVertexCountsAttr([3] * len(hand.faces))
    mesh.CreateFaceVertexIndicesAttr(hand.faces.ravel().tolist())
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    width = hand.skin_indices.shape[1]
    binding.CreateJointIndicesPrimvar(False, width).Set(hand.skin_indices.ravel().tolist())
    binding.CreateJointWeightsPrimvar(False, width).Set(hand.skin_weights.ravel().tolist())
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1.0))
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPrim().GetPath()])


def _set_correctives(stage: Any, mesh: Any, animation: Any, targets: MorphTargets, codes: Floats) -> None:
    """Give a mesh what the poses add to its rest vertices."""
    from pxr import UsdSkel, Vt

    paths = [mesh.GetPath().AppendChild(name) for name in targets.names]
    for path, displacements_mm in zip(paths, targets.displacements_mm, strict=True):
        shape = UsdSkel.BlendShape.Define(stage, path)
        shape.CreateOffsetsAttr(Vt.Vec3fArray.FromNumpy((displacements_mm * M_PER_MM).astype(np.float32)))
    binding = UsdSkel.BindingAPI(mesh.GetPrim())
    binding.CreateBlendShapesAttr(targets.names)
    binding.CreateBlendShapeTargetsRel().SetTargets(paths)
    animation.CreateBlendShapesAttr(targets.names)
    weights = animation.CreateBlendShapeWeightsAttr()
    for row, code in enumerate(codes.tolist()):
        weights.Set(Vt.FloatArray.FromNumpy(targets.weights[row].astype(np.float32)), code)
