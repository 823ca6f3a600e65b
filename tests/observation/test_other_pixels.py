"""What is not of the hand: found where a network sees it near a palm, and taken out of observation and limb."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from handopt.input.camera import Camera
from handopt.input.pixel_labels import BACKGROUND, HAND, OBJECT, OTHER_HAND, PIXEL_LABELS
from handopt.observation.limb import HandAndArm
from handopt.observation.observation import Observation
from handopt.observation.other_pixels import OtherPixels, find_other_pixels
from handopt.observation.pixel_network import PixelOutput
from handopt.observation.pixel_window import OFFSET_SCALE_MM, SIZE
from handopt.observation.surfaces import LabelledDepth, lifted_points, segment_surfaces
from handopt.typing import FloatImage

CAMERA = Camera(475.0, 475.0, 159.5, 119.5, 320, 240)
PALM = np.array([0.0, 0.0, 500.0])
HAND_ROWS, HAND_COLUMNS = slice(60, 180), slice(100, 220)
BOX_ROWS, BOX_COLUMNS = slice(100, 140), slice(140, 180)


@dataclass(frozen=True)
class NearIsOther:
    """A network for which what is more than 15 mm before the palm is something else, and what is near it the hand."""

    label: int = OBJECT
    presence: float = 0.9

    def both_ways(self, images: FloatImage) -> PixelOutput:
        offset_mm = np.where(images[..., 0] > 0, images[..., 1] * OFFSET_SCALE_MM, np.inf)
        labels = np.where(offset_mm < -15, self.label, np.where(offset_mm < 60, HAND, BACKGROUND))
        probability = np.eye(len(PIXEL_LABELS), dtype=np.float32)[labels]
        assert probability.shape[1:] == (SIZE, SIZE, len(PIXEL_LABELS))
        count = len(images)
        nothing = np.zeros((count, 3))
        return PixelOutput(
            probability, nothing, np.tile((0.0, 80.0, 0.0), (count, 1)), np.ones(count), np.full(count, self.presence),
            np.full(count, 0.5), np.zeros(count),
        )  # fmt: skip


def scene(box_mm: float = 460.0) -> FloatImage:
    """A flat hand at 500 mm with a box before its palm, and a wall."""
    depth = np.full((240, 320), 900.0, np.float32)
    depth[HAND_ROWS, HAND_COLUMNS] = 500.0
    depth[BOX_ROWS, BOX_COLUMNS] = box_mm
    return depth


def found_in(depth: FloatImage, network: NearIsOther, palms: np.ndarray = PALM[None]) -> list[OtherPixels]:
    return find_other_pixels(frame_of(depth), palms, network)


def frame_of(depth: FloatImage) -> LabelledDepth:
    return segment_surfaces(depth, CAMERA, None, planes=False)


def observed(depth: FloatImage) -> Observation:
    """All that is before the wall, as one hand."""
    mask = depth < 600
    limb = HandAndArm(frame_of(depth), mask, 1)
    points = lifted_points(CAMERA, depth, mask)
    nothing = np.zeros_like(mask)
    return Observation(CAMERA, depth, mask, nothing, PALM, points, None, False, 2.0, (), limb=limb)


@pytest.mark.parametrize(("label", "holds"), [(OBJECT, "object"), (OTHER_HAND, "hand")])
def test_what_the_network_sees_before_the_palm_is_told_from_the_hand(label: int, holds: str) -> None:
    (found,) = found_in(scene(), NearIsOther(label))
    assert found.holds == holds
    inner = (slice(104, 136), slice(144, 176))  # clear of the window's own pixels at the box's edge
    assert found.other[inner].all()
    assert not found.hand[inner].any()
    assert found.hand[65:95, 105:215].all()
    assert not found.other[65:95, 105:215].any()
    assert not (found.hand & found.other).any()


def test_too_little_of_something_else_and_too_little_of_a_hand_are_nothing() -> None:
    small = scene(500.0)
    small[118:122, 158:162] = 460.0
    for depth in (small, scene(500.0)):
        (found,) = found_in(depth, NearIsOther())
        assert found.holds is None
        assert not found.other.any()
        assert found.evidence is None, "nothing else may be near"
    assert found_in(scene(), NearIsOther(presence=0.4)) == []


def test_what_may_be_something_else_is_looked_at_again_in_turned_windows() -> None:
    """A network that takes the left half of what it sees for something else, however it is turned."""

    @dataclass(frozen=True)
    class LeftIsOther(NearIsOther):
        def both_ways(self, images: FloatImage) -> PixelOutput:
            output = super().both_ways(images)
            left = np.arange(SIZE) < SIZE // 2
            output.probability[:] = np.eye(len(PIXEL_LABELS), dtype=np.float32)[np.where(left, OBJECT, HAND)]
            return output

    (found,) = found_in(scene(500.0), LeftIsOther())
    window = found.reading.probability[..., OBJECT]
    assert np.allclose(window, 0.5), "each pixel is left in two of the four"
    assert np.allclose(found.reading.probability.sum(axis=-1), 1)
    assert found.evidence is not None
    assert 0 < found.evidence[120, 160] < 0.5
    (sure,) = found_in(scene(500.0), NearIsOther())
    assert set(np.unique(sure.reading.probability)) <= {0.0, 1.0}


def test_palms_that_are_one_are_read_once() -> None:
    near, far = np.array([10.0, 0.0, 500.0]), np.array([0.0, 60.0, 500.0])
    assert len(found_in(scene(), NearIsOther(), np.stack([PALM, near]))) == 1
    assert len(found_in(scene(), NearIsOther(), np.stack([PALM, far]))) == 2


def test_an_observation_without_something_else_has_lost_it_from_hand_limb_and_points() -> None:
    depth = scene()
    observation = observed(depth)
    (found,) = found_in(depth, NearIsOther())
    left = observation.without(found.other, found.holds)
    assert left.holds == "object"
    assert left.limb is not None
    assert left.other is not None
    assert not left.mask[104:136, 144:176].any()
    assert left.mask[65:95, 105:215].all()
    assert left.other[104:136, 144:176].all()
    assert not (left.other & left.mask).any()
    assert not left.limb.mask[104:136, 144:176].any()
    assert len(left.points_mm) == np.count_nonzero(left.mask)
    assert (left.points_mm[:, 2] > 490).all()


def test_the_mirror_image_has_the_mirrored_pixels() -> None:
    depth = scene()
    depth[:, :110] = 900.0
    (found,) = found_in(depth, NearIsOther())
    left = observed(depth).without(found.other, found.holds)
    mirrored = left.mirrored()
    assert mirrored.other is not None
    assert left.other is not None
    assert mirrored.holds == "object"
    assert np.array_equal(mirrored.other, left.other[:, ::-1])


def test_a_labelled_observation_has_the_pixels_of_the_network_as_its_hand() -> None:
    depth = scene()
    limbless = replace(observed(depth), limb=HandAndArm(frame_of(depth), np.zeros(depth.shape, np.bool_), 1))
    (found,) = found_in(depth, NearIsOther())
    labelled = limbless.labelled(found.hand, found.reading.palm_mm)
    assert labelled.mask[65:95, 105:215].all()
    assert not labelled.mask[104:136, 144:176].any()
    assert labelled.limb is not None
    assert np.array_equal(labelled.limb.mask, found.hand)
    assert np.allclose(labelled.center_mm, PALM)
