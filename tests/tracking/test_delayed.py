"""Estimates that come a fixed number of frames late: in order, never later, and smoothed as the finished track is."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from support.sequences import CAMERA, FPS, frames

import handopt
from handopt.errors import ConfigError
from handopt.input.sequence import SourceError
from handopt.input.sequence.base import SequenceFrame
from handopt.tracking.stream.message import line_of

EMPTY = 3


def with_a_gap() -> list[SequenceFrame]:
    """Six frames, one of which shows nothing."""
    some = frames()[:6]
    some[EMPTY] = replace(some[EMPTY], depth_mm=np.zeros_like(some[EMPTY].depth_mm))
    return some


def test_with_all_later_frames_an_estimate_is_that_of_the_finished_track() -> None:
    tracking = handopt.track(with_a_gap(), camera=CAMERA, fps=FPS, hand="right", delay=99)
    estimates, track = list(tracking), tracking.result
    assert [each.frame for each in estimates] == list(range(6))
    assert track.smoothed
    assert np.allclose([each.joints_mm for each in estimates], track.joints_mm(), atol=1e-6)
    assert [each.confidence for each in estimates] == pytest.approx(track.confidence.tolist(), nan_ok=True)
    assert [each.tracked for each in estimates] == [row != EMPTY for row in range(6)]
    assert [each.bridged for each in estimates] == [row == EMPTY for row in range(6)]
    joints = track.joints_mm()
    for row, each in enumerate(estimates):
        live, final = line_of(each), track.line(row, joints)
        for key in ("joint_uncertainty_mm", "pose", "joints_mm"):
            live.pop(key), final.pop(key)
        assert live == final


def test_an_estimate_comes_when_the_frames_after_it_are_known_and_not_later() -> None:
    read: list[int] = []

    def camera() -> Iterator[SequenceFrame]:
        for frame in frames()[:4]:
            read.append(frame.index)
            yield frame
        raise SourceError("the camera was unplugged")

    tracking = handopt.track(camera(), camera=CAMERA, fps=FPS, hand="right", delay=2)
    seen: list[tuple[int, int]] = []
    with pytest.raises(SourceError, match="unplugged"):
        seen.extend((estimate.frame, read[-1]) for estimate in tracking)
    assert seen == [(0, 2), (1, 3), (2, 3), (3, 3)], "frames before the failure come, and none waits for more than two"
    assert tracking.frame_count == 4


def test_frames_without_a_hand_come_as_well() -> None:
    nothing = [np.zeros((CAMERA.height, CAMERA.width), np.float32)] * 3
    for hand in ("auto", "right"):
        estimates = list(handopt.track(nothing, camera=CAMERA, fps=FPS, hand=hand, delay=1))
        assert [(each.frame, each.tracked) for each in estimates] == [(0, False), (1, False), (2, False)]
        assert all(line_of(each)["pose"] is None for each in estimates)


def test_a_delay_needs_frames_and_smoothing() -> None:
    with pytest.raises(ConfigError, match="delay=0: expected a number of frames from 1 on"):
        handopt.track([], camera=CAMERA, delay=0)
    with pytest.raises(ConfigError, match="delay= is for smooth=True"):
        handopt.track([], camera=CAMERA, delay=3, smooth=False)
