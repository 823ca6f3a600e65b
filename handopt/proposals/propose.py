"""Poses that an observation may show: from a network's hypotheses, and from where it sees the joints.

It looks at the view four times, in quarter turns about the optical axis, which are exact.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import ShapeError
from handopt.observation.observation import Observation
from handopt.proposals.features import CenteredView, centered_view, network_input
from handopt.proposals.model_file import PoseModel, default_model
from handopt.proposals.network import ANGLE_STD_RAD, LOG_SCALE_STD, WRIST_STD_MM, head_sizes
from handopt.proposals.proposals import Proposals
from handopt.proposals.voted_poses import VotedJoints, drawn_poses, voted_joints
from handopt.rig import default_rig
from handopt.typing import FloatImage, Floats

VOTED_FRACTION, PLAIN_FRACTION = 0.125, 0.625
"""Fractions of the proposals that are drawn to where the network sees the joints, and that are hypotheses as they are;
the others are drawn to joints that are as far off as they may be. Chosen by hand."""
QUARTER_TURNS: Final = 4
_QUARTER: Final = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def propose(observation: Observation, count: int = 24, model: PoseModel | None = None) -> Proposals:
    """Propose poses of the default right hand for an observation; of a left hand give observation.mirrored().

    First come hypotheses that are drawn to the joints that the network sees, then some that are drawn to joints as far
    off as it says they may be, then hypotheses as they are, the most probable first.

    count: how many; model: the one that comes with handopt if None. Raises ShapeError, ObservationError if nothing of
    the hand is in view, and HandoptError if handopt's own network cannot be read.
    """
    return propose_and_look(observation, count, model)[0]


def propose_and_look(
    observation: Observation, count: int, model: PoseModel | None = None
) -> tuple[Proposals, VotedJoints]:
    """The proposals of propose, and the joints that the network sees. Takes and raises the same."""
    if count < 1:
        raise ShapeError(f"count must be at least 1, not {count!r}")
    views = quarter_turns(centered_view(observation))
    heads, joints, _ = read_views(views, model)
    guessed = network_poses(views, heads)
    nearest, plain = (min(len(guessed), int(share * count)) for share in (VOTED_FRACTION, PLAIN_FRACTION))
    nearest = max(1, nearest)
    drawn = drawn_poses(guessed, joints, nearest, count - nearest - plain)
    return drawn.joined(guessed.select(np.arange(plain))), joints


def read_views(
    views: list[CenteredView], model: PoseModel | None
) -> tuple[NDArray[np.float32], VotedJoints, NDArray[np.float32]]:
    """What a network sees in T views: its heads (T, K, n), the joints, and how probably these are visible (T, 21).

    model: the one that comes with handopt if None
    """
    network = (default_model() if model is None else model).network
    features, maps = network.look(_input_of(views, network.channels))
    joints = voted_joints(views, *network.votes(features, maps))
    return network.hypotheses(features), joints, network.joints(features)[1]


def _input_of(views: list[CenteredView], channels: int) -> FloatImage:
    """The network's input for views of one hand, of which all are labelled or none."""
    offset = np.stack([view.offset_mm for view in views])
    if views[0].measured_mm is None:
        return network_input(offset, channels=channels)
    measured, labels = (np.stack([getattr(view, name) for view in views]) for name in ("measured_mm", "labels"))
    return network_input(offset, measured, labels, channels)


def quarter_turns(view: CenteredView) -> list[CenteredView]:
    """The four views of cameras that are turned about the optical axis."""
    views = [view]
    for _ in range(QUARTER_TURNS - 1):
        last = views[-1]
        images = (None if each is None else each.swapaxes(0, 1)[:, ::-1] for each in (last.measured_mm, last.labels))
        views.append(CenteredView(last.offset_mm.T[:, ::-1], _QUARTER @ last.rotation, last.distance_mm, *images))
    return views


def network_poses(views: list[CenteredView], heads: NDArray[np.float32]) -> Proposals:
    """The poses (T * K) that the heads (T, K, n) of T views stand for, the most probable first."""
    probability = probability_of_heads(heads).ravel()
    return poses_of_heads(views, heads).select(np.argsort(-probability, kind="stable"))


def probability_of_heads(heads: NDArray[np.float32]) -> Floats:
    """How probable each of the heads (T, K, n) of T views is, (T, K); those of a view add up to 1."""
    logits = heads[..., -1].astype(np.float64)
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(share / share.sum(axis=1, keepdims=True))


def poses_of_heads(views: list[CenteredView], heads: NDArray[np.float32]) -> Proposals:
    """The poses in the camera's frame that the heads (T, K, n) of T views stand for, in the heads' order."""
    limits = default_rig("right").limits
    free = np.flatnonzero(limits.free)
    rows, sizes = heads.reshape(-1, heads.shape[-1]).astype(np.float64), np.cumsum(head_sizes(len(free)))
    six, bends, wrist, size, _ = np.split(rows, sizes[:-1], axis=1)
    angles = np.repeat(0.5 * (limits.lower + limits.upper).reshape(1, -1), len(rows), axis=0)
    angles[:, free] += ANGLE_STD_RAD * bends
    turns = np.repeat(np.arange(len(views)), heads.shape[1])
    rotation, translation = _in_camera(views, turns, _orthonormal(six), WRIST_STD_MM * wrist)
    angles = np.clip(angles.reshape(-1, 15, 3), limits.lower, limits.upper)
    return Proposals(rotation, translation, angles, np.exp(LOG_SCALE_STD * size[:, 0]))


def _in_camera(
    views: list[CenteredView], turns: NDArray[Any], rotation: Floats, wrist_mm: Floats
) -> tuple[Floats, Floats]:
    """Rotations (K, 3, 3) and places (K, 3) in the camera's frame for those in views; wrist_mm from a centre."""
    turned, places = np.empty_like(rotation), np.empty_like(wrist_mm)
    for turn, view in enumerate(views):
        here = np.flatnonzero(turns == turn)
        if len(here):
            turned[here] = view.rotation.T @ rotation[here]
            places[here] = (wrist_mm[here] + [0.0, 0.0, view.distance_mm]) @ view.rotation
    return turned, places


def _orthonormal(six: Floats) -> Floats:
    """Rotations (K, 3, 3) whose first two columns are (K, 6) made orthonormal (Zhou et al., CVPR 2019)."""
    first = six[:, :3] / np.maximum(np.linalg.norm(six[:, :3], axis=1, keepdims=True), 1e-4)
    second = six[:, 3:] - (six[:, 3:] * first).sum(axis=1, keepdims=True) * first
    second /= np.maximum(np.linalg.norm(second, axis=1, keepdims=True), 1e-4)
    return np.stack([first, second, np.cross(first, second)], axis=2)
