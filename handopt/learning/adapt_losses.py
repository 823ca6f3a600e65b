"""The parts of an adaptation's loss, and what held-out frames say of a network."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from handopt.learning.adapt_settings import AdaptSettings
from handopt.learning.augment import augment
from handopt.learning.encode import encoded, tensors
from handopt.learning.fitted_frames import rows_of
from handopt.learning.frame_store import FrameStore
from handopt.learning.images import Arrays
from handopt.learning.losses import compare, hypothesis_loss, joint_loss, votes_loss
from handopt.learning.own_hand import OwnHand, in_camera
from handopt.learning.skeleton import Skeleton
from handopt.torch import DepthTarget, SelfSupervisedLoss
from handopt.torch.hand_layer import HandOutput
from handopt.typing import AnyArray

PART: Final = 32
"""Frames that are scored at once."""
SOFT_MM: Final = 1.0
"""Acceleration below which its cost is quadratic."""


def target_of(arrays: Arrays) -> DepthTarget:
    """What the self-supervised loss compares with, of frames as the store has them."""
    given = {name: torch.from_numpy(each) for name, each in arrays.items()}
    count = len(given["centre"])
    return DepthTarget(
        image_index=torch.arange(count, dtype=torch.int32),
        points=given["points"] + given["centre"][:, None],
        coefficients=given["coefficients"],
        splats=given["splats"],
        field=given["field"],
        mm_per_px=given["mm_per_px"],
        weight=given["weight"],
        centre=given["centre"],
        size=given["field"].shape[-1],
    )


def fits_loss(
    network: nn.Module,
    skeleton: Skeleton,
    arrays: Arrays,
    generator: torch.Generator,
    temperature_mm: float,
) -> Tensor:
    """The distance of the hypotheses from the fits, on views that are spoilt as sensors do it."""
    views, labels = augment(*tensors(arrays), generator)
    heads, joints, votes = network(encoded(views, network.channels))
    found = compare(skeleton, heads, labels)
    loss = hypothesis_loss(found, temperature_mm) + joint_loss(found, joints, labels["visible"])
    return loss + votes_loss(votes, labels["keypoints"])


def posed(network: nn.Module, skeleton: Skeleton, hand: OwnHand, arrays: Arrays) -> tuple[HandOutput, Tensor]:
    """The likeliest hands that the network sees in frames, and the joints (B, 21, 3) mm that its cells vote for.

    Both are in the camera's frame.
    """
    views, _ = tensors(arrays)
    heads, _, votes = network(encoded(views, network.channels))
    view, distance = torch.from_numpy(arrays["view"]), torch.from_numpy(arrays["distance"])
    posed_hand: HandOutput = hand(*in_camera(skeleton, heads, view, distance))
    depth = votes.keypoints[..., 2] + distance[:, None]
    share = (depth / distance[:, None])[..., None]
    joints = torch.cat([votes.keypoints[..., :2] * share, depth[..., None]], dim=-1) @ view
    return posed_hand, joints


def smooth_loss(joints: Tensor, together: AnyArray, window: int) -> Tensor:
    """Mean acceleration of joints (B, 21, 3) mm over windows of frames, mm; together: (B / window,) booleans."""
    runs = joints.unflatten(0, (-1, window))[torch.from_numpy(together)]
    if len(runs) == 0:
        return joints.sum() * 0
    change = runs[:, :-2] - 2 * runs[:, 1:-1] + runs[:, 2:]
    return (torch.sqrt(change.square().sum(-1) + SOFT_MM**2) - SOFT_MM).mean()


def consecutive(arrays: Arrays, first: AnyArray, window: int, still_mm: float) -> AnyArray:
    """Whether frames from each first row on follow one another, with a hand that moves less than still_mm between."""
    rows = np.asarray(first)[:, None] + np.arange(window)
    steps = np.diff(arrays["number"][rows], axis=1) == 1
    moved = np.linalg.norm(np.diff(arrays["camera_centre"][rows], axis=1), axis=-1) < still_mm
    return np.asarray((steps & moved).all(axis=1))


def believed(arrays: Arrays, settings: AdaptSettings) -> AnyArray:
    """Which fits (N,) are taken for labels: confident, and where they have confident neighbours near their middle."""
    sure = arrays["confidence"] >= settings.sure
    joints, numbers = arrays["joints"], arrays["number"]
    if len(sure) < 3:
        return np.asarray(sure)
    follows = np.diff(numbers) == 1
    inner = sure[:-2] & sure[2:] & follows[:-1] & follows[1:]
    between = np.linalg.norm(joints[2:] - joints[:-2], axis=-1).max(axis=1)
    off = np.linalg.norm(joints[1:-1] - 0.5 * (joints[2:] + joints[:-2]), axis=-1).max(axis=1)
    leaps = inner & (between < settings.leap_mm) & (off > settings.leap_mm)
    trusted = np.asarray(sure).copy()
    trusted[1:-1] &= ~leaps
    return trusted


class HeldOut:
    """Frames that decide: nothing is learned from them."""

    def __init__(self, store: FrameStore, rows: AnyArray, trusted: AnyArray, settings: AdaptSettings) -> None:
        """rows: of the store; trusted: (N,) whether a fit is believed."""
        self.store, self.rows, self.settings = store, rows, settings
        self.arrays = {name: each[rows] for name, each in store.small.items()}
        self.trusted = trusted[rows]
        self.generic = OwnHand("none")
        self.loss = SelfSupervisedLoss(self.generic.layer)

    def score(self, network: nn.Module, skeleton: Skeleton) -> dict[str, float]:
        """Scores of a network.

        depth: geometric mean of the self-supervised loss of its likeliest hands. fits_mm: mean distance of the joints
        that it sees from confident fits, NaN where there is none. jitter_mm: mean acceleration of these joints in
        consecutive frames, mm per frame and frame
        """
        network.eval()
        losses, joints = [], []
        with torch.no_grad(), np.errstate(over="ignore", invalid="ignore"):  # of a network that has gone astray
            for rows, given in self._parts():
                hand, seen = posed(network, skeleton, self.generic, given)
                losses.append(self.loss(hand, target_of(self.store.targets(rows))))
                joints.append(seen)
        values, places = torch.cat(losses).double().numpy(), torch.cat(joints).numpy()
        off = np.linalg.norm(places - self.arrays["joints"], axis=-1).mean(axis=1)[self.trusted]
        return {
            "depth": float(np.exp(np.log(np.maximum(values, 1e-9)).mean())),
            "fits_mm": float(off.mean()) if len(off) else float("nan"),
            "jitter_mm": self._jitter(places),
        }

    def log_radii(self, network: nn.Module) -> Tensor:
        """The mean over frames of the logarithms of how far off a network says that joints may be, mm: (2, 21).

        Of the votes, and of the likeliest hypothesis; as the layers give them, also below 0.
        """
        network.eval()
        said = []
        with torch.no_grad():
            for _, given in self._parts():
                views, _ = tensors(given)
                _, joints, votes = network(encoded(views, network.channels))
                said.append(torch.stack([votes.log_mm, joints[:, : votes.log_mm.shape[1]]], dim=1))
        return torch.cat(said).mean(0)

    def _parts(self) -> Iterator[tuple[AnyArray, Arrays]]:
        """Some held-out frames after the other: their rows of the store, and their arrays."""
        for first in range(0, len(self.rows), PART):
            part = slice(first, first + PART)
            yield self.rows[part], rows_of(self.arrays, part)

    def _jitter(self, joints: AnyArray) -> float:
        starts = np.arange(len(joints) - 2)
        if len(starts) < 1:
            return float("nan")
        runs = consecutive(self.arrays, starts, 3, self.settings.still_mm)
        change = np.linalg.norm(joints[:-2] - 2 * joints[1:-1] + joints[2:], axis=-1)[runs]
        return float(change.mean()) if len(change) else float("nan")


def worth(scores: dict[str, float], base: dict[str, float], labelled: int, least: int) -> tuple[float, bool]:
    """How good scores are beside those of the base model, below 1 is better; and whether none of them is worse.

    labelled: held-out frames with a fit that is believed; the distance from fits counts if there are at least least
    """
    ratios = [scores["depth"] / base["depth"]]
    if labelled >= least:
        ratios.append(scores["fits_mm"] / base["fits_mm"])
    return float(np.mean(ratios)), bool(np.isfinite(ratios).all() and max(ratios) <= 1.0)
