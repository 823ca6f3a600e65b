"""What is seen in views before a fit: proposals of each, and forearms of small hands cut off where these end."""

from dataclasses import replace

import numpy as np
import pytest

from handopt.config import Config
from handopt.errors import ObservationError
from handopt.fitting import fit
from handopt.observation.observation import Observation, note_on_cut
from handopt.observation.observe import observe
from handopt.optimise.first_look import SMALL, cut_to_size, first_look, looked_at
from handopt.optimise.views import CroppedObservation, cropped
from handopt.rig import PROPORTION_NAMES, default_rig
from handopt.synth import Settings, generate
from handopt.synth.generate import Sample
from handopt.synth.subject import Subject

CONFIG = Config()
CUT_MM = 75.0


def with_arm(size: float, index: int = 0) -> Sample:
    rig = Subject(size, np.zeros(len(PROPORTION_NAMES))).life_size(default_rig("right"))
    return generate(Settings(seed=77, rig=rig, forearm=True, background=False), "easy", index)


def seen(sample: Sample) -> Observation:
    return observe(sample.counts.astype(np.float32), sample.scene.camera)[0]


def reach_mm(observation: Observation) -> float:
    """How far from the palm's centre the hand's points reach towards the forearm."""
    assert observation.arm_direction is not None
    return float(((observation.points_mm - observation.center_mm) @ observation.arm_direction).max())


def views_of(observation: Observation) -> list[CroppedObservation]:
    return [cropped(observation, mirrored, CONFIG) for mirrored in (False, True)]


def test_the_forearm_of_a_small_hand_is_cut_off_where_the_hand_ends() -> None:
    observation = seen(with_arm(0.7))
    before = views_of(observation)
    (one, other), proposed = first_look(before, CONFIG, None)
    assert proposed[0].size < SMALL
    assert reach_mm(observation) > CUT_MM - 5
    assert reach_mm(one[0]) <= proposed[0].size * CUT_MM
    assert other[2], "views stay those of the sides that they were of"
    gone = observation.mask & ~one[0].mask
    assert gone.any()
    assert one[0].arm[gone].all()
    np.testing.assert_array_equal(one[0].mask & ~observation.mask, False)
    assert len(one[0].points_mm) == np.count_nonzero(one[0].mask)
    assert note_on_cut(proposed[0].size * CUT_MM) in one[0].notes
    assert note_on_cut(CUT_MM) not in one[0].notes


def test_the_forearm_of_an_adult_hand_stays_cut_off_where_it_was() -> None:
    before = views_of(seen(with_arm(1.0)))
    views, proposed = first_look(before, CONFIG, None)
    assert proposed[0].size > SMALL
    assert views[0] is before[0]


def test_pixels_that_the_user_gave_are_not_cut_off() -> None:
    sample = with_arm(0.7)
    depth = sample.counts.astype(np.float32)
    given = observe(depth, sample.scene.camera, mask=seen(sample).mask)[0]
    assert given.arm_direction is not None
    assert cut_to_size(given, 0.6) is given
    assert cut_to_size(seen(sample), 0.6).mask.sum() < given.mask.sum()


def test_nothing_is_proposed_to_gradient_descent() -> None:
    before = views_of(seen(with_arm(0.7)))
    assert first_look(before, replace(CONFIG, solver="gradient"), None) == (before, {})


def test_a_view_that_shows_nothing_is_passed_over_unless_all_are_like_that() -> None:
    view = views_of(seen(with_arm(1.0)))[0]
    away = replace(view[0], points_mm=view[0].points_mm[:0], mask=np.zeros_like(view[0].mask))
    assert list(looked_at([(away, *view[1:]), view], 8, None)) == [1]
    with pytest.raises(ObservationError):
        looked_at([(away, *view[1:])], 8, None)


def stretched(index: int) -> float:
    """How long the palm of a fitted small hand is, relative to the true one."""
    sample = with_arm(0.7, index)
    result = fit(sample.counts.astype(np.float32), sample.scene.camera, hand="right")
    one, other = (np.linalg.norm(joints[0] - joints[9]) for joints in (result.joints_mm, sample.scene.joints))
    return float(one / other)


def test_palms_of_small_hands_are_less_stretched_by_the_forearm(monkeypatch: pytest.MonkeyPatch) -> None:
    images = range(6)
    now = [stretched(index) for index in images]
    monkeypatch.setattr("handopt.optimise.first_look.SMALL", 0.0)
    before = [stretched(index) for index in images]
    assert np.median(now) < 1.06
    assert np.median(before) > np.median(now) + 0.02
