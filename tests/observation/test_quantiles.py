"""Quantiles against NumPy's, to the bit."""

import numpy as np
import pytest

from handopt.observation.quantiles import median, percentile, percentiles


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 17, 100, 999, 20_001])
def test_quantiles_are_those_of_numpy(dtype: type, count: int) -> None:
    rng = np.random.default_rng(count)
    for _ in range(20):
        values: np.ndarray = rng.normal(500, 100, count).astype(dtype)
        given = values.copy()
        assert median(values) == np.median(values)
        for percent in (0, 0.5, 37.0, 98, 100):
            assert percentile(values, percent) == np.percentile(values, percent)
        assert percentiles(values, (0.5, 50.0, 99.5)) == np.percentile(values, (0.5, 50.0, 99.5)).tolist()
        np.testing.assert_array_equal(values, given)
