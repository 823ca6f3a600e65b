"""What pose correctives add to points of the bind pose, differentiable by points and rotations."""

import torch

from handopt.torch.arrays import Tensor


def corrected(points: Tensor, local: Tensor, basis: Tensor) -> Tensor:
    """Points (B, N, 3) mm with what a pose adds to them (Loper et al., SMPL, 2015, Eq. 9).

    points: (N, 3) or (B, N, 3) mm of the bind pose; local: (B, A, 3, 3) rotations in the joints' own axes; basis:
    (9 A, N, 3) mm, as handopt.rig.pose_correctives.PoseCorrectives has it
    """
    features = local - torch.eye(3, dtype=local.dtype, device=local.device)
    moved = features.flatten(1) @ basis.flatten(1)
    return points + moved.unflatten(1, basis.shape[1:])
