"""The prior of surfaces: smooth ones are likely, and opposite sides move alike."""

import numpy as np
import pytest
from scipy.sparse.linalg import splu
from support.shape_cases import smooth_offsets

from handopt.rig import default_rig
from handopt.shape.surface_prior import block_diagonal, surface_prior

RIG = default_rig()
PRIOR = surface_prior(RIG)


def test_it_is_symmetric_and_positive(rng: np.random.Generator) -> None:
    assert abs(PRIOR.precision - PRIOR.precision.T).max() < 1e-9 * abs(PRIOR.precision).max()
    for _ in range(5):
        assert PRIOR.cost(rng.normal(size=RIG.rest_mm.shape)) > 0
    assert PRIOR.cost(np.zeros_like(RIG.rest_mm)) == 0


def test_smooth_offsets_cost_less_than_rough_ones(rng: np.random.Generator) -> None:
    smooth = smooth_offsets(2.0)
    rough = smooth[rng.permutation(len(smooth))]
    assert PRIOR.cost(smooth) < 0.05 * PRIOR.cost(rough)


def test_opposite_sides_of_a_finger_move_alike() -> None:
    finger = RIG.joint_names.index("index-finger-phalanx-intermediate")
    share = (RIG.skin_weights * (RIG.skin_indices == finger)).sum(axis=1)[:, None]
    across = RIG.bind[finger, :, 1]
    thicker, shifted = share * RIG.normals, share * (RIG.normals @ across)[:, None] ** 2 * across
    same = np.linalg.norm(thicker) / np.linalg.norm(shifted)
    assert PRIOR.cost(thicker) < PRIOR.cost(same * shifted)


def test_a_vertex_deviates_about_as_much_as_said() -> None:
    factor = splu(PRIOR.precision)
    deviations = []
    for vertex in range(0, len(RIG.rest_mm), 97):
        direction = np.zeros_like(RIG.rest_mm)
        direction[vertex] = RIG.normals[vertex]
        deviations.append(np.sqrt(direction.ravel() @ factor.solve(direction.ravel())))
    assert 1.0 < np.mean(deviations) < 2.4


def test_blocks_stand_on_the_diagonal(rng: np.random.Generator) -> None:
    blocks = rng.normal(size=(4, 3, 3))
    dense = block_diagonal(blocks).toarray()
    assert np.array_equal(dense[3:6, 3:6], blocks[1])
    assert dense[0, 3] == 0
    assert dense.sum() == pytest.approx(blocks.sum())
