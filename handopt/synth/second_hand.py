"""A second hand in the image, with its arm: the same person's other one, apart, behind, or touching the first."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from handopt.input.camera import Camera
from handopt.rig import Rig
from handopt.rig.anatomy import MIRROR
from handopt.synth.arms import arm_mesh, sample_arm, wrist_bend
from handopt.synth.forearm import bend_wrist
from handopt.synth.gestures import RANDOM
from handopt.synth.poses import HandSample, sample_angles
from handopt.synth.scene import posed
from handopt.synth.subject import Subject
from handopt.synth.surroundings import Part
from handopt.synth.viewpoints import sample_elbow, turn_to
from handopt.synth.wild_config import CONFIG
from handopt.typing import Bools, Faces, Floats

_CONFIG = CONFIG.second_hand


@dataclass(frozen=True)
class SecondHand:
    """A left hand beside a right one. meshes: of hand and arm, camera frame, mm; joints: (21, 3); visible: (21,)."""

    meshes: tuple[tuple[Floats, Faces], ...]
    joints: Floats
    visible: Bools
    touching: bool


def sample_second_hand(
    rng: np.random.Generator,
    subject: Subject,
    base: Rig,
    dressed: Rig,
    first: Floats,
    parts: list[Part],
    camera: Camera,
) -> SecondHand | None:
    """Draw the left hand of a subject whose right one has vertices (V, 3); None if there is no room.

    parts: what the right hand belongs to. base: the rig of all subjects; dressed: the subject's right hand.
    The second hand keeps away from everything of the first, or touches it.
    """
    kind = rng.random()
    touching = kind < _CONFIG.touching_share
    behind = _CONFIG.touching_share <= kind < _CONFIG.touching_share + _CONFIG.behind_share
    everything = cKDTree(np.concatenate([part.points for part in parts]))
    arm = sample_arm(rng)
    rig = bend_wrist(arm.forearm, dressed)
    angles, _ = sample_angles(rng, "medium", RANDOM, subject.proportions, base)
    for _ in range(_CONFIG.tries):
        elbow = sample_elbow(rng, "any")
        wrist = turn_to(elbow, rng.uniform(-np.pi, np.pi)) @ wrist_bend(arm.forearm).T
        hand = HandSample(subject, angles, wrist @ rig.bind[0, :, :3].T, RANDOM, 1)
        vertices, joints = (each * MIRROR for each in posed(hand, rig))
        points, faces = arm_mesh(arm, rig)
        limb = hand.scale * (points - rig.bind[0, :, 3]) @ hand.rotation.T * MIRROR
        place = _place(rng, vertices, first, everything, touching=touching, behind=behind)
        if place is None or not _keeps_away(limb + place, everything, _CONFIG.arm_gap_mm):
            continue
        middle = joints.mean(axis=0) + place
        if middle[2] < 150.0 or not _in_view(middle, camera):
            continue
        meshes = ((vertices + place, dressed.faces), (limb + place, faces))
        return SecondHand(meshes, joints + place, np.zeros(21, bool), touching)
    return None


def _place(
    rng: np.random.Generator, vertices: Floats, first: Floats, everything: cKDTree, *, touching: bool, behind: bool
) -> Floats | None:
    """Where a hand (V, 3) goes: a translation (3,), None where the way to it is barred."""
    around = rng.uniform(-np.pi, np.pi)
    lateral = rng.uniform(0.0, 110.0) if behind else rng.uniform(*_CONFIG.beside_mm)
    away = rng.uniform(*_CONFIG.behind_mm) if behind else rng.uniform(-60.0, 200.0)
    offset = np.array([lateral * np.cos(around), 0.6 * lateral * np.sin(around), away])
    place = first.mean(axis=0) - vertices.mean(axis=0) + offset
    if not touching:
        return place if _keeps_away(vertices + place, everything, _CONFIG.apart_mm) else None
    direction = -offset / np.linalg.norm(offset)
    for _ in range(_CONFIG.approaches):
        nearest = float(everything.query(vertices + place)[0].min())
        if nearest <= _CONFIG.touch_mm:
            return place if nearest > 0.3 * _CONFIG.touch_mm else None
        place = place + max(nearest - 0.75 * _CONFIG.touch_mm, 0.5) * direction
    return None


def _keeps_away(points: Floats, everything: cKDTree, least_mm: float) -> bool:
    """Whether none of the points (n, 3) is nearer than this to anything."""
    return not np.isfinite(everything.query(points, distance_upper_bound=least_mm)[0]).any()


def _in_view(point: Floats, camera: Camera) -> bool:
    """Whether a point (3,) is in the image or near it."""
    u, v = np.asarray(camera.project(point[None]))[0]
    return bool(-0.1 * camera.width < u < 1.1 * camera.width and -0.1 * camera.height < v < 1.1 * camera.height)
