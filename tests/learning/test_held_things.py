"""What hands hold in images to learn from, and what a segmentation leaves of it."""

import numpy as np
import pytest

from handopt.learning.held_things import GRASP_IMAGES, HeldThings, sample_things, segmented
from handopt.rig import default_rig

COUNT = 24


@pytest.fixture(scope="module")
def held() -> HeldThings:
    rng = np.random.default_rng(3)
    return sample_things(rng, default_rig("right"), rng.uniform(-0.05, 0.05, 13), rng.uniform(0.85, 1.15, COUNT))


def test_hands_close_around_their_things(held: HeldThings) -> None:
    rig = default_rig("right")
    assert held.angles.shape == (COUNT, 15, 3)
    assert (held.angles >= rig.limits.lower).all()
    assert (held.angles <= rig.limits.upper).all()
    assert len(held.meshes) == COUNT // GRASP_IMAGES
    for first in range(0, COUNT, GRASP_IMAGES):
        assert np.ptp(held.scale[first : first + GRASP_IMAGES]) == 0
    for points, faces in held.meshes:
        assert faces.max() < len(points)
        assert np.linalg.norm(points, axis=1).min() < 150, "in the wrist's frame, near the hand"
    assert not (held.whole & held.part).any()


def test_things_move_with_their_wrists(held: HeldThings) -> None:
    turn = np.tile(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), (COUNT, 1, 1))
    wrist = np.tile(np.array([10.0, 20.0, 500.0]), (COUNT, 1))
    things = held.placed(turn, wrist)
    assert [thing.rows for thing in things] == [slice(n, n + GRASP_IMAGES) for n in range(0, COUNT, GRASP_IMAGES)]
    for thing, (points, _) in zip(things, held.meshes, strict=True):
        scale = held.scale[thing.rows][0]
        turned = scale * np.stack([-points[:, 1], points[:, 0], points[:, 2]], axis=1) + wrist[0]
        assert np.allclose(thing.points, turned, atol=1e-6)


def images() -> tuple[np.ndarray, np.ndarray]:
    """A hand of 40 x 40 pixels, and a thing before its right half and beyond."""
    hand, thing = (np.full((COUNT, 64, 64), np.inf) for _ in range(2))
    hand[:, 12:52, 12:52] = 0.0
    thing[:, 20:44, 32:62] = -10.0
    return hand, thing


def segment(held: HeldThings, whole: bool, part: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    chosen = HeldThings(held.angles, held.scale, held.meshes, np.full(COUNT, whole), np.full(COUNT, part))
    return segmented(np.random.default_rng(seed), *images(), chosen)


def test_a_thing_is_left_whole_or_in_part_or_taken_out(held: HeldThings) -> None:
    hand, thing = images()
    there = np.isfinite(thing)
    left, seen = segment(held, whole=True, part=False)
    assert (left[there] == thing[there]).all()
    assert np.isinf(seen[there]).all(), "what the thing hides of the hand is not seen"
    assert (seen[~there] == hand[~there]).all()
    out, _ = segment(held, whole=False, part=False)
    assert np.isinf(out[there]).all()
    part, _ = segment(held, whole=False, part=True)
    share = np.isfinite(part[:, 20:44, 32:62]).mean(axis=(1, 2))
    assert 0.2 < share.mean() < 0.8
    assert np.ptp(share) > 0.5, "of some images nearly all, of others nearly nothing"


def test_of_the_hand_only_pixels_beside_the_thing_are_lost(held: HeldThings) -> None:
    out, seen = segment(held, whole=False, part=False)
    lost = np.isfinite(seen) & np.isinf(out)
    assert 0 < lost.any(axis=(1, 2)).mean() < 1, "in some of the images"
    far = np.ones((64, 64), bool)
    far[17:47, 29:64] = False
    assert not lost[:, far].any()


def test_the_same_seed_gives_the_same(held: HeldThings) -> None:
    one, two, other = (segment(held, whole=False, part=True, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
