"""A tracker that rests on a doubtful fit, and joints that leap."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.sequences import CAMERA, frames

from handopt.rig import default_rig
from handopt.tracking import tracker
from handopt.tracking.estimate import max_joint_jump
from handopt.tracking.tracker import FIRST_RETRY, Tracker


def test_a_doubtful_start_is_looked_at_again_anywhere_in_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    hints: list[Any] = []
    real = tracker.fit

    def doubtful_at_first(*arguments: Any, **settings: Any) -> Any:
        hints.append(settings["center"])
        return replace(real(*arguments, **settings), confidence=0.1 if len(hints) == 1 else 0.95)

    monkeypatch.setattr(tracker, "fit", doubtful_at_first)
    follower = Tracker(default_rig("right"), CAMERA)
    found = [follower.follow(frame.depth_mm) for frame in frames()[: FIRST_RETRY + 2]]
    assert [None if each is None else each.anchor_confidence for each in found] == [0.1] * FIRST_RETRY + [0.95] * 2
    assert hints.count(None) == 2, "the first frame, and once more"
    assert found[-1] is not None
    assert not found[-1].refitted, "it was where the track was"


def test_a_leap_is_that_of_a_visible_joint_against_the_others() -> None:
    first = Tracker(default_rig("right"), CAMERA).follow(frames()[0].depth_mm)
    assert first is not None
    seen, moved = np.zeros(21, np.bool_), first.joints_mm + np.array([30.0, 0.0, 0.0])
    moved[8] += [30.0, 0.0, 0.0]
    hidden = replace(first, visible=seen.copy(), joints_mm=moved)
    assert max_joint_jump(replace(first, visible=seen), hidden) == 0
    seen[8] = True
    assert max_joint_jump(first, replace(hidden, visible=seen)) == pytest.approx(30.0)
