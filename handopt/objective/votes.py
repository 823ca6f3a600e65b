"""Joints against the places where a network votes that they are (handopt.proposals.voted_poses).

The mean over the joints of the robust function of Geman and McClure of the squared distance in radii,
s^2 e / (s^2 + e); a radius is how far off the network says that a place may be. kernels/voted_joints.h has one joint's.
"""

from typing import Final

from handopt.backend import Array, namespace_of

WIDTH: Final = 3.0
"""Radii at which a joint starts to count as an outlier; as in kernels/voted_joints.h. Chosen by hand."""


def votes_loss(joints: Array, votes: Array) -> Array:
    """The loss (B,) of joints (B, M, 3) mm. votes: (B, M, 4), places and 1 / radius^2, 0 where there is none."""
    error = _error(joints, votes)
    return (WIDTH**2 * error / (WIDTH**2 + error)).mean(axis=1)


def votes_normal_equations(joints: Array, votes: Array) -> Array:
    """Its Gauss-Newton model by the joints, (B, M, 9), as of handopt.ops.closest_points."""
    xp = namespace_of(joints)
    slope = votes[..., 3] * (WIDTH**2 / (WIDTH**2 + _error(joints, votes))) ** 2 / joints.shape[1]
    equations = xp.zeros((*joints.shape[:2], 9), joints.dtype)
    equations[..., [0, 3, 5]] = slope[..., None]
    equations[..., 6:] = slope[..., None] * (joints - votes[..., :3])
    return equations


def _error(joints: Array, votes: Array) -> Array:
    return votes[..., 3] * ((joints - votes[..., :3]) ** 2).sum(axis=-1)
