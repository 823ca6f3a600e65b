"""The two-sided smoother and the causal filter."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from handopt.tracking.config import SmoothingConfig
from handopt.tracking.smoothing import OneEuro, continuous, smooth_rotations, two_sided
from handopt.tracking.track import _slots

FPS = 30.0
TIMES = np.arange(120) / FPS


def wave(hertz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * TIMES)[:, None]


def test_slow_motion_stays_and_jitter_goes(rng: np.random.Generator) -> None:
    noise = rng.normal(size=(120, 1))
    ones = np.ones((120, 1))
    assert np.abs(two_sided(wave(1.0), ones, FPS) - wave(1.0))[5:-5].max() < 0.01
    assert np.abs(two_sided(wave(12.0), ones, FPS))[10:-10].max() < 0.02
    smoothed = two_sided(noise, ones, FPS)
    acceleration = np.abs(np.diff(smoothed, 2, axis=0)).mean() / np.abs(np.diff(noise, 2, axis=0)).mean()
    assert acceleration < 0.1


def test_a_cutoff_halves_its_frequency_without_shifting_it() -> None:
    smoothed = two_sided(wave(4.5), np.ones((120, 1)), FPS, SmoothingConfig(cutoff_hz=4.5))
    inner = slice(20, 100)
    assert np.abs(smoothed[inner]).max() == pytest.approx(0.5, abs=0.03)
    assert np.corrcoef(smoothed[inner, 0], wave(4.5)[inner, 0])[0, 1] > 0.999


def test_gaps_are_bridged_by_a_smooth_way() -> None:
    values, weights = wave(0.5).copy(), np.ones((120, 1))
    values[50:60] = 99.0
    weights[50:60] = 0
    assert np.abs(two_sided(values, weights, FPS) - wave(0.5)).max() < 0.05


def test_what_would_be_moved_too_far_is_motion() -> None:
    step = np.where(np.arange(60) < 30, 0.0, 100.0)[:, None]
    free = two_sided(step, np.ones((60, 1)), FPS)
    held = two_sided(step, np.ones((60, 1)), FPS, tolerance=4.0)
    assert np.abs(free - step).max() > 20
    assert np.abs(held - step).max() < 6


def test_few_frames_are_left_alone() -> None:
    values = np.array([[1.0], [5.0], [2.0]])
    assert np.array_equal(two_sided(values, np.ones((3, 1)), FPS), values)


def test_rotations_are_smoothed_across_half_turns(rng: np.random.Generator) -> None:
    angles = np.linspace(0, 4 * np.pi, 120)
    clean = Rotation.from_rotvec(np.outer(angles, [0.6, 0.8, 0.0]))
    noisy = Rotation.from_rotvec(rng.normal(0, 0.03, (120, 3))) * clean
    smoothed = Rotation.from_matrix(smooth_rotations(noisy.as_matrix(), np.ones(120), FPS))
    off = (smoothed * clean.inv()).magnitude()
    assert off[5:-5].mean() < 0.7 * (noisy * clean.inv()).magnitude().mean()
    assert off.max() < 0.1
    quaternions = continuous(clean.as_quat())
    assert np.abs(np.diff(quaternions, axis=0)).max() < 0.1


def test_the_causal_filter_stills_what_rests_and_follows_what_moves(rng: np.random.Generator) -> None:
    still = OneEuro(1.0)
    noise = rng.normal(0, 0.002, (200, 1))
    filtered = np.array([still(value, 1 / FPS) for value in noise])
    assert np.diff(filtered[50:], 2, axis=0).std() < 0.4 * np.diff(noise[50:], 2, axis=0).std()
    quick = OneEuro(1.0)
    ramp = np.arange(60)[:, None] * 0.1  # 3 a second
    behind = ramp - np.array([quick(value, 1 / FPS) for value in ramp])
    assert behind[-1, 0] < 0.5 * 0.1, "less than half a frame late"
    quick.reset()
    assert quick(np.array([7.0]), 1 / FPS)[0] == 7.0


@pytest.mark.parametrize("rate", [30.0, 30.03])
def test_dropped_frames_keep_their_place(rate: float, rng: np.random.Generator) -> None:
    times = np.arange(3000) / rate + rng.normal(0, 0.002, 3000)
    times[2000:] += 1.0  # 30 frames are missing
    steps = np.diff(_slots(np.sort(times), 30.0))
    assert steps[1999] == 31
    assert (np.delete(steps, 1999) == 1).all()
