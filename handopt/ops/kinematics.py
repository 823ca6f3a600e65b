"""Forward kinematics: from a pose to one rest-to-camera transform per joint (paper, section 2)."""

import numpy as np

from handopt.backend import Arguments, Array, launch
from handopt.errors import ShapeError

MAX_JOINTS = 64


def forward_kinematics(
    angles: Array,
    rotation: Array,
    translation: Array,
    scale: Array,
    parents: Array,
    articulated: Array,
    bind: Array,
    side: int = 1,
) -> Array:
    """Turn poses into joint transforms, inverse bind matrices included.

    angles: (B, A, 3) radians: twist, abduction, flexion of each articulated joint
    rotation: (B, 3, 3) rig -> camera; translation: (B, 3) mm, where the root joint (the wrist) is; scale: (B,)
    parents: (J,) int32, parents before their children, -1 at the root; articulated: (A,) int32, the joint of each row
    bind: (J, 3, 4) mm, joint -> rig, or (B, J, 3, 4) where each image has its own
    side: +1 for a right hand, -1 for a left one (twist and abduction change sign)
    Returns (B, J, 3, 4) mm, rest space -> camera space. Raises ShapeError.

    Local rotation R_abd R_flex R_twist; M_j p = scale * rotation @ (G_j p - wrist) + translation.
    """
    own = getattr(bind, "ndim", 3) == 4
    call = _check(angles, rotation, translation, scale, parents, articulated, bind, side, own=own)
    b, j, a = call.size["B"], call.size["J"], call.size["A"]
    transforms = call.empty(b, j, 3, 4)
    launch(
        "kinematics_forward", b, angles, rotation, translation, scale, parents, articulated, bind, transforms,
        side, 12 * j * own, b, j, a,
    )  # fmt: skip
    return transforms


def forward_kinematics_backward(
    grad_transforms: Array,
    angles: Array,
    rotation: Array,
    translation: Array,
    scale: Array,
    parents: Array,
    articulated: Array,
    bind: Array,
    side: int = 1,
) -> tuple[Array, Array, Array, Array]:
    """Gradients of forward_kinematics, given grad_transforms (B, J, 3, 4); the other arguments as there.

    Returns grad_angles (B, A, 3), grad_rotation (B, 3), grad_translation (B, 3), grad_scale (B,). grad_rotation is the
    tangent d/dw of exp([w]x) @ rotation at w = 0, in camera axes. Raises ShapeError.
    """
    own = getattr(bind, "ndim", 3) == 4
    call = _check(angles, rotation, translation, scale, parents, articulated, bind, side, own=own)
    call.real("grad_transforms", grad_transforms, ("B", "J", 3, 4))
    b, j, a = call.size["B"], call.size["J"], call.size["A"]
    gradients = call.zeros(b, a, 3), call.empty(b, 3), call.empty(b, 3), call.empty(b)
    launch(
        "kinematics_backward", b, grad_transforms, angles, rotation, scale, parents, articulated, bind,
        call.empty(b, 2, j, 12), *gradients, side, 12 * j * own, b, j, a,
    )  # fmt: skip
    return gradients


def _check(
    angles: Array,
    rotation: Array,
    translation: Array,
    scale: Array,
    parents: Array,
    articulated: Array,
    bind: Array,
    side: int,
    own: bool = False,
) -> Arguments:
    call = Arguments()
    call.real("angles", angles, ("B", "A", 3))
    call.real("rotation", rotation, ("B", 3, 3))
    call.real("translation", translation, ("B", 3))
    call.real("scale", scale, ("B",))
    call.real("bind", bind, ("B", "J", 3, 4) if own else ("J", 3, 4))
    call.whole("parents", parents, ("J",), below="J", lowest=-1)
    call.whole("articulated", articulated, ("A",), below="J")
    if call.scans(parents) and (parents >= np.arange(len(parents))).any():
        raise ShapeError("parents: expected every parent before its children")
    if call.scans(articulated) and (
        len(set(articulated.tolist())) < len(articulated) or (parents[articulated] < 0).any()
    ):
        raise ShapeError("articulated: expected each joint once, and no root")
    if call.size["J"] > MAX_JOINTS:
        raise ShapeError(f"bind: expected at most {MAX_JOINTS} joints, got {call.size['J']}")
    if side not in (1, -1):
        raise ShapeError(f"side: expected 1 (right) or -1 (left), got {side!r}")
    return call
