"""Which hands touch, frame by frame; and which pixels of a frame belong to which hand."""

import numpy as np
import pytest
from support.compare import assert_close
from support.factories import fit_result

import handopt
from handopt.tracking.claims import Claim, claim_of, expected_from, without_others
from handopt.tracking.config import SeveralHandsConfig
from handopt.tracking.contacts import Contacts, Mesh
from handopt.tracking.frame_estimate import FrameEstimate

RESULT = fit_result()
WIDTH_MM = float(np.ptp(RESULT.vertices_mm[:, 0]))


def mesh(x_mm: float) -> Mesh:
    offset = np.array([x_mm, 0.0, 0.0])
    return RESULT.vertices_mm + offset, RESULT.joints_mm + offset


@pytest.mark.parametrize(("x_mm", "touch"), [(20.0, True), (WIDTH_MM + 5, True), (WIDTH_MM + 40, False)])
def test_hands_touch_where_their_skins_are_near(x_mm: float, touch: bool) -> None:
    assert Contacts(SeveralHandsConfig()).step([mesh(0.0), mesh(x_mm)]) == [touch, touch]


def test_a_third_hand_that_is_apart_does_not_touch() -> None:
    hands = [mesh(0.0), mesh(2 * WIDTH_MM + 80), mesh(10.0)]
    assert Contacts(SeveralHandsConfig()).step(hands) == [True, False, True]


def test_a_hand_that_is_lost_in_a_touch_is_still_there_until_the_other_one_is_gone() -> None:
    contacts = Contacts(SeveralHandsConfig())
    assert contacts.step([mesh(0.0), mesh(30.0)]) == [True, True]
    assert contacts.step([mesh(0.0), None])[0]
    assert contacts.step([mesh(50.0), None])[0]
    assert contacts.step([mesh(400.0), None]) == [False, False]
    assert contacts.step([mesh(0.0), None]) == [False, False], "it went away once"


def test_a_hand_that_is_lost_apart_touches_nothing() -> None:
    contacts = Contacts(SeveralHandsConfig())
    contacts.step([mesh(0.0), mesh(WIDTH_MM + 60)])
    assert contacts.step([mesh(0.0), None]) == [False, False]
    assert contacts.step([None, None]) == [False, False]


# ----------------------------------------------------------------------------------------------------- claims


def estimate(**changes: object) -> FrameEstimate:
    values = {
        "rotation": np.asarray(RESULT.rotation),
        "translation_mm": np.asarray(RESULT.translation_mm),
        "angles_rad": np.asarray(RESULT.angles_rad),
        **changes,
    }
    return FrameEstimate(
        0, "0", None, None, "right", tracked=True, scale=1.0, proportions=np.zeros(13),
        _rig=handopt.default_rig("right"), **values,
    )  # fmt: skip


def test_a_hand_claims_its_pixels_and_no_wall() -> None:
    depth = np.asarray(RESULT.observation.depth_mm, np.float32)
    wall = np.where(depth > 0, depth, np.float32(1500))
    claim = claim_of(estimate(), wall, RESULT.camera)
    own = RESULT.observation.mask
    assert (claim.pixels & own).sum() > 0.95 * own.sum()
    assert not claim.pixels[wall == 1500].any()


def test_a_hand_behind_the_camera_claims_nothing() -> None:
    depth = np.asarray(RESULT.observation.depth_mm, np.float32)
    assert not claim_of(estimate(translation_mm=np.array([0.0, 0.0, -50.0])), depth, RESULT.camera).pixels.any()


def claim(hand: list[bool], off_mm: list[float], arm: list[bool]) -> Claim:
    return Claim(np.array([hand]), np.array([off_mm], np.float32), np.array([arm]))


def test_a_pixel_that_two_hands_claim_belongs_to_the_nearer_skin() -> None:
    depth = np.array([[500.0, 510.0, 520.0, 530.0, 540.0]], np.float32)
    inf = np.inf
    own = claim([True, True, False, True, False], [2.0, 9.0, inf, 1.0, inf], [False] * 5)
    other = claim([True, True, True, False, False], [5.0, 3.0, 1.0, inf, inf], [False, False, False, True, True])
    left = without_others(depth, own, [other])
    assert np.isnan(left[0]).tolist() == [False, True, True, False, True]
    assert_close(left[0, [0, 3]], depth[0, [0, 3]], atol=0.0, reason="the same pixels")
    assert np.isnan(without_others(depth, None, [other])[0]).all()
    assert without_others(depth, own, []) is depth


def test_a_hand_is_expected_where_it_was_going() -> None:
    before = estimate(translation_mm=np.array([0.0, 0.0, 400.0]))
    last = estimate(translation_mm=np.array([20.0, 0.0, 400.0]))
    x = float(expected_from(last, before).translation_mm[0])
    assert 30.0 < x <= 40.0
    assert expected_from(last, None) is last
