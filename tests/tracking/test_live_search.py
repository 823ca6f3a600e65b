"""Frames of a camera: none waits for a fit from scratch, and what a fit finds is taken when it is there."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.sequences import CAMERA, frames, truth

import handopt
from handopt.config import FitSettings
from handopt.input.sequence.base import SequenceFrame
from handopt.tracking import side, tracker
from handopt.tracking.live_search import LiveSearch
from handopt.tracking.run import Run

CPU = FitSettings(device="cpu")


class Gate:
    """Holds fits back until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
        self.opened, self.asked, real = threading.Event(), 0, vars(module)["fit"]

        def fit(*arguments: Any, **options: Any) -> Any:
            self.asked += 1
            assert threading.current_thread() is not threading.main_thread()
            assert self.opened.wait(60)
            return real(*arguments, **options)

        monkeypatch.setattr(module, "fit", fit)


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("live_search", "side"):
        monkeypatch.setattr(f"handopt.tracking.{module}.cpu_threads", lambda: 2)


def ready(run: Run) -> None:
    """Wait for the fit that is under way."""
    search: Any = run._beside
    if search is not None and search._search is not None:
        search._search.result(60)


def off_mm(estimate: Any, frame: int) -> float:
    away = np.linalg.norm(estimate.joints_mm - truth()[frame], axis=1)
    return float(away[estimate.joint_visible].mean())


def test_a_hand_that_was_lost_is_followed_from_when_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(CAMERA, settings=CPU, smooth=False, live=True)
    assert run.push(frames()[0]).tracked, "the first fit is waited for"
    run.lose()
    gate = Gate(monkeypatch, tracker)
    assert [run.push(frame).tracked for frame in frames()[1:8]] == [False] * 7
    assert gate.asked <= 1, "one frame is fitted at a time"
    gate.opened.set()
    ready(run)
    found = run.push(frames()[8])
    assert found.tracked
    assert found.refitted
    assert off_mm(found, 8) < 10
    follows = run.push(frames()[9])
    assert follows.tracked
    assert not follows.refitted


def test_a_track_that_went_wrong_goes_on_until_the_fit_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(CAMERA, settings=CPU, smooth=False, live=True)
    run.push(frames()[0])
    run.push(frames()[1])
    ready(run)
    assert isinstance(run._beside, LiveSearch)
    run._beside._search = None
    assert run._state is not None
    assert run._state.fit is not None
    curled = run._state.fit.estimate.placed.angles_rad.copy()
    curled[3:12, 2] += 1.2
    fit = run._state.fit
    wrong = replace(fit, estimate=replace(fit.estimate, placed=replace(fit.estimate.placed, angles_rad=curled)))
    doubts = {2}
    monkeypatch.setattr(tracker.Tracker, "_doubtful", lambda _self, state, _found: state.frames in doubts)
    run._state = replace(run._state, fit=wrong, before=None, patience=0)
    gate = Gate(monkeypatch, tracker)
    assert all(run.push(frames()[index]).tracked for index in range(2, 7))
    gate.opened.set()
    ready(run)
    assert gate.asked >= 1
    assert off_mm(run.push(frames()[7]), 7) < 10


def test_nothing_is_taken_from_a_fit_that_finds_no_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise handopt.ObservationError("no hand")

    monkeypatch.setattr(tracker, "fit", fails)
    run = Run(CAMERA, settings=CPU, smooth=False, live=True)
    for frame in frames()[:3]:
        assert not run.push(frame).tracked
        ready(run)


def test_frames_that_say_which_hand_it_is_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one says the wrong side, and is not sure of it; the next one that is asked is sure of the other."""
    said = iter([SimpleNamespace(confidence=0.5, hand_margin=0.1, hand="right")])
    monkeypatch.setattr(side, "fit", lambda *_, **__: next(said))
    run = Run(CAMERA, "auto", settings=CPU, smooth=False, live=True)
    given = iter(frames("left"))
    assert run.push(next(given)).hand == "right"
    sure: Any = SimpleNamespace(confidence=0.9, hand_margin=0.5, hand="left")
    monkeypatch.setattr(side, "fit", lambda *_, **__: sure)
    gate = Gate(monkeypatch, side)
    assert {run.push(next(given)).hand for _ in range(6)} == {"right"}
    gate.opened.set()
    votes: Any = run._votes
    votes._begun[5].result(60)
    assert run.push(next(given)).hand == "left"


def test_a_camera_is_told_by_its_source() -> None:
    class Source:
        name, camera, length, fps, hand, unit_mm, assumptions = "x", CAMERA, None, 30.0, "right", 1.0, ()

        def __init__(self, *, live: bool) -> None:
            self.live = live

        def __iter__(self) -> Iterator[SequenceFrame]:
            return iter(frames())

    for live in (True, False):
        run: Any = handopt.track(Source(live=live))._run
        assert (run.live, run.lookahead) == (live, None)
