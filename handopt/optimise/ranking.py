"""Which hypotheses are best: by cost, by what they leave unexplained, and by the plausibility of what they fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.assess.quality import measure
from handopt.backend import Array, to_device, to_numpy
from handopt.hand_model import Hand, Pose
from handopt.objective.limb_fraction import limb_fraction, seen_in_limb
from handopt.objective.targets import FitTargets
from handopt.objective.unexplained import unexplained_fraction
from handopt.observation.observation import Observation
from handopt.observation.pixel_reading import PixelReading
from handopt.optimise.history import SearchHistory
from handopt.proposals.voted_poses import MOST, VotedJoints
from handopt.rig.anatomy import MIRROR
from handopt.rig.joints import labelled_palm_of
from handopt.typing import AnyArray, Faces, Floats, Indices, Ints


@dataclass(frozen=True)
class RankingWeights:
    """How the best hypothesis of different views is chosen. Chosen by hand."""

    overlap: float = 1.0  # cost of a silhouette overlap (IoU) of 0 instead of 1
    implausibility: float = 0.1  # cost per unit that a view's score lies below the best view's
    fraction_per_score: float = 0.03  # unexplained fraction per unit that a view's score lies below the best view's
    fraction_per_log_scale: float = 0.2  # limb fraction per unit of the logarithm of a hand's scale in its reading
    other_size: float = 0.03  # limb fraction of a reading of another size than the usual one
    # Limb fraction of a pose whose joints are as far as they may be from where the network of proposals sees them, and
    # the distance that is usual. Of 117 real frames and 139 rendered rooms 185 are right so, and 178 without.
    fraction_per_distance: float = 0.06
    usual_distance: float = 0.4
    # Limb fraction of a pose for each mm by which the network says that joints may be farther off, on average, than is
    # usual, in a second search. Of 170 rendered hands that hold something and 117 real frames 65 and 90 % are right so
    # and 63 and 86 % without.
    fraction_per_radius_mm: float = 0.03
    usual_radius_mm: float = 6.0
    # Limb fraction of a pose where the networks of pixel labels see no palm though they see one elsewhere, and how far
    # from a palm that is for a hand of the default size, mm.
    no_palm: float = 0.4
    palm_mm: float = 60.0


WEIGHTS: Final = RankingWeights()


def distinct(values: AnyArray) -> AnyArray:
    """The different values of (N,), in ascending order: np.unique, for which NumPy loads its masked arrays (10 ms)."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return np.asarray(ordered[first])


def best_rows(totals: Floats, images: Ints, count: int) -> Indices:
    """The `count` rows with the lowest totals, best first and at least one of each image."""
    order = np.argsort(totals, kind="stable")
    leaders = [int(order[images[order] == image][0]) for image in distinct(images)]
    others = [int(row) for row in order if row not in leaders]
    chosen = leaders + others[: max(0, count - len(leaders))]
    return np.array(sorted(chosen, key=lambda row: (totals[row], row)), np.int64)


def best_of_image(totals: Floats, images: Ints, image: int, count: int) -> Indices:
    """The `count` rows of an image with the lowest totals, best first."""
    rows = np.flatnonzero(images == image)
    return np.asarray(rows[np.argsort(totals[rows], kind="stable")[:count]])


