"""What the network learns from: how far the hypotheses of an image are off, and which one it trusts."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from handopt.learning.skeleton import Skeleton
from handopt.learning.votes import Votes

ROTATION_MM, ANGLE_MM = 8.0, 5.0
"""What a rotation that is off by a Frobenius distance of 1, and an angle that is off by a radian, count like, mm."""
SCORE_MM = 4.0
"""Difference of errors at which a hypothesis should be e times as probable as another, mm. Chosen by hand."""
LEAST_LOG_MM = 0.0
"""Logarithm of the least uncertainty that is learned, mm."""
SCORE_WEIGHT, JOINT_WEIGHT = 2.0, 1.0
"""What the likelihoods, and uncertainty and visibility, weigh beside the error in mm. Chosen by hand."""
VOTE_WEIGHT, NEAR_WEIGHT = 1.0, 0.05
"""What the votes weigh beside the hypotheses, and in them the distance of the cells that vote. Chosen by hand."""


LABELS = ("rotation", "angles", "wrist", "scale", "proportions")
"""What the keypoints of an image follow from."""


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """What K hypotheses of B images say.

    error: (B, K) mm, with rotation and angles. logit: (B, K). distance: (B, K, 21) of each joint from its label, mm
    """

    error: Tensor
    logit: Tensor
    distance: Tensor


def joint_offsets(skeleton: Skeleton, pose: tuple[Tensor, ...], labels: dict[str, Tensor]) -> Tensor:
    """From the joints of the labels to those of K hypotheses, (B, K, 21, 3) mm.

    pose: rotation, angles, wrist and log scale of the hypotheses; the proportions are those of the labels
    """
    rotation, angles, wrist, log_scale = pose
    proportions = labels["proportions"][:, None].expand(-1, log_scale.shape[1], -1)
    joints = skeleton.keypoints(rotation, angles, wrist, log_scale.exp(), proportions)
    with torch.no_grad():
        target = skeleton.keypoints(*(labels[name] for name in LABELS))
    return joints - target[:, None]


def compare(skeleton: Skeleton, heads: Tensor, labels: dict[str, Tensor]) -> Hypotheses:
    """Compare the heads (B, K, n) with the labels of their images."""
    *pose, logit = skeleton.unpack(heads)
    rotation, angles = pose[:2]
    distance = torch.sqrt(joint_offsets(skeleton, tuple(pose), labels).square().sum(-1) + 1.0)
    turned = torch.sqrt((rotation - labels["rotation"][:, None]).square().sum((-1, -2)) + 1e-4)
    bent = (angles - labels["angles"][:, None]).abs().flatten(-2)[..., skeleton.free].mean(-1)
    return Hypotheses(distance.mean(-1) + ROTATION_MM * turned + ANGLE_MM * bent, logit, distance)


def hypothesis_loss(found: Hypotheses, temperature_mm: float) -> Tensor:
    """Each head learns from the images that it explains best, more softly at a high temperature; the likelihoods learn
    which head that will be (mixture of experts trained by the winner, softened)."""
    settled = found.error.detach()
    share = torch.softmax(-settled / temperature_mm, dim=1)
    target = torch.softmax(-settled / SCORE_MM, dim=1)
    score = -(target * torch.log_softmax(found.logit, dim=1)).sum(1)
    return ((share * found.error).sum(1) + SCORE_WEIGHT * score).mean()


def joint_loss(found: Hypotheses, joints: Tensor, visible: Tensor) -> Tensor:
    """Uncertainty and visibility (B, 42) of the joints of the likeliest hypothesis. visible: (B, 21) booleans.

    The distance of a joint from its label is taken to be distributed exponentially, with the uncertainty as its mean.
    """
    log_mm, seen = joints.chunk(2, dim=1)
    log_mm = log_mm.clamp_min(LEAST_LOG_MM)
    likeliest = found.logit.argmax(1)
    distance = found.distance.detach()[torch.arange(len(likeliest)), likeliest]
    uncertainty = (log_mm + distance * torch.exp(-log_mm)).mean()
    return JOINT_WEIGHT * (uncertainty + binary_cross_entropy_with_logits(seen, visible.float()))


def votes_loss(votes: Votes, keypoints: Tensor) -> Tensor:
    """How far votes are off the joints (B, 21, 3), mm, how well they know it, and how far away the cells are that vote.

    The last keeps the votes of a joint to the cells about it (A2J, Eq. 6).
    """
    distance = torch.sqrt((votes.keypoints - keypoints).square().sum(-1) + 1.0)
    log_mm = votes.log_mm.clamp_min(LEAST_LOG_MM)
    uncertainty = log_mm + distance.detach() * torch.exp(-log_mm)
    away = torch.sqrt((votes.near - keypoints[..., :2]).square().sum(-1) + 1.0)
    return VOTE_WEIGHT * (distance + uncertainty + NEAR_WEIGHT * away).mean()
