"""How good a network is on images that it has not learned from."""

import torch
from torch import Tensor

from handopt.learning.encode import encoded, tensors
from handopt.learning.images import Arrays
from handopt.learning.losses import joint_offsets
from handopt.learning.network import Network
from handopt.learning.skeleton import Skeleton

PARTS = 256
"""Images that are read at once."""
GOOD_MM, GOOD_DEGREES = 25.0, 30.0
"""A hypothesis is near if its joints are off by less on average, and its rotation as well."""


def score(network: Network, skeleton: Skeleton, images: Arrays, device: str = "cpu") -> dict[str, float]:
    """Scores of a network on images.

    likeliest_mm, best_mm, votes_mm: mean joint error of the likeliest hypothesis, of the best one, and of the votes (as
    views show the joints); likeliest_near, best_near:
    shares of images in which it is near; within_uncertainty: share of joints of the likeliest one that are off by less
    than their uncertainty, 0.63 where it is right; visible: share of joints of which it is known whether they are seen
    """
    network.eval()
    found: list[tuple[Tensor, ...]] = []
    count = len(images["scale"])
    with torch.no_grad():
        for first in range(0, count, PARTS):
            part = {name: each[first : first + PARTS] for name, each in images.items()}
            found.append(_compare(network, skeleton, part, device))
    best, best_turn, likeliest, turn, within, visible, voted = (torch.cat(each) for each in zip(*found, strict=True))
    return {
        "likeliest_mm": round(float(likeliest.mean()), 2),
        "best_mm": round(float(best.mean()), 2),
        "votes_mm": round(float(voted.mean()), 2),
        "likeliest_near": round(float(_near(likeliest, turn)), 4),
        "best_near": round(float(_near(best, best_turn)), 4),
        "within_uncertainty": round(float(within.mean()), 4),
        "visible": round(float(visible.mean()), 4),
    }


def _near(error: Tensor, turn: Tensor) -> Tensor:
    return ((error < GOOD_MM) & (turn < GOOD_DEGREES)).float().mean()


def _compare(network: Network, skeleton: Skeleton, images: Arrays, device: str) -> tuple[Tensor, ...]:
    views, labels = tensors(images)
    labels = {name: each.to(device) for name, each in labels.items()}
    heads, told, votes = network(encoded(views).to(device))
    *pose, logit = skeleton.unpack(heads)
    distance = joint_offsets(skeleton, tuple(pose), labels).norm(dim=-1)
    error = distance.mean(-1)
    trace = (pose[0] * labels["rotation"][:, None]).sum((-1, -2))
    turned = torch.rad2deg(torch.arccos(((trace - 1) / 2).clamp(-1, 1)))
    picks = error.argmin(1), logit.argmax(1)
    rows = torch.arange(len(heads), device=heads.device)
    of_picks = [each[rows, pick] for pick in picks for each in (error, turned)]
    log_mm, seen = told.chunk(2, dim=1)
    within = (distance[rows, picks[1]] < log_mm.exp()).float().mean(1)
    right = ((seen > 0) == labels["visible"]).float().mean(1)
    return (*of_picks, within, right, (votes.keypoints - labels["keypoints"]).norm(dim=-1).mean(1))
