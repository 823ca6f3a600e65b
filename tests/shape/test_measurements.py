"""Measurements are those of a hand, and each follows what it measures."""

from dataclasses import replace

import numpy as np
import pytest

from handopt.rig import PROPORTION_NAMES, default_rig, with_proportions
from handopt.shape.measurements import DESCRIPTIONS, Measurement, MeasurementSet

RIG = default_rig()
TAPE = MeasurementSet.on(RIG)
LENGTHS = dict(zip(TAPE.names, TAPE.lengths(RIG), strict=True))


def of(**proportions: float) -> dict[str, float]:
    """The measurements with other proportions."""
    values = [proportions.get(name, 0.0) for name in PROPORTION_NAMES]
    return dict(zip(TAPE.names, TAPE.lengths(with_proportions(RIG, values)), strict=True))


def test_the_default_hand_is_that_of_an_adult() -> None:
    assert 170 < LENGTHS["hand_length"] < 205
    assert 70 < LENGTHS["hand_breadth"] < 95
    fingers = [LENGTHS[f"{digit}_length"] for digit in ("thumb", "pinky", "index", "middle")]
    assert fingers == sorted(fingers)
    assert all(12 < LENGTHS[f"{digit}_breadth"] < 25 for digit in ("thumb", "index", "middle", "ring", "pinky"))
    assert set(TAPE.names) == set(DESCRIPTIONS)


def test_they_grow_with_the_hand() -> None:
    bind = RIG.bind.copy()
    bind[:, :, 3] *= 1.1
    grown = TAPE.lengths(replace(RIG, rest_mm=1.1 * RIG.rest_mm, bind=bind))
    assert np.allclose(grown, 1.1 * TAPE.lengths(RIG))


@pytest.mark.parametrize("digit", ["index", "middle", "ring", "pinky"])
def test_a_longer_finger_is_longer_and_no_broader(digit: str) -> None:
    after = of(**{f"{digit}_length": 0.1})
    assert after[f"{digit}_length"] == pytest.approx(1.1 * LENGTHS[f"{digit}_length"], rel=0.02)
    assert after[f"{digit}_breadth"] == pytest.approx(LENGTHS[f"{digit}_breadth"], rel=0.02)
    others = [name for name in TAPE.names if digit not in name and name != "hand_length"]
    assert all(after[name] == pytest.approx(LENGTHS[name], abs=0.5) for name in others)


@pytest.mark.parametrize("digit", ["thumb", "index", "middle", "ring", "pinky"])
def test_a_thicker_finger_is_broader(digit: str) -> None:
    after = of(**{f"{digit}_thickness": 0.1})
    assert after[f"{digit}_breadth"] == pytest.approx(1.1 * LENGTHS[f"{digit}_breadth"], rel=0.03)


def test_a_wider_palm_is_broader() -> None:
    assert of(palm_width=0.1)["hand_breadth"] > 1.05 * LENGTHS["hand_breadth"]


def test_the_left_hand_has_the_same_measurements() -> None:
    left = RIG.mirrored()
    assert np.allclose(MeasurementSet.on(left).lengths(left), TAPE.lengths(RIG), atol=0.5)


def test_plain_values_are_rounded() -> None:
    values = Measurement("hand_length", 190.12345, 1.23456, 180.0).to_dict()
    assert values == {
        "mm": 190.12,
        "deviation_mm": 1.23,
        "generic_mm": 180.0,
        "what": "wrist joint to the tip of the middle finger, along the straight hand",
    }
