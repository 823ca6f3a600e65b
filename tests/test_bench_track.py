"""What the benchmark of tracks measures by."""

import bench_track
import numpy as np
import pytest


@pytest.mark.parametrize("late", [0.0, 0.5, 1.5])
def test_the_lag_is_how_late_joints_are(late: float, rng: np.random.Generator) -> None:
    times = np.arange(60.0)

    def joints(at: np.ndarray) -> np.ndarray:
        waves = np.stack([np.sin(at / 9), np.cos(at / 7), np.sin(at / 5 + 1)], axis=1)
        return 100 * np.repeat(waves[:, None], 21, axis=1)

    measured = joints(times - late) + 3.0 + rng.normal(0, 0.3, (60, 21, 3))
    assert bench_track.lag(measured, joints(times)) == pytest.approx(late, abs=0.1)


def test_jitter_is_mean_acceleration() -> None:
    joints = np.zeros((5, 21, 3))
    joints[:, :, 0] = (0.5 * 2.0 * (np.arange(5) / bench_track.FPS) ** 2 * 1000)[:, None]  # 2 m/s^2
    assert bench_track.jitter(joints) == pytest.approx(2.0)


def test_a_sequence_has_its_dropout() -> None:
    given = bench_track.sequence("easy", 1, 14)
    assert np.flatnonzero(~given.seen).tolist() == list(range(7, 14))
    assert given.joints.shape == (14, 21, 3)
