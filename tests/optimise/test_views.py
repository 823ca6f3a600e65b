"""Which readings of an image a search compares: without what is not the hand's, and as a network labels the hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from handopt.config import Config
from handopt.input.camera import Camera
from handopt.observation.limb import HandAndArm
from handopt.observation.observation import Observation
from handopt.observation.other_pixels import OtherPixels
from handopt.observation.surfaces import lifted_points, segment_surfaces
from handopt.optimise.views import CroppedObservation, cropped, labelled_readings, without_others
from handopt.typing import BoolImage

CAMERA = Camera(475.0, 475.0, 159.5, 119.5, 320, 240)
LEFT, RIGHT = np.array([-40.0, 0.0, 500.0]), np.array([40.0, 0.0, 500.0])


def rectangle(rows: tuple[int, int], columns: tuple[int, int]) -> BoolImage:
    mask = np.zeros((240, 320), np.bool_)
    mask[slice(*rows), slice(*columns)] = True
    return mask


HAND = rectangle((60, 180), (100, 220))


def observed(center: np.ndarray = LEFT, mask: BoolImage = HAND) -> Observation:
    depth = np.where(HAND, np.float32(500.0), np.float32(0.0))
    frame = segment_surfaces(depth, CAMERA, None, planes=False)
    points = lifted_points(CAMERA, depth, mask)
    limb = HandAndArm(frame, HAND, 1)
    return Observation(CAMERA, depth, mask, np.zeros_like(mask), center, points, None, False, 2.0, (), limb=limb)


def view(observation: Observation) -> CroppedObservation:
    return cropped(observation, False, Config())


def other(mask: BoolImage, palm: np.ndarray, hand: BoolImage = HAND, holds: str = "object") -> OtherPixels:
    return OtherPixels(mask, hand & ~mask, holds, SimpleNamespace(palm_mm=palm))


def test_each_view_loses_what_is_seen_from_the_nearest_palm() -> None:
    upper, lower = rectangle((60, 90), (100, 220)), rectangle((150, 180), (100, 220))
    found = [other(upper, LEFT), other(lower, RIGHT, holds="hand")]
    (first, _, _), (second, _, _) = without_others([view(observed(LEFT)), view(observed(RIGHT))], found)
    assert (first.holds, second.holds) == ("object", "hand")
    for observation, gone, kept in ((first, upper, lower), (second, lower, upper)):
        assert observation.limb is not None
        assert not (observation.mask & gone).any()
        assert not (observation.limb.mask & gone).any()
        assert (observation.mask & kept).sum() == kept.sum()


def test_views_stay_where_nothing_is_found_or_nothing_would_be_left() -> None:
    views = [view(observed())]
    assert without_others(views, [])[0][0] is views[0][0]
    assert without_others(views, [other(HAND, LEFT)])[0][0] is views[0][0]


@pytest.mark.parametrize("limb", ["none", "of another resolution"])
def test_views_whose_limb_cannot_be_compared_stay(limb: str) -> None:
    observation = observed()
    assert observation.limb is not None
    other_limb = None if limb == "none" else replace(observation.limb, mask=HAND[::2, ::2], step=2)
    views = [view(replace(observation, limb=other_limb))]
    assert without_others(views, [other(rectangle((60, 90), (100, 220)), LEFT)])[0][0] is views[0][0]


def test_the_network_s_hand_is_a_reading_about_its_palm() -> None:
    upper, far = rectangle((60, 90), (100, 220)), np.array([200.0, 0.0, 500.0])
    observations = [observed(RIGHT, rectangle((60, 180), (100, 110))), observed(far)]
    (reading,) = labelled_readings(observations, [other(upper, LEFT)])
    assert np.array_equal(reading.center_mm, LEFT)
    assert np.array_equal(reading.mask, HAND & ~upper)
    assert reading.other is not None
    assert np.array_equal(reading.other, upper)
    assert len(reading.points_mm) == reading.mask.sum()
    assert labelled_readings(observations, [other(upper, LEFT, hand=np.zeros_like(HAND))]) == []
