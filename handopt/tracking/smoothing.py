"""Taking the jitter out of a track: a two-sided smoother without lag, and a causal filter with next to none."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ORDER = 3
CUTOFF_HZ = 4.5
"""Where the two-sided smoother halves what moves: quick fingers reach 3 to 4 Hz."""
LEAST_WEIGHT = 0.02
ROUNDS = 6
TOLERANCE_QUATERNION, TOLERANCE_MM, TOLERANCE_RAD = 0.03, 4.0, 0.12
MIN_CUTOFF_HZ, SPEED_CUTOFF_HZ = 3.0, 30.0
"""Of the causal filter: its cutoff at rest, and how it rises with a speed relative to the unit's usual one."""
SPEED_SMOOTHING_HZ = 3.0


def two_sided(
    values: Floats,
    weights: Floats,
    fps: float,
    cutoff_hz: float = CUTOFF_HZ,
    tolerance: float = np.inf,
    *,
    together: bool = False,
) -> Floats:
    """Smooth the columns of values (T, P) with weights (T, P) from 0: what has weight 0 is filled in.

    Minimises sum w (x - y)^2 + s sum (D^3 x)^2 with third differences D^3, which is what a Kalman filter and a
    Rauch-Tung-Striebel smoother with white noise of the jerk do (Whittaker, 1923; Eilers, Anal. Chem. 2003). At weight
    1, s halves amplitudes at the cutoff; where weights are smaller, more is smoothed. Phases stay.

    tolerance: by how much a value of weight 1 may be moved. What would be moved farther is motion and no jitter: its
    weight grows until it is not. together: columns of a row are moved as one.
    """
    count = len(values)
    if count <= ORDER:
        return values.copy()
    frequency = min(cutoff_hz / fps, 0.45)
    strength = (2 * np.sin(np.pi * frequency)) ** (-2 * ORDER)
    stencil = np.diff(np.eye(ORDER + 1), ORDER, axis=0)[0]
    bands = np.zeros((ORDER + 1, count))  # upper form: bands[ORDER - k, j] = A[j - k, j]
    for k in range(ORDER + 1):
        for i in range(ORDER + 1 - k):
            bands[ORDER - k, i + k : count - ORDER + i + k] += stencil[i] * stencil[i + k]
    weights = weights.copy()
    for _ in range(ROUNDS):
        smoothed = _solved(strength * bands, values, weights)
        off = np.abs(smoothed - values) * np.sqrt(np.minimum(weights, 1.0)) / tolerance
        off = np.where(weights > 0, off, 0.0)
        if together:
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


def smooth_rotations(rotations: Floats, weights: Floats, fps: float, cutoff_hz: float = CUTOFF_HZ) -> Floats:
    """Smooth rotations (T, 3, 3) with weights (T,)."""
    from scipy.spatial.transform import Rotation

    quaternions = continuous(Rotation.from_matrix(rotations).as_quat())
    smoothed = two_sided(
        quaternions, np.repeat(weights[:, None], 4, axis=1), fps, cutoff_hz, TOLERANCE_QUATERNION, together=True
    )
    return np.asarray(Rotation.from_quat(smoothed).as_matrix())


@dataclass
class OneEuro:
    """The 1 Euro filter (Casiez, Roussel, Vogel, CHI 2012) for vectors (P,): smooth at rest, prompt in motion.

    usual_speed: (P,) or a number, per second, at which the cutoff has risen by SPEED_CUTOFF_HZ.
    """

    usual_speed: Floats | float
    min_cutoff_hz: float = MIN_CUTOFF_HZ
    value: Floats | None = None
    _speed: Floats | None = None

    def __call__(self, value: Floats, seconds: float) -> Floats:
        """The filtered value, `seconds` after the one before."""
        if self.value is None or self._speed is None:
            self.value, self._speed = value.copy(), np.zeros_like(value)
            return value
        speed = (value - self.value) / seconds
        self._speed = self._speed + _share(SPEED_SMOOTHING_HZ, seconds) * (speed - self._speed)
        relative = np.abs(self._speed) / np.asarray(self.usual_speed)
        cutoff = self.min_cutoff_hz + SPEED_CUTOFF_HZ * relative
        self.value = self.value + _share(cutoff, seconds) * (value - self.value)
        return self.value

    def forget(self) -> None:
        """Start afresh with the next value."""
        self.value = self._speed = None


def _share(cutoff_hz: "Floats | float", seconds: float) -> Floats:
    """How much of a change a first-order low pass lets through in a step."""
    return np.asarray(1.0 / (1.0 + 1.0 / (2 * np.pi * np.asarray(cutoff_hz) * seconds)))
