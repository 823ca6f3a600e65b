"""What a personal rig's file says beside the mesh: its side and its joint limits, in the skin's extras."""

from typing import Any, Final

import numpy as np

from handopt.errors import RigError
from handopt.rig.joints import ANGLE_NAMES
from handopt.rig.model import Limits, Rig

EXTRAS_KEY: Final = "handopt"
FORMAT: Final = "handopt.rig/1"
CONFIDENCE_ATTRIBUTE: Final = "_CONFIDENCE"


def extras_of(rig: Rig) -> dict[str, Any]:
    """Side, and limits in radians by joint: rows lower and upper, columns twist, abduction, flexion."""
    return {
        "format": FORMAT,
        "side": rig.side,
        "limits": {
            "name": rig.limits.name,
            "unit": "rad",
            "angles": {
                name: {"lower": lower.tolist(), "upper": upper.tolist()}
                for name, lower, upper in zip(ANGLE_NAMES, rig.limits.lower, rig.limits.upper, strict=True)
            },
        },
    }


def personal(extras: Any) -> dict[str, Any] | None:
    """Handopt's part of a skin's extras, or None where there is none."""
    found = extras.get(EXTRAS_KEY) if isinstance(extras, dict) else None
    return found if isinstance(found, dict) and str(found.get("format", "")).startswith("handopt.rig/") else None


def limits_of(extras: dict[str, Any], where: str) -> Limits:
    """The joint limits that a file holds. Raises RigError."""
    try:
        limits = extras["limits"]
        bounds = [[limits["angles"][name][side] for name in ANGLE_NAMES] for side in ("lower", "upper")]
        lower, upper = np.array(bounds, np.float64)
        return Limits(str(limits["name"]), lower, upper)
    except (KeyError, TypeError, ValueError) as error:
        raise RigError(f"{where}: the joint limits in its extras are damaged ({error})") from error
