"""Keypoints at the places of the default hand: found again where joints were displaced, and moved with the bones."""

from dataclasses import replace
from pathlib import Path

import igl
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.character_files import character, names_of
from support.displaced_joints import displaced, with_joints_elsewhere
from support.mano_files import mano_arrays, write_mano
from support.observation_factory import CPU

from handopt import Rig, default_rig, load_rig, with_default_keypoints, with_keypoints
from handopt.errors import RigError
from handopt.hand_model import Hand
from handopt.rig import with_shape
from handopt.rig.pose import joint_transforms, posed_keypoints
from handopt.rig.skinned import Skinned

NEAR_MM = 1.5
SHOWN = slice(2, None)
"""The keypoints that a digit's skin shows: all but the wrist and the thumb's CMC."""


@pytest.mark.parametrize("side", ["right", "left"])
def test_auto_moves_the_keypoints_of_a_rig_whose_joints_lie_clearly_elsewhere(side: str) -> None:
    own = default_rig(side)
    near, far = (with_joints_elsewhere(own, away) for away in (4.0, 9.0))
    assert with_keypoints(own) is own
    assert with_keypoints(near) is near
    found = with_keypoints(far)
    assert np.linalg.norm(found.keypoints_mm - own.keypoints_mm, axis=1)[SHOWN].max() < NEAR_MM
    assert "mm from the model's joints on average (--keypoints rig keeps them there)" in found.notes[-1]
    assert with_keypoints(found) is found
    assert with_keypoints(far, "rig") is far
    assert np.array_equal(with_keypoints(near, "default").keypoints_mm, with_default_keypoints(near).keypoints_mm)


def test_auto_leaves_joints_of_mano_and_of_hands_without_folds(tmp_path: Path) -> None:
    model = load_rig(write_mano(tmp_path / "MANO_RIGHT.pkl", mano_arrays()))
    away = replace(model, bind=with_joints_elsewhere(model, 9.0).bind)
    assert with_keypoints(away) is away
    assert with_keypoints(without_folds()).keypoint_offsets_mm is None
    with pytest.raises(RigError, match=r"keypoints='defualt' is unknown \(did you mean 'default'\?\)"):
        with_keypoints(default_rig(), "defualt")


@pytest.mark.parametrize("vertices", [2000, 1000, 600])
def test_a_mesh_of_fewer_vertices_has_the_places_where_the_whole_one_has_them(vertices: int) -> None:
    own = default_rig()
    points, faces, _, origin = igl.qslim(own.rest_mm, own.faces.astype(np.int64), vertices)
    coarse = replace(
        own, rest_mm=points, faces=faces.astype(np.int32), skin_indices=own.skin_indices[origin],
        skin_weights=own.skin_weights[origin],
    )  # fmt: skip
    found = with_default_keypoints(coarse)
    assert np.linalg.norm(found.keypoints_mm - own.keypoints_mm, axis=1).max() < NEAR_MM


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_default_hand_keeps_its_own_keypoints(side: str) -> None:
    own = default_rig(side)
    assert with_default_keypoints(own).keypoints_mm == pytest.approx(own.keypoints_mm, abs=1e-9)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("seed", range(4))
def test_keypoints_come_back_where_joints_were_displaced(side: str, seed: int) -> None:
    own = default_rig(side)
    rig = displaced(own, seed)
    away = np.linalg.norm(rig.keypoints_mm - own.keypoints_mm, axis=1)
    assert away.max() > 6
    found = with_default_keypoints(rig)
    assert np.linalg.norm(found.keypoints_mm - own.keypoints_mm, axis=1)[SHOWN].max() < NEAR_MM
    assert found.keypoints_mm[[0, 1]] == pytest.approx(rig.keypoints_mm[[0, 1]])
    assert np.array_equal(found.bind, rig.bind)
    assert "keypoints but the wrist and the thumb's CMC are at the places of handopt's own hand" in found.notes[-1]


def test_a_larger_turned_hand_has_them_at_the_same_places() -> None:
    own = displaced(default_rig(), 5)
    turn, size = Rotation.random(random_state=2).as_matrix(), 1.15
    bind = np.concatenate([turn @ own.bind[:, :, :3], size * turn @ own.bind[:, :, 3:] + 30], axis=2)
    rig = replace(own, rest_mm=size * own.rest_mm @ turn.T + 30, bind=bind)
    expected = size * with_default_keypoints(own).keypoints_mm @ turn.T + 30
    assert with_default_keypoints(rig).keypoints_mm == pytest.approx(expected, abs=1e-6)


def test_mirrored_rigs_have_mirrored_keypoints() -> None:
    found = with_default_keypoints(displaced(default_rig("right"), 6))
    again = with_default_keypoints(replace(displaced(default_rig("right"), 6).mirrored(), name="hand"))
    assert found.mirrored().keypoints_mm == pytest.approx(again.keypoints_mm, abs=1e-6)
    assert found.mirrored().mirrored() is found


def test_a_character_without_tips_has_the_default_hands_tips(tmp_path: Path) -> None:
    path = character({"left": names_of("vrm1", "left")}).write(tmp_path / "body.glb")
    rig, own = load_rig(path), default_rig("left")
    place = np.array([700.0, 1400.0, 100.0])
    assert np.linalg.norm(with_default_keypoints(rig).keypoints_mm - place - own.keypoints_mm, axis=1).max() < NEAR_MM


def test_keypoints_move_with_their_bones_and_with_the_shape() -> None:
    rig = with_default_keypoints(displaced(default_rig(), 7))
    rng = np.random.default_rng(1)
    angles, shape = rng.uniform(-0.3, 0.3, (1, 15, 3)), np.full(len(rig.shape_names), 0.05)
    pose = Rotation.random(random_state=3).as_matrix()[None], np.array([[10.0, 20.0, 400.0]]), angles, np.ones(1)
    shaped = with_shape(rig, shape)
    transforms = joint_transforms(shaped, *pose)
    rest = np.concatenate([shaped.keypoints_mm, np.ones((21, 1))], axis=1)
    expected = np.einsum("kac,kc->ka", transforms[0, rig.keypoint_joints], rest)
    assert posed_keypoints(shaped, transforms, angles)[0] == pytest.approx(expected, abs=1e-9)
    stored = Skinned.from_arrays(Skinned.of(shaped).arrays())
    assert stored.posed(*pose)[1][0] == pytest.approx(expected, abs=1e-9)
    assert Hand.of(rig, CPU, np.float64).keypoints == pytest.approx(rig.keypoints_mm)


def without_folds() -> Rig:
    """The default hand without the skin of its index finger."""
    own = default_rig()
    apart = own.keypoint_joints[[5, 6, 7, 8]]
    kept = ~np.isin(own.skin_indices[:, 0], [*apart, own.joint_names.index("index-finger-metacarpal")])
    faces = own.faces[kept[own.faces].all(axis=1)]
    return replace(own, faces=faces)


def test_a_hand_without_folds_is_refused() -> None:
    with pytest.raises(RigError, match="the folds between its fingers were not found: use its own joints"):
        with_default_keypoints(without_folds())
