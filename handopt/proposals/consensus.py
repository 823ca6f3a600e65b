"""One pose from all that the network proposes: what its hypotheses agree on, where they explain the view.

The network gives hypotheses of about the same likelihood, and looks at a view in four quarter turns; each is off in
another way. Every hypothesis is rendered as a coarse mesh and compared with the view, and counts the more, the less it
leaves unexplained. The same is then done for each finger, for the palm's place and rotation, and for the size: each is
the weighted mean of what the best hypotheses say of it. Nothing is fitted: a pose lies between those of the network.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.observation.observation import Observation
from handopt.ops.rasterise import rasterise
from handopt.proposals.bank import default_bank
from handopt.proposals.coarse_mesh import FINGER_ANGLES, FINGERS, CoarseMesh, coarse_mesh
from handopt.proposals.features import MIDDLE_PX, MM_PER_PX, CenteredView, SeenHand, centered_view, network_input
from handopt.proposals.model_file import PoseModel
from handopt.proposals.propose import Proposals, poses_of_heads, probability_of_heads, quarter_turns
from handopt.typing import Bools, FloatImage, Floats, Indices


@dataclass(frozen=True)
class ConsensusConfig:
    """How hypotheses are weighed, by the share of the view that they leave unexplained. Chosen on synthetic images."""

    step: int = 2  # only every step-th row and column of a view is compared
    wrong_mm: float = 20.0  # a depth that is off by this much counts as wholly wrong
    beside: float = 0.5  # weight of a pixel of the mesh where the view has none: something may have been cut away
    whole: float = 0.02  # unexplained share by which a whole hypothesis may be worse, to count 1 / e as much
    part: float = 0.002  # the same of one part of a pose, all others being equal
    best: int = 32  # hypotheses that fingers come from
    best_palms: int = 16  # hypotheses that the palm and the size come from


CONSENSUS: Final = ConsensusConfig()


@dataclass(frozen=True, eq=False)
class PredictedPose:
    """What a network sees. pose: of the default right hand, one proposal. unexplained_fraction: of the view, from 0.

    joints: what the network tells of the joints, as predicted_joints does, None where it does not tell.
    """

    pose: Proposals
    unexplained_fraction: float
    joints: tuple[Floats, Bools] | None = None


def predict_pose(seen: Observation | SeenHand, model: PoseModel | None = None) -> PredictedPose:
    """The pose that a network sees.

    model: whose network looks, by default the one that comes with handopt, which tells nothing of the joints. seen: a
    right hand, or a mirrored left one. Raises ObservationError if nothing of the hand is in view.
    """
    network = default_bank().network if model is None else model.network
    views = quarter_turns(centered_view(seen))
    features = network.features(network_input(np.stack([view.offset_mm for view in views])))
    pose, fraction = consensus(views, network.hypotheses(features))
    told = None if model is None else network.joints(features[:1])
    joints = None if told is None else (told[0][0].astype(np.float64), told[1][0] > 0.5)
    return PredictedPose(pose, fraction, joints)


def consensus(views: list[CenteredView], heads: NDArray[np.float32]) -> tuple[Proposals, float]:
    """One pose from the heads (T, K, n) of T views of a hand, and about the share of the first view that it leaves.

    The share is the least of the pose before its fingers are averaged last, and of that with single fingers of others.
    """
    first = views[0]
    every = _turned(poses_of_heads(views, heads), first.rotation)
    shown = _Shown.of(first, coarse_mesh())
    weights = probability_of_heads(heads).ravel() * _weights(shown.fractions(every), CONSENSUS.whole)
    order = np.argsort(-weights, kind="stable")
    pose = _mean(every, weights / weights.sum())
    fingers, palms = every.select(order[: CONSENSUS.best]), every.select(order[: CONSENSUS.best_palms])
    pose, _ = _with_fingers(pose, fingers, shown)
    pose = _with_palm(pose, palms, shown)
    pose, fraction = _with_fingers(pose, fingers, shown)
    return _turned(pose, first.rotation.T), fraction


@dataclass(frozen=True, eq=False)
class _Shown:
    """What a view shows, on a coarse grid of S x S pixels, numbered row by row.

    hand, beside: numbers of the pixels where the hand is, and is not. depth_mm: of those of the hand. camera: of the
    grid.
    """

    mesh: CoarseMesh
    hand: Indices
    beside: Indices
    depth_mm: FloatImage
    camera: tuple[float, float, float, float, int, int]

    @classmethod
    def of(cls, view: CenteredView, mesh: CoarseMesh) -> "_Shown":
        step = CONSENSUS.step
        offset = view.offset_mm[::step, ::step]
        if not np.isfinite(offset).any():
            step, offset = 1, view.offset_mm
        seen = np.isfinite(offset).ravel()
        hand = np.flatnonzero(seen)
        focal, middle, size = view.distance_mm / MM_PER_PX / step, MIDDLE_PX / step, len(offset)
        depth = offset.ravel()[hand] + np.float32(view.distance_mm)
        return cls(mesh, hand, np.flatnonzero(~seen), depth, (focal, focal, middle, middle, size, size))

    def fractions(self, poses: Proposals) -> Floats:
        """What poses (K,) leave unexplained, relative to the hand's area."""
        return self._compared(*self._rendered(self.mesh.vertices(poses), self.mesh.faces))

    def fractions_by_finger(self, pose: Proposals, fingers: Proposals) -> Floats:
        """The same of a pose with each finger as it is, and as in K others: (5, 1 + K)."""
        count = len(fingers)
        angles = np.repeat(pose.angles_rad, FINGERS * count + 1, axis=0)
        for finger in range(FINGERS):
            joints = slice(FINGER_ANGLES * finger, FINGER_ANGLES * (finger + 1))
            angles[1 + finger * count : 1 + (finger + 1) * count, joints] = fingers.angles_rad[:, joints]
        vertices = self.mesh.vertices(replace(pose.select(np.zeros(len(angles), np.int64)), angles_rad=angles))
        parts = [self._rendered(vertices[:1], faces) for faces in self.mesh.parts]
        found = np.empty((FINGERS, 1 + count))
        for finger in range(FINGERS):
            own = parts[finger + 1]
            others = [each for part, each in enumerate(parts) if part != finger + 1]
            tried = self._rendered(vertices[1 + finger * count : 1 + (finger + 1) * count], self.mesh.parts[finger + 1])
            on_hand = np.minimum.reduce([each[0] for each in others])
            beside = np.logical_or.reduce([each[1] for each in others])
            found[finger, :1] = self._compared(np.minimum(on_hand, own[0]), beside | own[1])
            found[finger, 1:] = self._compared(np.minimum(on_hand, tried[0]), beside | tried[1])
        return found

    def _rendered(self, vertices: FloatImage, faces: NDArray[np.int32]) -> tuple[FloatImage, Bools]:
        """Depth of meshes (K, V, 3) at the hand's pixels, mm, infinite where there is none, and where it is beside."""
        depth = rasterise(vertices, faces, self.camera).reshape(len(vertices), -1)
        on_hand = depth.take(self.hand, axis=1)
        on_hand[on_hand == 0] = np.inf
        return on_hand, (depth > 0).take(self.beside, axis=1)

    def _compared(self, on_hand: FloatImage, beside: Bools) -> Floats:
        """What z-buffers leave unexplained."""
        off = np.minimum(np.abs(on_hand - self.depth_mm), np.float32(CONSENSUS.wrong_mm))
        wrong = off.sum(axis=1, dtype=np.float64) / CONSENSUS.wrong_mm
        wrong += CONSENSUS.beside * np.count_nonzero(beside, axis=1)
        return np.asarray(wrong / len(self.hand))


