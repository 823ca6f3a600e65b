"""What is not of the hand, looked at again around a predicted hand."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from support.compare import assert_close
from support.examples import Example, example

from handopt.input.pixel_labels import OBJECT, PIXEL_LABELS
from handopt.observation.observe import observe
from handopt.observation.other_pixels import OtherPixels, find_other_pixels
from handopt.observation.pixel_network import PixelOutput
from handopt.observation.surfaces import LabelledDepth, flipped
from handopt.optimise.second_looks import LEAST_PX, predicted_hand, read_twice, seen_again
from handopt.rig.anatomy import MIRROR
from handopt.rig.joints import palm_of
from handopt.typing import BoolImage, FloatImage

SIDES = (False, True)


@dataclass
class AllObject:
    """A network for which everything is an object."""

    presence: float = 1.0
    seen: list[FloatImage] = field(default_factory=list)

    def both_ways(self, images: FloatImage) -> PixelOutput:
        self.seen.append(images)
        probability = np.tile(np.eye(len(PIXEL_LABELS), dtype=np.float32)[OBJECT], (*images.shape[:3], 1))
        one, places = np.ones(len(images)), np.zeros((len(images), 3))
        return PixelOutput(probability, places, places, one, self.presence * one, one, 0 * one)


@pytest.fixture(scope="module")
def truth() -> Example:
    return example("open")


def with_plate(truth: Example) -> tuple[FloatImage, BoolImage]:
    """The depth of a hand that has a plate stuck to it, and the plate's pixels."""
    hand = observe(truth.depth_mm, truth.camera)[0]
    middle = int(np.median(np.flatnonzero(hand.mask.any(axis=1))))
    plate = np.zeros_like(hand.mask)
    for row in range(middle - 35, middle + 35):
        edge = int(np.flatnonzero(hand.mask[row]).max())
        plate[row, edge - 5 : edge + 60] = True
    plate &= ~hand.mask
    beside = np.median(truth.depth_mm[middle][hand.mask[middle]][-20:])
    return np.where(plate, beside, truth.depth_mm).astype(np.float32), plate


def frame_and_first(depth: FloatImage, truth: Example) -> tuple[LabelledDepth, list[OtherPixels]]:
    limb = observe(depth, truth.camera)[0].limb
    assert limb is not None
    return limb.frame, find_other_pixels(limb.frame, palm_of(truth.joints_mm)[None])


def test_a_predicted_hand_is_where_the_hand_is(truth: Example) -> None:
    hand = observe(truth.depth_mm, truth.camera)[0]
    found = predicted_hand(truth.depth_mm, truth.camera, hand.mask, palm_of(truth.joints_mm), SIDES)
    assert found is not None
    assert np.linalg.norm(found.palm_mm - palm_of(truth.joints_mm)) < 12
    assert 0.8 < found.size < 1.25
    skin = found.skin_mm > 0
    assert np.count_nonzero(skin & hand.mask) > 0.75 * np.count_nonzero(skin | hand.mask)
    left = predicted_hand(
        flipped(truth.depth_mm), truth.camera.mirrored(), flipped(hand.mask), palm_of(truth.joints_mm) * MIRROR, SIDES
    )
    assert left is not None
    assert_close(left.palm_mm, found.palm_mm * MIRROR, atol=1e-3, reason="a mirrored image, but for rounding")
    assert np.mean(flipped(left.skin_mm > 0) == skin) > 0.999


def test_no_hand_is_predicted_from_too_few_pixels(truth: Example) -> None:
    few = np.zeros(truth.depth_mm.shape, np.bool_)
    few.ravel()[np.flatnonzero(truth.depth_mm)[: LEAST_PX - 1]] = True
    assert predicted_hand(truth.depth_mm, truth.camera, few, palm_of(truth.joints_mm), SIDES) is None
    everywhere = truth.depth_mm > 0
    away = palm_of(truth.joints_mm) + np.array([0.0, 0.0, 900.0])
    assert predicted_hand(truth.depth_mm, truth.camera, everywhere, away, SIDES) is None


def test_a_plate_that_is_stuck_to_a_hand_is_told(truth: Example) -> None:
    depth, plate = with_plate(truth)
    frame, first = frame_and_first(depth, truth)
    assert len(first) == 1
    assert first[0].evidence is not None, "the plate raises doubts"
    (again,) = seen_again(frame, first, SIDES)
    assert again.evidence is not None
    assert again.holds is not None, "that something is there; what it is, a plate alone does not decide"
    rows, columns = (slice(None, None, plate.shape[axis] // frame.depth_mm.shape[axis]) for axis in (0, 1))
    seen = plate[rows, columns] & (frame.depth_mm > 0)
    assert np.count_nonzero(again.other & seen) > 0.8 * np.count_nonzero(seen)
    column, row = np.rint(frame.camera.project(truth.joints_mm)).astype(int).T
    assert again.hand[row, column].mean() > 0.8, "the hand stays"


def test_what_is_beyond_doubt_is_not_looked_at_again(truth: Example) -> None:
    frame, (first,) = frame_and_first(truth.depth_mm, truth)
    sure = replace(first, evidence=None)
    network = AllObject()
    assert seen_again(frame, [sure], SIDES, network=network) == [sure]
    assert not network.seen


def test_each_palm_is_looked_at_again(truth: Example) -> None:
    depth, _ = with_plate(truth)
    frame, (first,) = frame_and_first(depth, truth)
    network = AllObject()
    again = seen_again(frame, [first, first], SIDES, network=network)
    assert len(network.seen) == len(again) == 2
    assert all(each.holds == "object" for each in again)
    assert not any((each.hand & first.hand).sum() > 0.2 * first.hand.sum() for each in again)


def test_palms_that_become_one_are_read_once(truth: Example) -> None:
    depth, _ = with_plate(truth)
    frame, _ = frame_and_first(depth, truth)
    palm = palm_of(truth.joints_mm)
    found = read_twice(frame, np.stack([palm, palm + np.array([25.0, 0.0, 0.0])]), SIDES)
    assert len(found) == 1


def test_where_no_palm_is_seen_any_more_the_first_look_stays(truth: Example) -> None:
    depth, _ = with_plate(truth)
    frame, (first,) = frame_and_first(depth, truth)
    assert seen_again(frame, [first], SIDES, network=AllObject(presence=0.01)) == [first]
