"""Tracks that leave much of the hand unexplained: it is looked for in the whole image, and taken if it is the same."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.sequences import CAMERA
from support.tracked_frames import stub

from handopt.rig import default_rig
from handopt.tracking.tracker import Tracker, TrackerState


@pytest.mark.parametrize(
    ("away_mm", "better", "taken"), [(80.0, True, True), (80.0, False, False), (400.0, True, False)]
)
def test_a_hand_that_slid_is_found_again_in_the_whole_image(
    monkeypatch: pytest.MonkeyPatch, away_mm: float, better: bool, taken: bool
) -> None:
    """Where the found pose explains the image better, and is near enough to be the same hand."""
    follower, hints = Tracker(default_rig("right"), CAMERA), []
    there = stub(0.1, refitted=True)
    there = replace(
        there, estimate=replace(there.estimate, joints_mm=there.estimate.joints_mm + np.array([away_mm, 0, 0]))
    )

    def from_scratch(state: TrackerState, _frame: Any, hint: Any, _last: Any) -> Any:
        hints.append(hint)
        return state.shape, SimpleNamespace(fit=there, result=None, start=there.estimate.shape)

    monkeypatch.setattr(follower, "_from_scratch", from_scratch)
    monkeypatch.setattr(follower._fitter, "fit", lambda *_, **__: stub(0.4))
    monkeypatch.setattr(follower._fitter, "prefers", lambda *_: better)
    state = replace(follower.start(), fit=stub(0.4), shape=stub(0.4).estimate.shape)
    _, estimate = follower.step(state, np.ones((4, 4), np.float32))
    assert hints == [None], "once, and not about where it was"
    assert estimate is not None
    assert estimate.refitted is taken


def test_a_doubtful_hand_is_searched_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    follower, hints = Tracker(default_rig("right"), CAMERA), []
    monkeypatch.setattr(follower._fitter, "fit", lambda *_, **__: stub(0.25))

    def from_scratch(state: TrackerState, _frame: Any, hint: Any, _last: Any) -> Any:
        hints.append(hint)
        return state.shape, None

    monkeypatch.setattr(follower, "_from_scratch", from_scratch)
    state = replace(follower.start(), fit=stub(0.2), shape=stub(0.2).estimate.shape)
    follower.step(state, np.ones((4, 4), np.float32))
    assert [each.tolist() for each in hints] == [[0.0, 0.0, 400.0]]


def test_the_forearm_is_cut_off_where_a_palm_of_usual_length_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[float] = []
    monkeypatch.setattr("handopt.tracking.frame_fit.cut_out", lambda *given: ends.append(given[3].end_mm))
    rig, known = default_rig("right"), stub(0.1).estimate
    fitter, row = Tracker(rig, CAMERA)._fitter, 1 + rig.shape_names.index("palm_length")
    for longer in (-0.1, 0.0, 0.1, 0.9):
        shape = replace(known.shape, mean=np.where(np.arange(14) == row, longer, 0.0))
        fitter.cut_out(np.zeros((CAMERA.height, CAMERA.width), np.float32), known.placed, shape)
    palm = np.linalg.norm(rig.keypoints_mm[[5, 9, 13, 17]].mean(axis=0) - rig.keypoints_mm[0])
    assert ends[0] == ends[1] > 0
    assert ends[2] == pytest.approx(ends[1] - 0.1 * palm)
    assert ends[3] == 0
