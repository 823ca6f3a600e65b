"""Quantiles of a few thousand values: what NumPy gives to the bit, without what its functions for any array cost."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def median(values: NDArray[Any]) -> float:
    """The median of float32 or float64 values (n,), n > 0, none of which is NaN: numpy.median."""
    half = len(values) // 2
    if len(values) % 2:
        return float(np.partition(values, half)[half])
    ordered = np.partition(values, (half - 1, half))
    return float((ordered[half - 1] + ordered[half]) / 2)


def percentile(values: NDArray[Any], percent: float) -> float:
    """A percentile of float32 or float64 values (n,), n > 0, none of which is NaN: numpy.percentile, linear."""
    (((one, other), share),) = _around(values, (percent,))
    return _between(one, other, share)


def percentiles(values: NDArray[Any], percents: tuple[float, ...]) -> list[float]:
    """Several percentiles of such values, interpolated in float64 as numpy.percentile does."""
    return [_between(one, other, np.float64(share)) for (one, other), share in _around(values, percents)]


def _around(values: NDArray[Any], percents: tuple[float, ...]) -> list[tuple[tuple[Any, Any], float]]:
    """The two values between which each percentile lies, and how far from the first."""
    last = len(values) - 1
    places = [last * (percent / 100) for percent in percents]
    pairs = [(int(place), min(int(place) + 1, last)) for place in places]
    ordered = np.partition(values, sorted({index for pair in pairs for index in pair}))
    return [((ordered[low], ordered[high]), place - low) for (low, high), place in zip(pairs, places, strict=True)]


def _between(one: Any, other: Any, share: Any) -> float:
    """Linear interpolation, in the type of the values where the share is Python's."""
    step = other - one
    return float(other - step * (1 - share) if share >= 0.5 else one + step * share)
