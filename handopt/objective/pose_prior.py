"""The pose prior: a relaxed hand, with a standard deviation for each angle and fingers that curl evenly."""

from typing import Any

import numpy as np

from handopt.backend import Array, Device, namespace, to_device, to_numpy
from handopt.rig.anatomy import DIP_OF_PIP, FLEXION

_FINGER_MEAN = ((0.0, 0.0, 0.35), (0.0, 0.0, 0.45), (0.0, 0.0, 0.3))
_FINGER_SIGMA = ((0.1, 0.15, 0.6), (0.1, 0.1, 0.6), (0.1, 0.1, 0.4))
_THUMB_MEAN = ((0.2, 0.0, 0.05), (0.0, 0.0, 0.3), (0.0, 0.0, 0.3))
_THUMB_SIGMA = ((0.35, 0.2, 0.3), (0.1, 0.1, 0.3), (0.1, 0.1, 0.4))
# A finger's DIP follows its PIP up to this deviation.
_DIP_SIGMA = 0.3
_DIPS, _PIPS = slice(5, 15, 3), slice(4, 15, 3)
FOLLOWERS = np.stack([np.arange(15, dtype=np.int32)[rows] for rows in (_DIPS, _PIPS)], axis=1)
"""Rows of the angles of each finger's DIP and of the PIP whose flexion it follows, (4, 2)."""
FOLLOW_PRECISION = 1 / _DIP_SIGMA**2


class PosePrior:
    """Squared deviations of joint angles (B, 15, 3) from a relaxed hand, in standard deviations, summed."""

    def __init__(self, device: Device, dtype: Any = np.float32) -> None:
        """Copy the prior's tables to a device."""
        mean = np.array([*_THUMB_MEAN, *_FINGER_MEAN * 4])
        sigma = np.array([*_THUMB_SIGMA, *_FINGER_SIGMA * 4])
        self.mean = to_device(mean, device, dtype)
        self.precision = to_device(1 / sigma**2, device, dtype)
        self._namespace = namespace(device)

    def relaxed(self, count: int) -> Array:
        """The angles (count, 15, 3) of a relaxed hand, which the prior expects where no other mean is given."""
        return self._namespace.repeat(self.mean[None], count, axis=0)

    @property
    def curvature(self) -> "np.ndarray[Any, Any]":
        """Half the term's second derivative by the 45 angles in order, (45, 45), on the host: the term is quadratic."""
        curvature = np.diag(to_numpy(self.precision).astype(np.float64).ravel())
        for dip, pip in 3 * FOLLOWERS + FLEXION:
            lag = np.zeros(len(curvature))
            lag[dip], lag[pip] = 1 / _DIP_SIGMA, -DIP_OF_PIP / _DIP_SIGMA
            curvature += np.outer(lag, lag)
        return curvature

    def __call__(self, angles: Array, mean: Array | None = None) -> tuple[Array, Array]:
        """Return the term (B,) and its gradient (B, 15, 3). mean: (B, 15, 3) rad, instead of the relaxed hand's."""
        offset = angles - (self.mean if mean is None else mean)
        gradient = 2 * self.precision * offset
        term = (self.precision * offset**2).sum(axis=(1, 2))
        flexion = angles[:, :, FLEXION]
        lag = (flexion[:, _DIPS] - DIP_OF_PIP * flexion[:, _PIPS]) / _DIP_SIGMA
        gradient[:, _DIPS, FLEXION] += 2 * lag / _DIP_SIGMA
        gradient[:, _PIPS, FLEXION] -= 2 * lag * DIP_OF_PIP / _DIP_SIGMA
        return term + (lag**2).sum(axis=1), gradient
