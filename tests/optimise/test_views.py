"""Which readings of an image a search compares: without what is not the hand's, and as a network labels the hand."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from support.compare import assert_close

from handopt.config import Config
from handopt.input.camera import Camera
from handopt.input.pixel_labels import HAND as LABEL_OF_HAND
from handopt.input.pixel_labels import OBJECT, PIXEL_LABELS
from handopt.observation.limb import HandAndArm
from handopt.observation.observation import Observation
from handopt.observation.other_pixels import OtherPixels, evidence_and_labels_in
from handopt.observation.pixel_network import PixelOutput
from handopt.observation.pixel_reading import read_window
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


@dataclass(frozen=True)
class AllSure:
    """A network for which all that is measured is the hand, but for a probability that it is an object."""

    doubt: float

    def both_ways(self, images: np.ndarray) -> PixelOutput:
        shape, count = images.shape[:-1], len(images)
        probability = np.zeros((*shape, len(PIXEL_LABELS)), np.float32)
        probability[..., LABEL_OF_HAND], probability[..., OBJECT] = 1 - self.doubt, self.doubt
        nothing, one = np.zeros((count, 3)), np.ones(count)
        return PixelOutput(probability, nothing, nothing, one, one, 0.5 * one, 0.0 * one)


def other(
    mask: BoolImage, palm: np.ndarray, hand: BoolImage = HAND, holds: str | None = "object", doubt: float = 0.0
) -> OtherPixels:
    depth = observed().depth_mm
    reading = read_window(depth, CAMERA, palm, rounds=1, network=AllSure(doubt))
    return OtherPixels(mask, hand & ~mask, holds, evidence_and_labels_in(reading, depth, CAMERA)[0], reading)


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
    assert np.array_equal(without_others(views, [other(HAND, LEFT)])[0][0].mask, views[0][0].mask)


@pytest.mark.parametrize("limb", ["none", "of another resolution"])
def test_views_whose_limb_cannot_be_compared_stay(limb: str) -> None:
    observation = observed()
    assert observation.limb is not None
    other_limb = None if limb == "none" else replace(observation.limb, mask=HAND[::2, ::2], step=2)
    views = [view(replace(observation, limb=other_limb))]
    assert without_others(views, [other(rectangle((60, 90), (100, 220)), LEFT)])[0][0] is views[0][0]


def test_pixels_count_less_the_more_probably_they_are_something_else() -> None:
    nothing = np.zeros_like(HAND)
    counted = []
    for doubt in (0.0, 0.3, 0.9, 1.0):
        ((seen, _, _),) = without_others([view(observed())], [other(nothing, LEFT, holds=None, doubt=doubt)])
        assert seen.holds is None
        assert np.array_equal(seen.mask, HAND)
        assert seen.limb is not None
        assert seen.limb.evidence is not None
        assert seen.point_evidence is not None
        assert seen.labels is not None
        assert_close(seen.labels[HAND][:, 0].mean(), 1 - doubt, atol=1e-6, reason="float32")
        assert len(seen.point_evidence) == len(seen.points_mm)
        assert_close(
            seen.limb.counted_cm2.sum(), seen.limb.pixel_cm2.sum() * seen.point_evidence[0], rtol=1e-5, reason="float32"
        )
        counted.append(float(seen.point_evidence[0]))
    assert counted[0] == pytest.approx(1.0)
    assert counted == sorted(counted, reverse=True)
    assert 0 < counted[-1] < 0.01 < counted[-2] < 0.1


def test_nothing_changes_where_the_network_has_no_doubt_but_at_a_palm_elsewhere() -> None:
    nothing, half = np.zeros_like(HAND), rectangle((60, 120), (100, 220))
    views = [view(observed())]
    for palm, readings in ((LEFT, 0), (LEFT + np.array([90.0, 0.0, 0.0]), 1)):
        sure = [replace(other(nothing, palm, hand=half, holds=None), evidence=None)]
        assert without_others(views, sure)[0][0] is views[0][0]
        assert len(labelled_readings([observed()], sure)) == readings


def test_a_reading_that_the_search_has_already_is_not_searched_again() -> None:
    nothing = np.zeros_like(HAND)
    assert labelled_readings([observed()], [other(nothing, LEFT, holds=None)]) == []
    half = rectangle((60, 120), (100, 220))
    (reading,) = labelled_readings([observed()], [other(nothing, LEFT, hand=half, holds=None)])
    assert np.array_equal(reading.mask, half)


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


def test_a_palm_far_away_has_a_limb_of_its_own() -> None:
    """Two hands that do not touch: the reading about the other palm is not charged for the first hand."""
    two = HAND & ~rectangle((0, 240), (150, 170))
    left, right = two & rectangle((0, 240), (0, 160)), two & rectangle((0, 240), (160, 320))
    depth = np.where(two, np.float32(800.0), np.float32(0.0))
    frame = segment_surfaces(depth, CAMERA, None, planes=False)
    palms = [CAMERA.backproject(depth.astype(float))[120, column] for column in (125, 195)]
    points = lifted_points(CAMERA, depth, left)
    one = Observation(
        CAMERA,
        depth,
        left,
        np.zeros_like(left),
        palms[0],
        points,
        None,
        False,
        2.0,
        (),
        limb=HandAndArm(frame, left, 1),
    )
    near, far = one.labelled(right, palms[0]), one.labelled(right, palms[1] + np.array([60.0, 0.0, 0.0]))
    assert near.limb is not None
    assert far.limb is not None
    assert np.array_equal(near.limb.mask, two)
    assert np.array_equal(far.limb.mask, right)
    assert np.array_equal(far.mask, right)
    said = replace(one, notes=("of this place",), touches_border=True, score=5.0)
    elsewhere = said.labelled(right, palms[1] + np.array([60.0, 0.0, 0.0]))
    assert said.labelled(right, palms[0]).notes == said.notes
    assert (elsewhere.notes, elsewhere.touches_border) == ((), False)
    assert elsewhere.hand_probability == pytest.approx(0.5)