def best_rows_evenly(totals: Floats, images: Ints, count: int) -> Indices:
    """The `count` rows with the lowest totals, as many of each image; totals of different images do not compare."""
    several = distinct(images)
    rows = np.concatenate([best_of_image(totals, images, image, max(1, count // len(several))) for image in several])
    return np.asarray(rows[np.argsort(totals[rows], kind="stable")])


def fractions_by_image(vertices: Array, images: Ints, hand: Hand, targets: FitTargets, step: int = 1) -> Floats:
    """The unexplained fraction (B,) of posed vertices (B, V, 3) mm, each against its own image.

    step: look at every step-th row and column only
    """
    fractions = np.empty(len(images))
    for image in distinct(images):
        rows = np.flatnonzero(images == image)
        posed, (crop, grid) = vertices[to_device(rows, hand.device, np.int64)], targets.grids[image]
        fractions[rows] = unexplained_fraction(posed, hand.faces, crop, grid, step)
    return fractions


def limb_fractions(pose: Pose, hand: Hand, targets: FitTargets) -> Floats:
    """What each pose (B,) leaves unexplained of the limb that its hand belongs to; see handopt.objective.limb_fraction.

    It compares poses of different readings of an image. Infinite where the pose is not finite; the unexplained
    fraction where the image has no limb.
    """
    return _limb_fractions(*_posed(pose, hand), to_numpy(pose.image), hand, targets)


def _posed(pose: Pose, hand: Hand) -> tuple[Array, Floats]:
    """The vertices (B, V, 3) mm of poses, on the device, and their joints (B, 21, 3) mm."""
    transforms = hand.transforms(pose)
    joints = to_numpy(hand.joints(transforms, hand.keypoints_of(pose))).astype(np.float64)
    return hand.vertices(transforms, hand.rest_of(pose)), joints


def _limb_fractions(vertices: Array, joints: Floats, images: Ints, hand: Hand, targets: FitTargets) -> Floats:
    """As limb_fractions, of hands that are posed."""
    fractions = np.empty(len(images))
    for image in distinct(images):
        rows, limb = np.flatnonzero(images == image), targets.limbs[image]
        on_device = to_device(rows, hand.device, np.int64)
        if limb is None:
            fractions[rows] = unexplained_fraction(vertices[on_device], hand.faces, *targets.grids[image])
        else:
            seen = seen_in_limb(vertices[on_device], hand.faces, limb)
            fractions[rows] = [limb_fraction(joints[row], mm, limb) for row, mm in zip(rows, seen, strict=True)]
    return np.where(np.isfinite(joints.sum(axis=(1, 2))), fractions, np.inf)


def most_plausible(
    history: SearchHistory,
    hand: Hand,
    observations: list[Observation],
    mirrored: tuple[bool, ...],
    faces: Faces,
    side: bool | None = None,
) -> int:
    """The row to report: of the best of each view, the one with the best total, overlap and plausible view.

    side: of the hand that the user named (whether mirrored), None for both
    """
    images = to_numpy(history.pose.image)
    wanted = [image for image in distinct(images) if side in (None, mirrored[image])]
    rows = [int(np.flatnonzero(images == image)[0]) for image in wanted]
    if len(rows) == 1:
        return rows[0]
    vertices = to_numpy(hand.vertices(hand.transforms(history.pose), hand.rest_of(history.pose))).astype(np.float64)
    best_score = max(observation.score for observation in observations)
    costs = []
    for row in rows:
        observation = observations[images[row]]
        posed = vertices[row] * (MIRROR if mirrored[images[row]] else 1)
        overlap = measure(posed, observation, faces).silhouette_iou
        doubt = best_score - observation.score
        costs.append(history.totals[row] + WEIGHTS.overlap * (1 - overlap) + WEIGHTS.implausibility * doubt)
    return rows[int(np.argmin(costs))]


@dataclass(frozen=True, eq=False)
class Ranking:
    """All survivors of a search, best first, but those of the hand that the user named before all others.

    rows: of the history's poses; unexplained_fraction: of each; penalised_fraction: of its limb, and penalties for an
    implausible observation, for joints far from the votes, for votes that are unsure and for a palm where none is seen;
    doubt_penalty: the latter three alone
    """

    history: SearchHistory
    rows: Indices
    unexplained_fraction: Floats
    penalised_fraction: Floats
    doubt_penalty: Floats


def ranked(
    history: SearchHistory,
    hand: Hand,
    targets: FitTargets,
    observations: Sequence[Observation],
    side: bool | None = None,
    voted: Mapping[int, VotedJoints] | None = None,
    palms: Sequence[PixelReading] = (),
) -> Ranking:
    """Order survivors by what they leave unexplained of their limb, and by the plausibility of their observation.

    observations: of each image; side: of the hand that the user named (whether mirrored), whose hypotheses come first;
    voted: where a network sees the joints of each image, if one was asked; palms: what the networks of pixel labels say
    of the palms that they see, if they were asked
    """
    images = to_numpy(history.pose.image)
    vertices, joints = _posed(history.pose, hand)
    fractions = fractions_by_image(vertices, images, hand, targets)
    scores = np.array([each.score for each in observations])[images]
    sizes = np.array([each.size for each in observations])[images]
    log_scale = np.log(to_numpy(history.pose.scale).astype(np.float64))
    penalised = _limb_fractions(vertices, joints, images, hand, targets) + WEIGHTS.other_size * (sizes != 1.0)
    penalised += WEIGHTS.fraction_per_score * (scores.max() - scores)
    penalised += WEIGHTS.fraction_per_log_scale * np.abs(log_scale)
    doubts = np.zeros(len(images))
    if voted:
        unusual = np.maximum(_distances(joints, images, voted) - WEIGHTS.usual_distance, 0.0)
        doubts += WEIGHTS.fraction_per_distance * unusual
    if palms:
        doubts += WEIGHTS.fraction_per_radius_mm * _unsure_mm(images, sizes, voted or {})
        flips = np.where(np.array(targets.mirrored)[images, None, None], MIRROR, 1.0)
        reach = WEIGHTS.palm_mm * sizes * np.exp(log_scale)
        doubts += WEIGHTS.no_palm * _no_palm(joints * flips * sizes[:, None, None], reach, palms)
    penalised += doubts
    other = np.array([side not in (None, mirrored) for mirrored in targets.mirrored])[images]
    order = np.lexsort((penalised, other))
    return Ranking(history, order, fractions[order], penalised[order], doubts[order])


def _no_palm(joints_mm: Floats, reach_mm: Floats, palms: Sequence[PixelReading]) -> Floats:
    """How improbable it is that a palm is where hands (B, 21, 3) have it, (B,): 1 where none is seen within reach."""
    doubts = np.ones(len(joints_mm))
    for row, middle in enumerate(labelled_palm_of(joints_mm)):
        near = [each.presence for each in palms if np.linalg.norm(each.palm_mm - middle) < reach_mm[row]]
        doubts[row] = 1 - max(near, default=0.0)
    return doubts


def _unsure_mm(images: Ints, sizes: Floats, voted: Mapping[int, VotedJoints]) -> Floats:
    """How much farther off the network says that joints of images may be than is usual, (B,) mm; 0 if not asked."""
    unsure = np.zeros(len(images))
    for image in distinct(images):
        if image in voted:
            rows = images == image
            unsure[rows] = voted[image].radius_mm.mean() * sizes[rows] - WEIGHTS.usual_radius_mm
    return np.maximum(unsure, 0.0)


def _distances(joints: Floats, images: Ints, voted: Mapping[int, VotedJoints]) -> Floats:
    """How far joints (B, 21, 3) are from the voted ones of their images (B,), the most where there are none."""
    distances = np.full(len(images), MOST)
    for image in distinct(images):
        if image in voted:
            distances[images == image] = voted[image].distance(joints[images == image])
    return np.where(np.isfinite(distances), distances, MOST)
