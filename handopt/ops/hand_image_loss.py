"""Pose, render, compare and differentiate in one call: one image-iteration for each hypothesis."""

from dataclasses import dataclass

import numpy as np

from handopt.backend import Arguments, Array, launch, schedule
from handopt.errors import ShapeError
from handopt.ops.collision import collision, collision_backward
from handopt.ops.projection import project, project_backward
from handopt.ops.skinning import skin, skin_backward
from handopt.ops.splat_loss import splat_loss


@dataclass(frozen=True, eq=False)
class CollisionTerm:
    """Joints that may not enter bones, each joint moved by one transform.

    rest: (M, 3) mm in rest space; indices: (M, 1) int32, the transform of each; bones: (N, 2) int32, below M
    radius, fixed_length: as in collision and collision_backward; weight: by which the term is multiplied
    """

    rest: Array
    indices: Array
    bones: Array
    radius: float
    weight: float = 1.0
    fixed_length: bool = True


@dataclass(frozen=True, eq=False)
class _Given:
    """Arguments of hand_image_loss."""

    grad_loss: Array
    transforms: Array
    rest: Array
    indices: Array
    weights: Array
    coefficients: Array
    target: Array
    image_index: Array
    radius: float
    delta: float
    weight: Array | None
    joints: CollisionTerm | None


def hand_image_loss(
    grad_loss: Array,
    transforms: Array,
    rest: Array,
    indices: Array,
    weights: Array,
    coefficients: Array,
    target: Array,
    image_index: Array,
    radius: float,
    *,
    delta: float = 0.0,
    weight: Array | None = None,
    joints: CollisionTerm | None = None,
    perspective: bool = True,
    rest_gradient: bool = True,
) -> tuple[Array, Array, Array | None]:
    """Skin, project, splat and compare a hand with target images: the loss and its gradients at once.

    grad_loss: (B,), by which each gradient is multiplied; transforms, rest (V, 3), indices, weights: as in skin
    coefficients: (B, 6), perspective: as in project; target: (I, S, S), image_index: (B,), radius, delta, weight: as in
    splat_loss; joints: adds their collision term
    Returns loss (B,), grad_transforms (B, J, 3, 4), and grad_rest (V, 3), which sums over the batch, or None in its
    place if rest_gradient is False. Raises ShapeError.

    The same as skin, project, splat_loss, collision and their backwards (paper, Eq. 1 to 22), which it calls on a GPU.
    On the CPU one kernel does an image at a time; where two points show exactly the same value at a pixel, the one
    whose first row is the upper one wins, then the lower index.
    """
    compared = (target, image_index, radius, delta, weight)
    given = _Given(grad_loss, transforms, rest, indices, weights, coefficients, *compared, joints)
    call = _check(given)
    if schedule(transforms) == "grid":
        return _one_by_one(given, perspective=perspective, rest_gradient=rest_gradient)
    b, j, v, k, s = (call.size[name] for name in "BJVKS")
    loss, grad_transforms = call.empty(b), call.empty(b, j, 3, 4)
    grad_images = call.empty(b, v, 3) if rest_gradient else loss
    term = joints if joints is not None else CollisionTerm(rest, indices, indices, 0.0)
    m, n = (0, 0) if joints is None else (call.size["M"], call.size["N"])
    launch(
        "hand_image_loss", b, grad_loss, transforms, rest, indices, weights, coefficients, target,
        target if weight is None else weight, image_index, term.rest, term.indices, term.bones, loss, grad_transforms,
        grad_images, radius, delta, term.radius, term.weight, int(term.fixed_length), int(perspective),
        int(weight is not None), int(rest_gradient), b, j, v, k, s, m, n,
    )  # fmt: skip
    if not rest_gradient:
        return loss, grad_transforms, None
    grad_rest = call.empty(v, 3)
    launch("sum_over_batch", v * 3, grad_images, grad_rest, b, v * 3)
    return loss, grad_transforms, grad_rest


def _check(given: _Given) -> Arguments:
    call, joints = Arguments(), given.joints
    call.real("grad_loss", given.grad_loss, ("B",))
    call.real("transforms", given.transforms, ("B", "J", 3, 4))
    call.real("rest", given.rest, ("V", 3))
    call.whole("indices", given.indices, ("V", "K"), below="J")
    call.real("weights", given.weights, ("V", "K"))
    call.real("coefficients", given.coefficients, ("B", 6))
    call.real("target", given.target, ("I", "S", "S"))
    call.whole("image_index", given.image_index, ("B",), below="I")
    if given.weight is not None:
        call.real("weight", given.weight, ("I", "S", "S"))
    if joints is not None:
        call.real("joints.rest", joints.rest, ("M", 3))
        call.whole("joints.indices", joints.indices, ("M", 1), below="J")
        call.whole("joints.bones", joints.bones, ("N", 2), below="M")
    if not 0 < given.radius < np.inf:
        raise ShapeError(f"radius: expected a positive number of pixels, got {given.radius!r}")
    if not 0 <= given.delta < np.inf:
        raise ShapeError(f"delta: expected 0 or a positive number, got {given.delta!r}")
    return call


def _one_by_one(given: _Given, *, perspective: bool, rest_gradient: bool) -> tuple[Array, Array, Array | None]:
    """The same by the ops that it joins."""
    joints, coefficients = given.joints, given.coefficients
    whole = given.transforms, given.rest, given.indices, given.weights
    posed = skin(*whole)
    points = project(posed, coefficients, perspective=perspective)
    loss, grad_points = splat_loss(
        given.grad_loss, points, given.target, given.image_index, given.radius, given.delta, given.weight
    )
    grad_posed = project_backward(grad_points, posed, coefficients, perspective=perspective)
    grad_transforms, grad_rest = skin_backward(grad_posed, *whole, rest_gradient=rest_gradient)
    if joints is not None:
        grad_transforms += _collide(loss, given.grad_loss, given.transforms, joints)
    return loss, grad_transforms, grad_rest


def _collide(loss: Array, grad_loss: Array, transforms: Array, term: CollisionTerm) -> Array:
    """Add the collision term to loss in place; returns its gradient by the transforms."""
    ones = (term.rest[:, :1] * 0 + 1).astype(term.rest.dtype)
    skeleton = transforms, term.rest, term.indices, ones
    moved = skin(*skeleton)
    loss += term.weight * collision(moved, term.bones, term.radius)
    cotangent = (grad_loss * term.weight).astype(loss.dtype)
    grad_moved = collision_backward(cotangent, moved, term.bones, term.radius, fixed_length=term.fixed_length)
    return skin_backward(grad_moved, *skeleton, rest_gradient=False)[0]
