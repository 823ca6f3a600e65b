"""What a personal rig's file says beside the mesh, in the skin's extras: side, joint limits, and pose correctives."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from handopt.errors import RigError
from handopt.rig.joints import ANGLE_NAMES
from handopt.rig.model import Limits, Rig
from handopt.rig.pose_correctives import FEATURES, PoseCorrectives
from handopt.typing import Floats

EXTRAS_KEY: Final = "handopt"
FORMAT: Final = "handopt.rig/1"
CONFIDENCE_ATTRIBUTE: Final = "_CONFIDENCE"
CORRECTIVES_KEY: Final = "pose_correctives"
"""Accessors of displacements in metres by what moves, `vertices` and `joints`: for each feature a VEC3 of each."""


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


def correctives_to_store(rig: Rig) -> dict[str, Floats] | None:
    """The rig's pose correctives as rows of two accessors, (135 V, 3) and (135 J, 3) mm, in the rest mesh's axes."""
    if rig.pose_correctives is None:
        return None
    axes = rig.bind[rig.articulated, :, :3].transpose(0, 2, 1)  # those of the rest mesh, in the joints' own
    stored = rig.pose_correctives.in_frames(axes)
    return {"vertices": stored.vertices.reshape(-1, 3), "joints": stored.joints.reshape(-1, 3)}


def correctives_of(extras: Any, accessor: Callable[[int, str], Floats]) -> PoseCorrectives | None:
    """The pose correctives that a personal rig's file holds, in its unit. accessor: reads one, of a kind.

    Raises ValueError, TypeError and RigError where they are damaged.
    """
    own = personal(extras) or {}
    if CORRECTIVES_KEY not in own:
        return None
    rows = [accessor(own[CORRECTIVES_KEY][name], "VEC3").astype(np.float64) for name in ("vertices", "joints")]
    return PoseCorrectives(*(each.reshape(FEATURES, -1, 3) for each in rows))
