"""Physical limits of the joint angles (paper, Table 1)."""

from handopt.backend import Arguments, Array, launch


def joint_limits(angles: Array, lower: Array, upper: Array) -> Array:
    """Squared overshoot of joint angles: L = sum max(0, lo - theta)^2 + max(0, theta - hi)^2, in rad^2.

    angles: (B, A, 3) radians; lower, upper: (A, 3) radians. Returns (B,). Raises ShapeError.
    """
    call = _check(angles, lower, upper)
    b, d = call.size["B"], call.size["A"] * 3
    loss = call.zeros(b)
    launch("joint_limits_forward", b * d, angles, lower, upper, loss, b, d)
    return loss


def joint_limits_backward(grad_loss: Array, angles: Array, lower: Array, upper: Array) -> Array:
    """Gradient of joint_limits, given grad_loss (B,); the other arguments as there. Returns (B, A, 3)."""
    call = _check(angles, lower, upper)
    call.real("grad_loss", grad_loss, ("B",))
    b, a = call.size["B"], call.size["A"]
    grad_angles = call.empty(b, a, 3)
    launch("joint_limits_backward", b * a * 3, grad_loss, angles, lower, upper, grad_angles, b, a * 3)
    return grad_angles


def _check(angles: Array, lower: Array, upper: Array) -> Arguments:
    call = Arguments()
    call.real("angles", angles, ("B", "A", 3))
    call.real("lower", lower, ("A", 3))
    call.real("upper", upper, ("A", 3))
    return call
