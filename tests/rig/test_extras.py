"""What a personal rig's file says of itself, sound and damaged."""

from typing import Any

import numpy as np
import pytest

from handopt.errors import RigError
from handopt.rig import default_rig
from handopt.rig.extras import EXTRAS_KEY, extras_of, limits_of, personal

RIG = default_rig()


def test_limits_come_back() -> None:
    limits = limits_of(extras_of(RIG), "mine.glb")
    assert limits.name == RIG.limits.name
    assert np.array_equal(limits.lower, RIG.limits.lower)
    assert np.array_equal(limits.upper, RIG.limits.upper)


@pytest.mark.parametrize("extras", [None, {}, {"handopt": 3}, {"handopt": {"format": "other/1"}}, []])
def test_files_of_others_are_not_ours(extras: Any) -> None:
    assert personal(extras) is None


def test_ours_are() -> None:
    own = extras_of(RIG)
    assert personal({EXTRAS_KEY: own, "other": 1}) is own


@pytest.mark.parametrize("damage", ["angles", "name"])
def test_damaged_limits_are_refused(damage: str) -> None:
    extras = extras_of(RIG)
    del extras["limits"][damage]
    with pytest.raises(RigError, match=r"mine\.glb: the joint limits in its extras are damaged"):
        limits_of(extras, "mine.glb")


def test_limits_that_make_no_sense_are_refused() -> None:
    extras = extras_of(RIG)
    extras["limits"]["angles"]["thumb_cmc"]["lower"] = [9.0, 9.0, 9.0]
    with pytest.raises(RigError, match="lower > upper"):
        limits_of(extras, "mine.glb")
