"""The finer mesh is the mesh with its edges' middles, and a baked rig is what was fitted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.compare import assert_close
from support.factories import bent
from support.mano_files import mano_arrays, write_mano
from support.shape_cases import CPU, smooth_offsets, template

from handopt.export.rig_gltf import write_rig
from handopt.hand_model import Hand, Pose
from handopt.rig import default_rig, load_rig, with_shape
from handopt.rig.anatomy import MIRROR
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices
from handopt.shape.bone_lengths import SHAPE_NAMES
from handopt.shape.state import HandShape, PosedShape, Template

RIG = default_rig()


def some_pose() -> Pose:
    empty = np.zeros((1, 0))
    rotation, translation = np.diag([1.0, -1.0, -1.0])[None], np.array([[5.0, 10.0, 400.0]])
    return Pose(bent(0.7)[None], rotation, translation, np.ones(1), np.zeros(1, np.int32), empty)


def test_middles_lie_between_their_ends() -> None:
    fine = template().fine(RIG.rest_mm)
    first, second = template().edges[7]
    assert_close(
        fine[len(RIG.rest_mm) + 7], (RIG.rest_mm[first] + RIG.rest_mm[second]) / 2, atol=1e-12, reason="rounding"
    )
    assert len(fine) == len(RIG.rest_mm) + 3 * len(RIG.faces) // 2


def test_gathered_is_the_transpose_of_fine(rng: np.random.Generator) -> None:
    values = rng.normal(size=(2, *RIG.rest_mm.shape))
    cotangent = rng.normal(size=(2, len(RIG.rest_mm) + len(template().edges), 3))
    assert np.isclose((template().fine(values) * cotangent).sum(), (values * template().gathered(cotangent)).sum())


def test_a_baked_rig_is_what_was_fitted(rng: np.random.Generator) -> None:
    shape = HandShape(1.13, rng.uniform(-0.06, 0.06, len(SHAPE_NAMES)), smooth_offsets(2.0))
    baked = Hand.of(shape.rig(template(), "baked"), CPU, np.float64)
    fitted = template().hand(shape.offsets_mm)
    pose = PosedShape.of(some_pose(), shape).pose
    transforms = fitted.transforms(pose, fitted.bind_of(pose))
    vertices = fitted.vertices(transforms, fitted.rest_of(pose))[0, : len(RIG.rest_mm)]
    joints = fitted.joints(transforms, fitted.keypoints_of(pose))[0]
    wrist = joints[0]
    again = some_pose()
    transforms = baked.transforms(again)
    assert_close(vertices, baked.vertices(transforms)[0], atol=1e-6, reason="rounding")
    assert_close(joints, baked.joints(transforms)[0], atol=1e-6, reason="rounding")
    assert np.linalg.norm(wrist - again.translation[0]) < 1e-9


def test_offsets_give_way_where_the_proportions_leave_no_room() -> None:
    bad = int(np.argmax(RIG.rest_mm[:, 2]))
    offsets = smooth_offsets(1.5)
    shape = HandShape(1.0, np.full(len(SHAPE_NAMES), 0.03), offsets)
    assert np.array_equal(template().valid(shape).offsets_mm, offsets)
    offsets = offsets.copy()
    offsets[bad] -= 60.0 * RIG.normals[bad]
    sound = template().valid(HandShape(1.0, shape.proportions, offsets))
    assert np.linalg.norm(sound.offsets_mm[bad]) < 30
    assert np.array_equal(template().valid(sound).offsets_mm, sound.offsets_mm)


def test_no_change_is_the_generic_rig() -> None:
    rig = HandShape(1.0, np.zeros(len(SHAPE_NAMES)), np.zeros_like(RIG.rest_mm)).rig(template(), "same")
    assert_close(rig.rest_mm, RIG.rest_mm, atol=1e-12, reason="rounding")
    assert_close(rig.bind, RIG.bind, atol=1e-12, reason="rounding")
    assert rig.limits is RIG.limits


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_personal_hand_keeps_the_models_pose_correctives_and_its_file_too(tmp_path: Path, side: str) -> None:
    model = load_rig(write_mano(tmp_path / f"MANO_{side.upper()}.pkl", mano_arrays(side)))
    rng = np.random.default_rng(5)
    angles, rotation = rng.uniform(-0.4, 0.4, (1, 15, 3)), Rotation.random(random_state=2).as_matrix()[None]
    betas, scale, offsets = rng.normal(0, 0.05, len(model.shape_names)), 1.13, rng.normal(0, 0.3, model.rest_mm.shape)
    right = model if side == "right" else model.mirrored()
    template = Template.of(right, CPU, np.float64)
    own = HandShape(scale, betas, offsets).rig(template, "mine")
    own = replace(own if side == "right" else own.mirrored(), name="mine", confidence=np.zeros(len(offsets)))
    # What the fits compare with the images: the model's hand with these betas and offsets, enlarged by the scale.
    flip = np.ones(3) if side == "right" else MIRROR
    fitted = with_shape(model, betas)
    bind = fitted.bind.copy()
    bind[:, :, 3] += template.regressor.shifts(offsets) * flip
    fitted = replace(fitted, rest_mm=fitted.rest_mm + offsets * flip, bind=bind)
    place = np.array([[20.0, -10.0, 400.0]])
    moved = joint_transforms(fitted, rotation, place, angles, np.full(1, scale))
    expected = posed_vertices(fitted, moved, angles), posed_keypoints(fitted, moved, angles)
    plain = posed_vertices(replace(fitted, pose_correctives=None), moved)
    assert np.abs(plain - expected[0]).max() > 1
    write_rig(own, tmp_path / "mine.glb")
    again = load_rig(tmp_path / "mine.glb")
    assert again.is_personal
    assert again.side == side
    for rig in (own, again):
        transforms = joint_transforms(rig, rotation, place, angles, np.ones(1))
        assert posed_vertices(rig, transforms, angles) == pytest.approx(expected[0], abs=2e-4)
        assert posed_keypoints(rig, transforms, angles) == pytest.approx(expected[1], abs=2e-4)
