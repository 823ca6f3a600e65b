"""Equal seeds give equal fits, to the bit, on any number of threads."""

import numpy as np
import pytest
from support.compare import assert_same_bits
from support.examples import example

from handopt import backend
from handopt.result import FitResult


def same(first: FitResult, second: FitResult) -> None:
    for name in ("joints_mm", "vertices_mm", "angles_rad", "rotation", "rest_mm", "renders", "target"):
        assert_same_bits(getattr(first, name), getattr(second, name), name)
    for name, values in first.history.items():
        assert_same_bits(values, second.history[name], name)
    assert first.terms == second.terms


def test_the_seed_decides_everything() -> None:
    first, second = (example("left").fit(seed=4, shape="vertices") for _ in range(2))
    same(first, second)
    other = example("left").fit(seed=5, shape="vertices")
    assert np.abs(other.joints_mm - first.joints_mm).max() > 0


def test_the_number_of_threads_does_not_matter() -> None:
    threads = backend.cpu_threads()
    if threads == 0:
        pytest.skip("the kernels were built without OpenMP")
    try:
        results = []
        for count in (1, 2):
            backend.set_cpu_threads(count)
            assert backend.cpu_threads() == count
            results.append(example("open").fit(shape="vertices"))
    finally:
        backend.set_cpu_threads(threads)
    same(*results)
