"""Comparison helpers. Every tolerance comes with its reason; every failure names the worst element."""

from collections.abc import Callable
from typing import Any

import numpy as np

FLOAT32_EPS = float(np.finfo(np.float32).eps)
FLOAT64_EPS = float(np.finfo(np.float64).eps)


def assert_close(
    actual: Any, expected: Any, *, rtol: float = 0.0, atol: float = 0.0, of_max: float = 0.0, reason: str
) -> float:
    """Assert |actual - expected| <= atol + rtol * |expected| + of_max * max|expected| for every element.

    actual, expected: arrays of one shape; NaN is never close, infinity only to itself. reason: why this tolerance.
    Returns the largest error. Raises AssertionError that shows the worst element (the one furthest beyond its bound).
    """
    found, wanted = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if not reason:
        raise ValueError("reason: say why this tolerance is right")
    if found.shape != wanted.shape:
        raise AssertionError(f"shapes differ: {found.shape} instead of {wanted.shape}")
    if found.size == 0:
        return 0.0
    with np.errstate(invalid="ignore"):
        error = np.where(found == wanted, 0.0, np.abs(found - wanted))
    error = np.where(np.isnan(error), np.inf, error)
    finite = np.where(np.isfinite(wanted), np.abs(wanted), 0.0)
    bound = atol + rtol * finite + of_max * finite.max()
    excess = error - bound
    if not np.any(excess > 0):
        return float(error.max())
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    place = tuple(int(i) for i in worst)
    raise AssertionError(
        f"{np.count_nonzero(excess > 0)} of {error.size} elements differ; the worst is at {place}: "
        f"{found[worst]:.17g} instead of {wanted[worst]:.17g}, error {error[worst]:.3g}, allowed {bound[worst]:.3g} "
        f"({reason})"
    )


def assert_same_bits(actual: Any, expected: Any, what: str = "arrays") -> None:
    """Assert that two arrays have the same dtype, shape and bits. AssertionError shows the first difference."""
    found, wanted = np.asarray(actual), np.asarray(expected)
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        raise AssertionError(f"{what}: {found.dtype}{found.shape} instead of {wanted.dtype}{wanted.shape}")
    if found.tobytes() == wanted.tobytes():
        return
    unequal = np.ascontiguousarray(found).view(f"u{found.itemsize}") != np.ascontiguousarray(wanted).view(
        f"u{found.itemsize}"
    )
    first = tuple(int(i[0]) for i in np.nonzero(unequal))
    raise AssertionError(
        f"{what}: {np.count_nonzero(unequal)} of {unequal.size} elements differ in their bits, first at {first}: "
        f"{found[first]!r} instead of {wanted[first]!r}"
    )


def relative_error(actual: float, expected: float) -> float:
    """|actual - expected| over the larger of the two magnitudes; 0 where both are 0."""
    size = max(abs(actual), abs(expected))
    return abs(actual - expected) / size if size > 0 else 0.0


def directional_derivative_error(
    f: Callable[[np.ndarray], float], grad: np.ndarray, x: np.ndarray, direction: np.ndarray, eps: float
) -> float:
    """Relative error of <grad, direction> against the central difference of f at x along direction.

    f: array like x -> scalar. grad, x, direction: arrays of one shape. eps: step in units of direction.
    """
    analytic = float(np.sum(np.asarray(grad, np.float64) * direction))
    numeric = (float(f(x + eps * direction)) - float(f(x - eps * direction))) / (2 * eps)
    return relative_error(analytic, numeric)
