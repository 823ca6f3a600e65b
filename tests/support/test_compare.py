"""The comparison helpers themselves: they must fail where they should, and name the place."""

import numpy as np
import pytest

from support.compare import assert_close, assert_same_bits, directional_derivative_error, relative_error


def test_equal_arrays_are_close_and_the_error_is_returned() -> None:
    expected = np.array([[1.0, -2.0], [np.inf, 0.0]])
    assert assert_close(expected, expected, reason="identical") == 0.0
    error = assert_close(np.array([1.0, 2.25]), np.array([1.0, 2.0]), atol=0.5, reason="quarter within a half")
    assert error == 0.25


def test_message_names_the_worst_element_and_the_reason() -> None:
    expected = np.arange(6.0).reshape(2, 3)
    actual = expected.copy()
    actual[0, 1] += 0.5
    actual[1, 2] -= 2.0
    with pytest.raises(AssertionError) as failure:
        assert_close(actual, expected, atol=0.1, reason="a tenth")
    text = str(failure.value)
    assert "2 of 6 elements" in text
    assert "(1, 2)" in text
    assert "3 instead of 5" in text
    assert "error 2" in text
    assert "a tenth" in text


def test_worst_is_measured_beyond_its_own_bound() -> None:
    # the larger error is within its relative bound, the smaller one is not
    with pytest.raises(AssertionError, match=r"worst is at \(1,\)"):
        assert_close(np.array([1010.0, 1.5]), np.array([1000.0, 1.0]), rtol=0.02, reason="two per cent")


@pytest.mark.parametrize(
    ("actual", "expected"),
    [(np.nan, 1.0), (1.0, np.nan), (np.nan, np.nan), (np.inf, 1.0), (1.0, np.inf), (np.inf, -np.inf)],
)
def test_nan_and_infinity_are_never_close(actual: float, expected: float) -> None:
    with pytest.raises(AssertionError, match="1 of 2 elements"):
        assert_close(np.array([0.0, actual]), np.array([0.0, expected]), rtol=1e3, atol=1e300, reason="anything finite")


def test_tolerances() -> None:
    expected = np.array([1.0, 100.0])
    assert_close(expected * (1 + 1e-3), expected, rtol=1.01e-3, reason="relative")
    assert_close(expected + np.array([0.09, 0.0]), expected, of_max=1e-3, reason="relative to the largest")
    with pytest.raises(AssertionError):
        assert_close(expected + np.array([0.11, 0.0]), expected, of_max=1e-3, reason="relative to the largest")
    with pytest.raises(AssertionError):
        assert_close(expected + np.array([0.09, 0.0]), expected, rtol=1e-3, reason="relative to itself")
    with pytest.raises(AssertionError):
        assert_close(np.array([1e-30]), np.array([0.0]), reason="exact by default")


def test_shapes_must_be_equal_and_a_reason_is_required() -> None:
    with pytest.raises(AssertionError, match="shapes differ"):
        assert_close(np.zeros((2, 1)), np.zeros(2), reason="no broadcasting")
    with pytest.raises(ValueError, match="reason"):
        assert_close(np.zeros(2), np.zeros(2), reason="")
    assert assert_close(np.zeros((0, 3)), np.zeros((0, 3)), reason="empty") == 0.0


def test_same_bits() -> None:
    values = np.array([[0.5, 1.0], [2.0, np.nan]], np.float32)
    assert_same_bits(values, values.copy())
    with pytest.raises(AssertionError, match="float64"):
        assert_same_bits(values.astype(np.float64), values)
    changed = values.copy()
    changed[1, 0] = np.nextafter(changed[1, 0], np.float32(3))
    with pytest.raises(AssertionError, match=r"1 of 4 elements differ in their bits, first at \(1, 0\)"):
        assert_same_bits(changed, values)
    with pytest.raises(AssertionError, match="differ in their bits"):
        assert_same_bits(np.array([-0.0]), np.array([0.0]))


def test_directional_derivative_error() -> None:
    rng = np.random.default_rng(0)
    x, direction = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))

    def f(y: np.ndarray) -> float:
        return float(np.sum(np.sin(y)))

    assert directional_derivative_error(f, np.cos(x), x, direction, 1e-5) < 1e-9
    assert directional_derivative_error(f, 1.001 * np.cos(x), x, direction, 1e-5) == pytest.approx(1e-3, rel=0.01)
    assert directional_derivative_error(f, -np.cos(x), x, direction, 1e-5) == pytest.approx(2.0)


def test_relative_error() -> None:
    assert relative_error(0.0, 0.0) == 0.0
    assert relative_error(1.0, 2.0) == relative_error(2.0, 1.0) == 0.5
    assert relative_error(1.0, -1.0) == 2.0
