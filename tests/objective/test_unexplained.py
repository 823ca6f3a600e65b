"""How well a mesh explains an observation, and which joints are seen."""

from dataclasses import replace

import numpy as np
import pytest
from support.factories import fit_result
from support.observation_factory import CAMERA, small_observation

from handopt.assess.visibility import visible_joints
from handopt.objective.unexplained import unexplained_fraction

RESULT = fit_result()
CROP = RESULT.observation.crop(64)
GRID = RESULT.observation.grid(CROP)
FACES = RESULT.rig.faces


def moved(*offset: float) -> np.ndarray:
    """The true mesh, moved by mm."""
    return RESULT.vertices_mm + np.array(offset)


def unexplained(vertices: np.ndarray) -> float:
    return float(unexplained_fraction(vertices[None], FACES, CROP, GRID)[0])


def test_the_true_mesh_explains_most_and_none_explains_nothing() -> None:
    here = unexplained(RESULT.vertices_mm)
    assert here < 0.25
    assert unexplained(moved(0, 0, 3000)) > 0.9
    away = unexplained(moved(0, 0, 10))
    assert away - here == pytest.approx(0.5, abs=0.1), "10 mm off is half of the 20 mm that are wholly wrong"
    assert unexplained(moved(60, 0, 0)) > 0.8, "missed here, invented there"


def test_meshes_are_judged_one_by_one() -> None:
    both = np.stack([RESULT.vertices_mm, moved(0, 0, 10)])
    assert unexplained_fraction(both, FACES, CROP, GRID).tolist() == [unexplained(mesh) for mesh in both]


def test_pixels_that_may_be_something_else_count_less_but_not_before_what_is_measured() -> None:
    halved = replace(GRID, evidence=np.full(GRID.hand.shape, 0.5, np.float32))

    def judged(vertices: np.ndarray) -> float:
        return float(unexplained_fraction(vertices[None], FACES, CROP, halved)[0])

    assert judged(moved(0, 0, 3000)) == pytest.approx(unexplained(moved(0, 0, 3000))), "relative to what counts"
    behind, before = moved(0, 0, 12), moved(0, 0, -12)
    assert judged(behind) == pytest.approx(unexplained(behind), abs=0.15)
    assert judged(before) > 1.6 * unexplained(before), "in full, of half as much"


def test_joints_behind_other_surfaces_are_not_seen() -> None:
    camera = small_observation().camera
    depth = np.full((CAMERA.height, CAMERA.width), 400.0)
    depth[:, CAMERA.width // 2 :] = 0.0
    left, right = camera.backproject(np.full(depth.shape, 410.0))[[10, 10], [5, CAMERA.width - 5]]
    joints = np.stack([left, left * 424 / 410, right, [1e5, 0, 400.0]])
    assert visible_joints(joints, depth, camera, 1.0).tolist() == [True, False, False, False]
    assert visible_joints(joints, depth, camera, 1.2).tolist() == [True, True, False, False]
