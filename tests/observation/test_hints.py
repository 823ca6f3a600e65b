"""Hints and their mirror images; what is wrong with them is tested with observe, in test_observation.py."""

import numpy as np
import pytest

from handopt.observation.hints import Hints, checked_hints


def test_nothing_is_no_hint() -> None:
    assert not checked_hints((4, 6), None, None, None)
    assert checked_hints((4, 6), None, (0, 0, 2, 2), None)
    assert checked_hints((4, 6), None, None, (1, 1))
    assert checked_hints((4, 6), np.ones((4, 6)).astype(int), None, None)


def test_a_box_in_a_mask() -> None:
    mask = np.zeros((4, 6), bool)
    mask[1:3, 1:5] = True
    hints = checked_hints((4, 6), mask, (3, 0, 6, 4), None)
    assert hints.allowed is not None
    assert np.argwhere(hints.allowed).tolist() == [[1, 3], [1, 4], [2, 3], [2, 4]]
    np.testing.assert_array_equal(hints.mask, mask)


@pytest.mark.parametrize(("center", "expected"), [((1.5, 2.0), [3.5, 2.0]), ((10.0, 2.0, 500.0), [-10.0, 2.0, 500.0])])
def test_the_mirror_image_of_hints(center: tuple[float, ...], expected: list[float]) -> None:
    hints = checked_hints((4, 6), None, (0, 1, 2, 3), center).mirrored(6)
    turned = checked_hints((4, 6), None, (4, 1, 6, 3), None)
    np.testing.assert_array_equal(hints.allowed, turned.allowed)
    np.testing.assert_array_equal(hints.place, expected)
    assert hints.mask is None
    assert not Hints().mirrored(6)
