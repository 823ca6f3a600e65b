"""Filters against jitter: a two-sided smoother without lag, and a causal filter with next to none."""

from dataclasses import dataclass

import numpy as np

from handopt.tracking.config import SmoothingConfig
from handopt.tracking.pose_estimate import Placed
from handopt.typing import Floats

ORDER = 3
"""Of the differences that the smoother holds small: the third, so that jerk is."""
SMOOTHING = SmoothingConfig()


def two_sided(
    values: Floats,
    weights: Floats,
    fps: float,
    config: SmoothingConfig = SMOOTHING,
    tolerance: float = np.inf,
    *,
    rows_as_one: bool = False,
) -> Floats:
    """Smooth the columns of values (T, P) with weights (T, P) from 0: what has weight 0 is filled in.

    Minimises sum w (x - y)^2 + s sum (D^3 x)^2 with third differences D^3, which is what a Kalman filter and a
    Rauch-Tung-Striebel smoother with white noise of the jerk do (Whittaker, 1923; Eilers, Anal. Chem. 2003). At weight
    1, s halves amplitudes at the cutoff; where weights are smaller, more is smoothed. Phases stay.

    tolerance: by how much a value of weight 1 may be moved. What would be moved farther is motion and no jitter: its
    weight grows until it is not. rows_as_one: all columns of a row get the weight of the worst.
    """
    count = len(values)
    if count <= ORDER:
        return values.copy()
    frequency = min(config.cutoff_hz / fps, 0.45)
    strength = (2 * np.sin(np.pi * frequency)) ** (-2 * ORDER)
    stencil = np.diff(np.eye(ORDER + 1), ORDER, axis=0)[0]
    bands = np.zeros((ORDER + 1, count))  # upper form: bands[ORDER - k, j] = A[j - k, j]
    for k in range(ORDER + 1):
        for i in range(ORDER + 1 - k):
            bands[ORDER - k, i + k : count - ORDER + i + k] += stencil[i] * stencil[i + k]
    weights = weights.copy()
    for _ in range(config.rounds):
        smoothed = _solved(strength * bands, values, weights)
        off = np.abs(smoothed - values) * np.sqrt(np.minimum(weights, 1.0)) / tolerance
        off = np.where(weights > 0, off, 0.0)
        if rows_as_one:
            off = np.repeat(off.max(axis=1, keepdims=True), values.shape[1], axis=1)
        if off.max() <= 1:
            break
        weights *= np.maximum(off, 1.0) ** 2
    return smoothed


def _solved(bands: Floats, values: Floats, weights: Floats) -> Floats:
    from scipy.linalg import solveh_banded

    smoothed = np.empty_like(values)
    for column in range(values.shape[1]):
        own = bands.copy()
        own[ORDER] += weights[:, column] + 1e-9
        smoothed[:, column] = solveh_banded(own, weights[:, column] * values[:, column])
    return smoothed


def continuous(quaternions: Floats) -> Floats:
    """The same rotations, as quaternions (T, 4) of which each is on the side of the one before."""
    turns = np.where(np.einsum("ti,ti->t", quaternions[1:], quaternions[:-1]) < 0, -1.0, 1.0)
    return np.asarray(quaternions * np.cumprod(np.concatenate([[1.0], turns]))[:, None])


def smooth_rotations(rotations: Floats, weights: Floats, fps: float, config: SmoothingConfig = SMOOTHING) -> Floats:
    """Smooth rotations (T, 3, 3) with weights (T,)."""
    from scipy.spatial.transform import Rotation

    quaternions = continuous(Rotation.from_matrix(rotations).as_quat())
    columns = np.repeat(weights[:, None], 4, axis=1)
    smoothed = two_sided(quaternions, columns, fps, config, config.tolerance_quaternion, rows_as_one=True)
    return np.asarray(Rotation.from_quat(smoothed).as_matrix())


@dataclass
class OneEuro:
    """The 1 Euro filter (Casiez, Roussel, Vogel, CHI 2012) for vectors (P,): smooth at rest, prompt in motion.

    usual_speed: (P,) or a number, per second, at which the cutoff has risen by config.speed_cutoff_hz.
    """

    usual_speed: Floats | float
    config: SmoothingConfig = SMOOTHING
    value: Floats | None = None
    _speed: Floats | None = None

    def __call__(self, value: Floats, seconds: float) -> Floats:
        """The filtered value, `seconds` after the last one."""
        if self.value is None or self._speed is None:
            self.value, self._speed = value.copy(), np.zeros_like(value)
            return value
        speed = (value - self.value) / seconds
        self._speed = self._speed + _share(self.config.speed_smoothing_hz, seconds) * (speed - self._speed)
        relative = np.abs(self._speed) / np.asarray(self.usual_speed)
        cutoff = self.config.min_cutoff_hz + self.config.speed_cutoff_hz * relative
        self.value = self.value + _share(cutoff, seconds) * (value - self.value)
        return self.value

    def reset(self) -> None:
        """Start again with the next value."""
        self.value = self._speed = None


def pose_filter(config: SmoothingConfig = SMOOTHING) -> OneEuro:
    """A filter for poses, see `filtered`."""
    speeds = [config.usual_quaternion_speed, config.usual_speed_mm, config.usual_speed_rad]
    return OneEuro(np.repeat(speeds, (4, 3, 45)), config)


def filtered(pose_filter: OneEuro, placed: Placed, seconds: float) -> Placed:
    """The pose after a filter of poses, `seconds` after the last one."""
    from scipy.spatial.transform import Rotation

    quaternion = Rotation.from_matrix(placed.rotation).as_quat()
    last = pose_filter.value
    if last is not None and quaternion @ last[:4] < 0:
        quaternion = -quaternion
    vector = np.concatenate([quaternion, placed.translation_mm, placed.angles_rad.ravel()])
    vector = pose_filter(vector, seconds)
    rotation = Rotation.from_quat(vector[:4]).as_matrix()
    return Placed(rotation, vector[4:7], vector[7:].reshape(15, 3))


def _share(cutoff_hz: "Floats | float", seconds: float) -> Floats:
    """How much of a change a first-order low pass lets through in a step."""
    return np.asarray(1.0 / (1.0 + 1.0 / (2 * np.pi * np.asarray(cutoff_hz) * seconds)))
