"""Jitter and lag of sequences."""

import numpy as np
import pytest

from handopt.evaluation.motion import jitter, lag, motion

FPS = 30.0


def waves(at: np.ndarray) -> np.ndarray:
    """Joints (T, 21, 3) in motion."""
    path = np.stack([np.sin(at / 9), np.cos(at / 7), np.sin(at / 5 + 1)], axis=1)
    return 100 * np.repeat(path[:, None], 21, axis=1)


@pytest.mark.parametrize("late", [0.0, 0.5, 1.5])
def test_the_lag_is_how_late_joints_are(late: float, rng: np.random.Generator) -> None:
    times = np.arange(60.0)
    measured = waves(times - late) + 3.0 + rng.normal(0, 0.3, (60, 21, 3))
    measured[20:23] = np.nan
    assert lag(measured, waves(times)) == pytest.approx(late, abs=0.1)


def test_there_is_no_lag_of_what_does_not_move() -> None:
    assert lag(np.zeros((60, 21, 3)), np.zeros((60, 21, 3))) is None
    assert lag(waves(np.arange(8.0)), waves(np.arange(8.0))) is None


@pytest.mark.parametrize("times", [np.arange(7) / FPS, np.array([0, 1, 2, 4, 5, 8, 9]) / FPS])
def test_jitter_is_mean_acceleration_also_where_frames_are_missing(times: np.ndarray) -> None:
    joints = np.zeros((7, 21, 3))
    joints[:, :, 0] = (0.5 * 2.0 * times**2 * 1000)[:, None]  # 2 m/s^2
    assert jitter(joints, times) == pytest.approx(2.0)
    joints[0] = np.nan
    assert jitter(joints, times) == pytest.approx(2.0)


def test_jitter_needs_times_that_go_on() -> None:
    assert jitter(np.zeros((3, 21, 3)), np.zeros(3)) is None
    assert jitter(np.full((3, 21, 3), np.nan), np.arange(3.0)) is None
    assert motion(np.zeros((2, 21, 3)), np.zeros((2, 21, 3)), np.arange(2.0)) == {
        "frames": 2,
        "jitter_m_s2": None,
        "label_jitter_m_s2": None,
        "lag_frames": None,
    }
