"""Hand and forearm together, divided by a pose; readings of an image for hands of other sizes."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from support.examples import example

from handopt.input.pixel_labels import PIXEL_LABELS
from handopt.observation.observation import Observation
from handopt.observation.observe import observe, observe_other_sizes
from handopt.synth.wild import WildSample, WildSettings, generate_wild

SETTINGS = WildSettings(seed=4, hand="right", held=False, other_hand=False, forearm=True, noise="none")


@cache
def scene(index: int) -> tuple[WildSample, Observation]:
    """A hand on a forearm, with labels, and the observation that lies on the hand."""
    wild = generate_wild(SETTINGS, index)
    depth, camera = wild.sample.counts.astype(np.float32), wild.sample.scene.camera
    palm = wild.sample.scene.joints[[0, 5, 9, 13, 17]].mean(axis=0)
    near = [one for one in observe(depth, camera) if np.linalg.norm(one.center_mm - palm) < 80.0]
    return wild, near[0]


@pytest.mark.parametrize("index", [0, 1, 5, 6])
def test_the_true_pose_divides_hand_and_forearm(index: int) -> None:
    wild, observation = scene(index)
    limb, truth = observation.limb, wild.mask
    assert limb is not None
    step = limb.step
    first = (step - 1) // 2
    seen = (truth == PIXEL_LABELS["hand"])[first::step, first::step]
    divided = observation.divided(wild.sample.scene.joints, seen)
    hand, arm = truth == PIXEL_LABELS["hand"], truth == PIXEL_LABELS["forearm"]
    assert (divided.mask & hand).sum() > 0.9 * hand.sum()
    assert (divided.mask & arm).sum() < 0.1 * max(1, arm.sum())
    assert not (divided.mask & divided.arm).any()
    assert len(divided.points_mm) == divided.mask.sum()


def test_a_larger_hand_is_read_as_a_usual_one() -> None:
    """Half as large again and as far away again: the same image."""
    one = example("open")
    usual = observe(one.depth_mm, one.camera)[0]
    larger = np.asarray(one.depth_mm, np.float32) * np.float32(1.3)
    (found,) = observe_other_sizes(larger, one.camera, observe(larger, one.camera)[0])
    assert found.size == pytest.approx(1.3)
    assert np.linalg.norm(found.center_mm - usual.center_mm) < 3.0
    back = found.rescaled(1.3)
    assert back.size == pytest.approx(1.0)
    assert np.linalg.norm(back.center_mm - 1.3 * usual.center_mm) < 4.0
    assert back.area_cm2 == pytest.approx(1.69 * usual.area_cm2, rel=0.03)


def test_a_usual_hand_is_not_read_as_a_larger_one_that_looks_less_like_a_hand() -> None:
    one = example("open")
    usual = observe(one.depth_mm, one.camera)[0]
    assert observe_other_sizes(one.depth_mm, one.camera, replace(usual, score=50.0)) == []


def test_a_reading_without_a_cut_has_the_wrist() -> None:
    cut = [one for one in (scene(index)[1] for index in (0, 1, 5, 6)) if one.arm_direction is not None]
    observation = cut[0]
    uncut = observation.uncut()
    assert uncut.mask.sum() > observation.mask.sum()
    assert (observation.mask & ~uncut.mask).sum() < 0.1 * observation.mask.sum()
    assert np.linalg.norm(uncut.points_mm - uncut.center_mm, axis=1).max() < 125.0


def test_fingers_beyond_pixels_that_are_left_out_belong_to_the_limb() -> None:
    """A hand whose fingers a rod crosses, which the user leaves out."""
    one = example("open")
    depth = np.asarray(one.depth_mm, np.float32)
    (usual, *_) = observe(depth, one.camera)
    rows, columns = np.nonzero(usual.mask)
    rod = np.zeros(depth.shape, np.bool_)
    middle = int(rows.min() + 0.3 * np.ptp(rows))
    rod[middle : middle + 12, columns.min() - 5 : columns.max() + 5] = True
    found = min(
        observe(depth, one.camera, ignore=rod), key=lambda each: np.linalg.norm(each.center_mm - usual.center_mm)
    )
    limb = found.limb
    assert limb is not None
    first = (limb.step - 1) // 2
    hand, hidden = (each[first :: limb.step, first :: limb.step] for each in (usual.mask, rod))
    assert (limb.mask & hand & ~hidden).sum() > 0.9 * (hand & ~hidden).sum()
    assert not (limb.mask & hidden).any()
    far = limb.across(hidden, found.center_mm + np.array([0.0, 0.0, 400.0]))
    assert np.array_equal(far.mask | limb.mask, limb.mask), "nothing beyond the reach of the fingers"
