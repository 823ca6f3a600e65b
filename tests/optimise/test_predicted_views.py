"""Where a network sees the hand: not on a forearm, and with one look where that explains the image."""

from typing import Any

import numpy as np
import pytest
from support.examples import example

from handopt.config import Config
from handopt.fitting import FitInput, FitSettings, fit_image
from handopt.input.pixel_labels import OBJECT
from handopt.observation.observe import observe
from handopt.optimise import predicted_views as module
from handopt.optimise.predicted_views import EXPLAINED, predicted_views
from handopt.synth.generate import Sample, Settings, generate
from handopt.synth.wild import WildSettings, generate_wild

PREDICT = FitSettings("scale", Config(), "cpu", 0, None, refine=0)


def off_mm(sample: Sample) -> float:
    depth = sample.counts.astype(np.float32)
    result = fit_image(FitInput(depth, sample.scene.camera, sample.side), PREDICT)
    assert result.status.startswith("The prediction is ")
    return float(np.linalg.norm(result.joints_mm - sample.scene.joints, axis=1).mean())


def test_a_hand_beyond_a_wide_forearm_is_found() -> None:
    sample = generate(Settings(seed=7714), "medium", 42)
    depth = sample.counts.astype(np.float32)
    first = observe(depth, sample.scene.camera)[0]
    palm = 0.5 * (sample.scene.joints[0] + sample.scene.joints[9])
    assert np.linalg.norm(first.center_mm - palm) > 100.0, "the likeliest place is the hand's already"
    assert off_mm(sample) < 40.0


def test_a_left_hand_is_predicted_as_its_mirror_image() -> None:
    right, left = (generate(Settings(seed=7714, hand=side), "medium", 3) for side in ("right", "left"))
    assert off_mm(right) < 25.0
    assert abs(off_mm(left) - off_mm(right)) < 1.0


def test_a_place_that_is_explained_is_taken_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("the network of pixel labels was asked")

    monkeypatch.setattr(module, "read_windows", asked)
    open_hand = example("open")
    depth_mm, camera = open_hand.depth_mm, open_hand.camera
    (found,) = predicted_views(observe(depth_mm, camera)[:1], [False], Config(), None)
    assert found.predicted.unexplained_fraction < EXPLAINED
    assert found.view[2] is False


def test_pixels_that_the_user_gave_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    open_hand = example("open")
    depth_mm, camera = open_hand.depth_mm, open_hand.camera
    mask = observe(depth_mm, camera)[0].mask.copy()
    mask[: np.flatnonzero(mask.any(axis=1))[len(np.flatnonzero(mask.any(axis=1))) // 2]] = False  # no fingers
    monkeypatch.setattr(module, "EXPLAINED", 0.0)
    views = predicted_views(observe(depth_mm, camera, mask=mask), [False, True], Config(), None)
    assert [side for _, _, side in (each.view for each in views)] == [False, True]
    assert all((each.view[0].mask <= mask).all() for each in views)


def test_what_a_hand_holds_is_looked_at_twice() -> None:
    """The view that is predicted from has labels, and most of the object is not of the hand."""
    wild = generate_wild(WildSettings(seed=12, hand="right", held=True, other_hand=False, background=False), 4)
    depth, camera = wild.sample.counts.astype(np.float32), wild.sample.scene.camera
    (found,) = predicted_views(observe(depth, camera), [False], Config(), None)
    observation = found.view[0]
    assert observation.labels is not None
    thing = wild.mask == OBJECT
    assert thing.sum() > 300
    assert (observation.mask & thing).sum() < 0.3 * thing.sum()