def _with_fingers(pose: Proposals, others: Proposals, shown: _Shown) -> tuple[Proposals, float]:
    """A pose whose fingers are each the weighted mean of its own and of those of other poses.

    Also the least that a pose with one other finger leaves unexplained.
    """
    fractions = shown.fractions_by_finger(pose, others)
    every = np.concatenate([pose.angles_rad, others.angles_rad]).reshape(1 + len(others), FINGERS, FINGER_ANGLES, 3)
    weights = np.stack([_weights(each, CONSENSUS.part) for each in fractions])
    angles = np.einsum("fk,kfac->fac", weights, every).reshape(1, FINGERS * FINGER_ANGLES, 3)
    return replace(pose, angles_rad=angles), float(fractions.min())


def _with_palm(pose: Proposals, others: Proposals, shown: _Shown) -> Proposals:
    """A pose whose rotation, place of the palm, and size are each the weighted mean of its own and of other poses'."""
    count = len(others)
    palm = shown.mesh.palm_mm
    places = _palms(pose.joined(others), palm)
    rotation, place, scale = (
        np.repeat(each[:1], 3 * count + 1, axis=0) for each in (pose.rotation, places, pose.scale)
    )
    turned, moved, sized = (slice(1 + part * count, 1 + (part + 1) * count) for part in range(3))
    rotation[turned], place[moved], scale[sized] = others.rotation, places[1:], others.scale
    tried = Proposals(
        rotation,
        place - scale[:, None] * (rotation @ palm),
        np.repeat(pose.angles_rad, len(scale), axis=0),
        scale,
    )
    fractions = shown.fractions(tried)
    weights = [_weights(np.r_[fractions[:1], fractions[rows]], CONSENSUS.part) for rows in (turned, moved, sized)]
    new = _mean_rotation(np.concatenate([pose.rotation, others.rotation]), weights[0])
    size = np.exp(weights[2] @ np.log(np.concatenate([pose.scale, others.scale])))
    middle = weights[1] @ places
    return Proposals(new[None], (middle - size * (new @ palm))[None], pose.angles_rad, np.array([size]))


def _palms(poses: Proposals, palm_mm: Floats) -> Floats:
    """Where the middle of the palm is, (K, 3) mm. palm_mm: from the wrist, in the rig."""
    return np.asarray(poses.translation_mm + poses.scale[:, None] * (poses.rotation @ palm_mm))


def _weights(fractions: Floats, temperature: float) -> Floats:
    """Weights of a sum of 1."""
    shares = np.exp(-(fractions - fractions.min()) / temperature)
    return np.asarray(shares / shares.sum())


def _mean(poses: Proposals, weights: Floats) -> Proposals:
    return Proposals(
        _mean_rotation(poses.rotation, weights)[None],
        (weights @ poses.translation_mm)[None],
        np.einsum("k,kac->ac", weights, poses.angles_rad)[None],
        np.exp(weights @ np.log(poses.scale))[None],
    )


def _mean_rotation(rotations: Floats, weights: Floats) -> Floats:
    """The rotation (3, 3) with the least mean square distance from others (K, 3, 3)."""
    left, _, right = np.linalg.svd(np.einsum("k,kij->ij", weights, rotations))
    return np.asarray(left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right)


def _turned(poses: Proposals, rotation: Floats) -> Proposals:
    """Poses as a camera sees them that was turned."""
    return replace(poses, rotation=rotation @ poses.rotation, translation_mm=poses.translation_mm @ rotation.T)
