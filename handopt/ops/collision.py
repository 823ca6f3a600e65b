"""Collision of joints with bones (paper, Eq. 14 to 22, corrected)."""

from handopt.backend import Arguments, Array, launch
from handopt.errors import ShapeError


def collision(joints: Array, bones: Array, radius: float) -> Array:
    """How far joints reach into the cylinders around bones (paper, Eq. 14 to 19), in mm^2.

    joints: (B, M, 3) mm; bones: (N, 2) int32, the joints at the ends of each bone; radius: of the cylinders, mm
    Returns (B,): 1/M sum over bones and over joints k that are not an end of the bone of
    max(0, min(h^2/4 - dist_h, radius^2 - dist_r)). Raises ShapeError.
    """
    call = _check(joints, bones, radius)
    b, m, n = (call.size[name] for name in "BMN")
    loss = call.zeros(b)
    launch("collision_forward", b * n, joints, bones, loss, radius, b, m, n)
    return loss


def collision_backward(
    grad_loss: Array, joints: Array, bones: Array, radius: float, fixed_length: bool = True
) -> Array:
    """Gradient of collision, given grad_loss (B,); the other arguments as there.

    fixed_length: hold the bone lengths constant, exact for motion that keeps them (paper, Eq. 20 to 22 with their
    misprints corrected); False differentiates them too. Returns grad_joints (B, M, 3). Raises ShapeError.
    """
    call = _check(joints, bones, radius)
    call.real("grad_loss", grad_loss, ("B",))
    b, m, n = (call.size[name] for name in "BMN")
    grad_joints = call.zeros(b, m, 3)
    launch(
        "collision_backward", b * n, grad_loss, joints, bones, grad_joints, radius, int(fixed_length), b, m, n
    )  # fmt: skip
    return grad_joints


def collision_normal_equations(grad_loss: Array, joints: Array, bones: Array, radius: float) -> Array:
    """Gauss-Newton equations of collision by joint, each on its own, with bone lengths held constant.

    grad_loss: (B,), a factor for each image; the other arguments as in collision
    Returns (B, M, 9): xx, xy, xz, yy, yz, zz of A, then b of loss(x + d) = loss(x) + 2 b.d + d.A d. Raises ShapeError.

    The residuals are the square roots of the contacts' depths. Three times each joint's own part bounds the curvature
    of the three joints of a contact.
    """
    call = _check(joints, bones, radius)
    call.real("grad_loss", grad_loss, ("B",))
    b, m, n = (call.size[name] for name in "BMN")
    vertex_normal_equations = call.zeros(b, m, 9)
    launch("collision_normal_equations", b * n, grad_loss, joints, bones, vertex_normal_equations, radius, b, m, n)
    return vertex_normal_equations


def _check(joints: Array, bones: Array, radius: float) -> Arguments:
    call = Arguments()
    call.real("joints", joints, ("B", "M", 3))
    call.whole("bones", bones, ("N", 2), below="M")
    if not 0 <= radius < float("inf"):
        raise ShapeError(f"radius: expected a distance in mm, got {radius!r}")
    return call
