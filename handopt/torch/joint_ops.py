"""The terms of joints and their angles as operators: collision (paper, Eq. 14 to 22), and limits (Table 1)."""

from typing import Any

from handopt.ops import collision as collisions
from handopt.ops import joint_limits as limits
from handopt.torch.arrays import Tensor
from handopt.torch.registration import like_second, one_each, operator


def collision(joints: Tensor, bones: Tensor, radius: float, fixed_length: bool = False) -> Tensor:
    """How far joints reach into the cylinders around bones, (B,) mm^2; handopt.collision says what each argument is.

    fixed_length: hold the bone lengths constant in the gradient by joints, as handopt.fit does; by default they are
    differentiated too, and the gradient is exact for any motion. Raises ShapeError.
    """
    return _collision(joints, bones, radius, fixed_length)


def joint_limits(angles: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Squared overshoot of joint angles, (B,) rad^2, with a gradient by angles; arguments as handopt.joint_limits."""
    return _limits(angles, lower, upper)


_collision_backward = operator(
    "collision_backward",
    "(Tensor grad_loss, Tensor joints, Tensor bones, float radius, bool fixed_length) -> Tensor",
    collisions.collision_backward,
    like_second,
)


def _keep_collision(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.settings = inputs[2:]


_collision = operator(
    "collision",
    "(Tensor joints, Tensor bones, float radius, bool fixed_length) -> Tensor",
    lambda joints, bones, radius, fixed_length: collisions.collision(joints, bones, radius),
    one_each,
    gradients=("joints",),
    keep=_keep_collision,
    backward=lambda ctx, grad: (_collision_backward(grad, *ctx.saved_tensors, *ctx.settings), None, None, None),
)

_limits_backward = operator(
    "joint_limits_backward",
    "(Tensor grad_loss, Tensor angles, Tensor lower, Tensor upper) -> Tensor",
    limits.joint_limits_backward,
    like_second,
)
_limits = operator(
    "joint_limits",
    "(Tensor angles, Tensor lower, Tensor upper) -> Tensor",
    limits.joint_limits,
    one_each,
    gradients=("angles",),
    keep=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    backward=lambda ctx, grad: (_limits_backward(grad, *ctx.saved_tensors), None, None),
)
