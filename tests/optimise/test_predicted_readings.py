"""The hand as a predicted pose sees it: without a thing that hangs together with it."""

from dataclasses import replace

import numpy as np
from support.examples import example

from handopt.input.camera import Camera
from handopt.observation.observation import Observation
from handopt.observation.observe import observe
from handopt.optimise import predicted_readings as module
from handopt.optimise.predicted_readings import near_pixels, predicted_readings
from handopt.rig.anatomy import MIRROR

CAMERA = Camera(400.0, 400.0, 39.5, 29.5, 80, 60)


def doubted(observation: Observation) -> Observation:
    """The observation where something else may be near."""
    assert observation.limb is not None
    ones, of_limb = (np.ones(depth.shape, np.float32) for depth in (observation.depth_mm, observation.limb.mask))
    return observation.weighted(ones, of_limb)


def with_thing(name: str = "open") -> tuple[Observation, np.ndarray]:
    """An observation whose hand has a plate stuck to it, and the plate's pixels in the image."""
    seen = example(name)
    hand = observe(seen.depth_mm, seen.camera)[0]
    middle = int(np.median(np.flatnonzero(hand.mask.any(axis=1))))
    plate = np.zeros_like(hand.mask)
    for row in range(middle - 35, middle + 35):
        edge = int(np.flatnonzero(hand.mask[row]).max())
        plate[row, edge - 5 : edge + 60] = True
    plate &= ~hand.mask
    beside = np.median(seen.depth_mm[middle][hand.mask[middle]][-20:])
    depth = np.where(plate, beside, seen.depth_mm).astype(np.float32)
    return max(observe(depth, seen.camera), key=lambda each: np.count_nonzero(each.mask & plate)), plate


def test_a_thing_beside_the_hand_is_left_out() -> None:
    observation, plate = with_thing()
    assert np.count_nonzero(observation.mask & plate) > 2000, "the thing is taken for the hand's"
    (reading,) = predicted_readings([doubted(observation)], [False], None)
    assert np.count_nonzero(reading.mask & plate) < 0.5 * np.count_nonzero(observation.mask & plate)
    truth = example("open")
    column, row = np.rint(truth.camera.project(truth.joints_mm)).astype(int).T
    assert reading.mask[row, column].mean() > 0.8, "the hand stays"


def test_a_left_hand_is_read_as_its_mirror_image() -> None:
    observation, _ = with_thing()
    (right,) = predicted_readings([doubted(observation)], [False], None)
    (left,) = predicted_readings([doubted(observation.mirrored())], [True], None)
    again = left.mask[:, ::-1]
    assert np.count_nonzero(again & right.mask) > 0.98 * np.count_nonzero(again | right.mask), "but for rounding"
    assert np.allclose(left.center_mm * MIRROR, right.center_mm, atol=1e-3)


def test_of_two_sides_the_better_explained_one_is_taken() -> None:
    observation, _ = with_thing()
    both, right = (predicted_readings([doubted(observation)], sides, None)[0] for sides in ([False, True], [False]))
    assert np.array_equal(both.mask, right.mask), "the example is a right hand"


def test_nothing_is_read_where_nothing_else_is_near_or_too_little_is_left() -> None:
    observation, _ = with_thing()
    assert predicted_readings([observation], [False], None) == []
    assert predicted_readings([replace(doubted(observation), limb=None)], [False], None) == []
    few = replace(doubted(observation), mask=np.zeros_like(observation.mask), points_mm=np.zeros((0, 3), np.float32))
    assert predicted_readings([few], [False], None) == []


def test_pixels_on_and_beside_the_skin_are_near() -> None:
    skin = np.zeros((60, 80), np.float32)
    skin[20:40, 30:50] = 400.0
    depth = np.full((60, 80), 400.0, np.float32)
    near = near_pixels(depth, skin, CAMERA)
    reach = round(module.BESIDE_MM * CAMERA.fx / 400.0)
    assert near[20 - reach : 40 + reach, 30 - reach : 50 + reach].all()
    assert np.count_nonzero(near) == (20 + 2 * reach) ** 2
    for off, on, beside in ((12.0, True, False), (-12.0, True, False), (16.0, False, False), (8.0, True, True)):
        found = near_pixels(depth + np.float32(off), skin, CAMERA)
        assert found[30, 40] == on, off
        assert found[18, 40] == beside, off
    assert not near_pixels(np.zeros_like(depth), skin, CAMERA).any()
    assert not near_pixels(depth, np.zeros_like(skin), CAMERA).any()
