"""How posed hands compare with an image and with each other, against slow twins in NumPy."""

import numpy as np
import pytest

from handopt.errors import ShapeError
from handopt.ops.comparisons import LimbTube, divide_limb, limb_areas, same_poses, unexplained_pixels

TUBE = LimbTube(
    reach=300.0,
    bend=0.17,
    near_wrist=20.0,
    at_wrist=45.0,
    axis_reach=200.0,
    least_cm2=4.0,
    before=10.0,
    entry=30.0,
    radius=(48.0, 0.12),
)


def image_of_depths(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Depths in mm, 0 for a third of them."""
    return (rng.uniform(400, 460, shape) * (rng.random(shape) > 0.33)).astype(np.float32)


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("with_behind", [False, True])
@pytest.mark.parametrize("with_evidence", [False, True])
def test_unexplained_pixels(step: int, with_behind: bool, with_evidence: bool) -> None:
    rng = np.random.default_rng(step)
    observed, hand, free = image_of_depths(rng, 23, 17), rng.random((23, 17)) > 0.5, rng.random((23, 17)) > 0.5
    evidence = rng.uniform(0.2, 1, observed.shape) if with_evidence else None
    small = observed[::step, ::step].shape
    depth, behind = image_of_depths(rng, 4, *small), image_of_depths(rng, *small) if with_behind else None
    wrong, whole = unexplained_pixels(depth, observed, hand, free, evidence, wrong_mm=20.0, step=step, behind=behind)

    seen, here, nothing = (each[::step, ::step] for each in (observed, hand, free))
    counts = np.ones(small) if evidence is None else np.where(here, evidence[::step, ::step], 1)
    assert whole == pytest.approx(counts[here].sum())
    for number, mesh in enumerate(depth):
        other = np.zeros_like(mesh) if behind is None else behind
        both = np.where((mesh == 0) | (other > 0) & (other < mesh), other, mesh)
        off = np.minimum(np.abs(both - seen), 20) / 20
        value = np.where(here, np.where(both > 0, off, 1), (both > 0) & nothing)
        assert wrong[number] == pytest.approx(np.where((both > 0) & (both < seen), value, value * counts).sum())


def limb(rng: np.random.Generator, count: int) -> tuple[np.ndarray, ...]:
    """Points of a hand above the wrist and a forearm below it, where the hand is seen, the border, and areas in cm2."""
    points = np.concatenate([rng.normal((0, -60, 500), 30, (count, 3)), rng.normal((20, 120, 510), 40, (count, 3))])
    covered, border = rng.random(2 * count) > 0.7, rng.random(2 * count) > 0.7
    return points.astype(np.float32), covered, border, rng.uniform(0.01, 0.2, 2 * count)


@pytest.mark.parametrize("count", [3, 700])  # the first has too little of a forearm for an axis
def test_a_limb_is_divided_at_the_wrist(count: int) -> None:
    points, covered, border, cm2 = limb(np.random.default_rng(count), count)
    hand = np.array([[0, 0, 500], [0, 1, 0], [0, -60, 500]], np.float32)
    arm, left, fingers_side, to_palm = divide_limb(points, covered, border, cm2, hand, TUBE)

    offsets = points.astype(np.float64) - hand[0]
    away, along_hand = np.linalg.norm(offsets, axis=1), offsets @ hand[1]
    bare = ~covered & (away < TUBE.reach)
    near = bare & (along_hand > TUBE.bend * away) & (away > TUBE.near_wrist) & (away < TUBE.axis_reach)
    expected = bare & (along_hand > 0) & (away < TUBE.at_wrist)
    if cm2[near].sum() > TUBE.least_cm2:
        axis = (offsets[near] / away[near][:, None]).mean(axis=0)
        axis /= np.linalg.norm(axis)
        along = offsets @ axis
        within = np.sqrt(np.maximum(away**2 - along**2, 0)) < TUBE.radius[0] + TUBE.radius[1] * np.maximum(along, 0)
        expected |= bare & (along > -TUBE.before) & within & (along_hand > -TUBE.near_wrist)
    assert (cm2[near].sum() > TUBE.least_cm2) == (count == 700)
    np.testing.assert_array_equal(arm, expected)
    np.testing.assert_array_equal(left, bare & ~expected)
    at_side = border & ~expected & (along_hand < -TUBE.entry) & (away < TUBE.reach)
    assert at_side.any() or count == 3
    np.testing.assert_array_equal(fingers_side, at_side)
    np.testing.assert_allclose(to_palm, np.linalg.norm(points - hand[2], axis=1), rtol=1e-5)


def test_areas_of_a_limb() -> None:
    rng = np.random.default_rng(5)
    seen, depth, mask = image_of_depths(rng, 19, 13), image_of_depths(rng, 19, 13), rng.random((19, 13)) > 0.5
    nothing, pixels = rng.random(19 * 13) > 0.6, np.flatnonzero(mask)
    points = rng.normal((0, 0, 430), 20, (len(pixels), 3)).astype(np.float32)
    cm2, left = rng.uniform(0.01, 0.2, len(pixels)), rng.random(len(pixels)) > 0.5
    counted, to_palm = 0.5 * cm2, rng.uniform(0, 260, len(pixels)).astype(np.float32)
    areas = limb_areas(
        *(seen, depth, mask, nothing, (pixels.astype(np.int32), points, cm2, counted), (left, to_palm)),
        limits_mm=(20.0, 130.0, 10.0),
    )

    here, z = seen.ravel()[pixels], points[:, 2]
    off = np.minimum(np.abs(z - here), 20) / 20
    free = (seen > 0) & ~mask & ((depth > seen + 10) | nothing.reshape(seen.shape))
    expected = [
        cm2[here > 0].sum(),
        counted[left & (to_palm < 130)].sum(),
        counted[left & (to_palm >= 130)].sum(),
        (off * np.where(here < z, cm2, counted))[here > 0].sum(),
        np.square(seen[free].astype(np.float64)).sum(),
    ]
    np.testing.assert_allclose(areas, expected, rtol=1e-5)


def test_poses_of_the_same_image_that_are_alike() -> None:
    rng = np.random.default_rng(6)
    joints = np.repeat(rng.normal(0, 60, (4, 21, 3)), 3, axis=0) + rng.normal(0, 1.5, (12, 21, 3))
    images = np.array([0] * 6 + [1] * 2 + [0] * 4, np.int32)
    distances = np.linalg.norm(joints[:, None] - joints, axis=-1).mean(axis=-1)
    expected = (distances < 4.0) & (images[:, None] == images)
    assert expected.sum() > 12
    np.testing.assert_array_equal(same_poses(joints.astype(np.float32), images, 4.0), expected)


def test_arrays_that_do_not_fit_are_refused() -> None:
    image, mask = np.ones((4, 6), np.float32), np.ones((4, 6), np.bool_)
    with pytest.raises(ShapeError, match="depth: expected every 2-th row"):
        unexplained_pixels(image[None], image, mask, mask, None, wrong_mm=20.0, step=2)
    with pytest.raises(ShapeError, match="hand: expected bool of shape"):
        unexplained_pixels(image[None], image, mask.astype(np.uint8), mask, None, wrong_mm=20.0)
    with pytest.raises(ShapeError, match="images: expected int32 of shape"):
        same_poses(np.ones((2, 21, 3), np.float32), np.zeros(2, np.int64), 4.0)
