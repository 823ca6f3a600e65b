"""The validity of rest meshes: each kind of defect is found, and a change gives way only as far as it must."""

import numpy as np
import pytest
from support.shape_cases import smooth_offsets

from handopt.rig import default_rig
from handopt.shape.mesh_validity import MeshValidity, crossing_faces

RIG = default_rig()
FACES = RIG.faces.astype(np.int64)
VALIDITY = MeshValidity(RIG.rest_mm, FACES)


def test_the_default_hand_is_sound() -> None:
    defects = VALIDITY.defects(RIG.rest_mm)
    assert defects.valid
    assert defects.volume == pytest.approx(1.0)
    assert not crossing_faces(RIG.rest_mm, FACES).any()


def test_a_smooth_change_is_let_through_whole() -> None:
    change = smooth_offsets(2.5)
    assert np.array_equal(VALIDITY.feasible_step(np.zeros_like(change), change), change)


def test_a_turned_triangle_is_seen() -> None:
    rest = RIG.rest_mm.copy()
    a, b, c = FACES[100]
    middle = (rest[b] + rest[c]) / 2
    rest[a] = middle + 0.7 * (middle - rest[a])
    assert VALIDITY.defects(rest).flipped[100]


def test_a_collapsed_triangle_is_seen() -> None:
    rest = RIG.rest_mm.copy()
    a, b, c = FACES[100]
    rest[a] = (rest[b] + rest[c]) / 2 + 0.01 * (rest[a] - rest[b])
    assert VALIDITY.defects(rest).collapsed[100]


def test_a_finger_in_another_is_seen() -> None:
    names = np.array(RIG.joint_names)
    index = np.array(["index" in name and "metacarpal" not in name for name in names])[RIG.skin_indices[:, 0]]
    gap = RIG.keypoints_mm[9] - RIG.keypoints_mm[5]
    rest = RIG.rest_mm + 0.9 * index[:, None] * gap
    defects = VALIDITY.defects(rest)
    assert defects.crossing.sum() > 20
    assert not defects.valid


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_another_volume_is_seen(factor: float) -> None:
    defects = VALIDITY.defects(factor * RIG.rest_mm)
    assert not defects.any.any()
    assert defects.volume == pytest.approx(factor**3)
    assert not defects.valid


def test_only_what_does_harm_gives_way() -> None:
    change = smooth_offsets(2.0)
    bad = int(np.argmax(RIG.rest_mm[:, 2]))
    change[bad] -= 60.0 * RIG.normals[bad]
    admitted = VALIDITY.feasible_step(np.zeros_like(change), change)
    assert VALIDITY.defects(RIG.rest_mm + admitted).valid
    assert np.linalg.norm(admitted[bad]) < 30
    far = np.linalg.norm(RIG.rest_mm - RIG.rest_mm[bad], axis=1) > 80
    assert np.array_equal(admitted[far], change[far])


def test_what_cannot_be_helped_is_refused() -> None:
    change = -2 * (RIG.rest_mm - RIG.rest_mm.mean(axis=0))  # inside out
    admitted = VALIDITY.feasible_step(np.zeros_like(change), change)
    assert VALIDITY.defects(RIG.rest_mm + admitted).valid
