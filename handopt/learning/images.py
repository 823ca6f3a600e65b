"""Images to learn from: random hands rendered as handopt.proposals.features sees them, with their poses.

Every chunk of images has one subject (proportions, surface) with one forearm, in many poses and views; the forearm is
cut off about where segmentation does it. In a share of the chunks the hands hold things (handopt.learning.held_things).
"""

import multiprocessing
import os
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.errors import ConfigError
from handopt.learning.held_things import HeldThings, PlacedThing, sample_things, segmented
from handopt.learning.people import LEVEL_SHARES, People
from handopt.ops.kinematics import forward_kinematics
from handopt.ops.rasterise import rasterise
from handopt.ops.skinning import skin
from handopt.proposals.features import (
    HALF_MM,
    LABELS,
    MIDDLE_PX,
    MM_PER_PX,
    SIZE,
    CenteredView,
    robust_centre,
    rotation_to_axis,
    to_view,
)
from handopt.rig import Rig, default_rig, with_proportions
from handopt.rig.anatomy import JOINT_DEPTH_MM
from handopt.rig.joints import KNUCKLES
from handopt.synth.poses import LEVELS, sample_hand
from handopt.synth.subject import surface_field
from handopt.typing import AnyArray, Bools, FloatImage, Floats

Arrays = dict[str, NDArray[Any]]

CHUNK = 64
UNIT_MM = 0.1
EMPTY = np.iinfo(np.int16).min
DISTANCE_MM = (280.0, 1300.0)
COARSE_PX, COARSE_HALF_MM = 40, 250.0
MAX_SURFACE_MM = 3.0
# The arm is cut about 75 mm past the palm's centre, sometimes anywhere, or at the wrist where no arm is seen.
CUT_MM, CUT_SPREAD_MM, ARM_ERROR = 77.0, 7.0, 0.12
CUT_ANYWHERE, CUT_RANGE_MM = 0.3, (35.0, 115.0)
NO_ARM, WRIST_MM = 0.15, (55.0, 70.0)
SHIFT_MM = 8.0
ARM_SEGMENTS, ARM_MM = 20, 170.0
MIN_AREA_PX = 150
HELD_SHARE = 0.35  # of the chunks
SURPLUS = 1.08  # for most of the images that show less than that

Seed = int | tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Dressed:
    """A subject's mesh with a forearm. arm: (3,) its direction; keypoints: (21, 3), palm: (3,), mm; all in the rig."""

    bind: Floats
    rest: Floats
    indices: NDArray[np.int32]
    weights: Floats
    faces: NDArray[np.int32]
    arm: Floats
    keypoints: Floats
    palm: Floats


def sample_poses(count: int, seed: Seed, processes: int) -> Floats:
    """Draw angles (count, 15, 3) of all levels in which no finger reaches into another. seed: one or several numbers"""
    each = 250
    jobs = [(seed, number, min(each, count - number * each)) for number in range(-(-count // each))]
    return np.concatenate(_run(_poses, jobs, processes))


def render_images(people: People, count: int, seed: Seed, processes: int) -> Arrays:
    """Render count images of people's hands in random views.

    Returns offset (N, 64, 64) int16 in 0.1 mm, EMPTY where no hand is; angles (N, 15, 3); rotation (N, 3, 3) and
    wrist (N, 3) mm in the view's frame, relative to the centre; scale (N,); proportions (N, 13); visible (N, 21),
    which joints the image shows; keypoints (N, 21, 3), see handopt.proposals.features.to_view.
    """
    numbers, work = -(-int(SURPLUS * count) // CHUNK), partial(_images, people)
    chunks = _run(work, [(seed, number) for number in range(numbers)], processes)
    while sum(len(chunk["scale"]) for chunk in chunks) < count:
        chunks.append(work((seed, len(chunks))))
    return {name: np.concatenate([chunk[name] for chunk in chunks])[:count] for name in chunks[0]}


def with_unknown_labels(images: Arrays) -> Arrays:
    """Images with the arrays of handopt.learning.labelled_images that say that nobody has labelled their pixels."""
    offset = images["offset"]
    return images | {"measured": np.full_like(offset, EMPTY), "labels": np.zeros((*offset.shape, LABELS), np.uint8)}


def images_of(view: CenteredView) -> Arrays:
    """What a view shows, as arrays of images have it (64, 64): offset, measured and labels."""
    offset = _counts(view.offset_mm)
    if view.measured_mm is None or view.labels is None:
        return with_unknown_labels({"offset": offset})
    labels = np.rint(255 * view.labels).astype(np.uint8)
    return {"offset": offset, "measured": _counts(view.measured_mm), "labels": labels}


def _counts(offset_mm: FloatImage) -> AnyArray:
    """Offsets, NaN where there are none: (...) int16 in UNIT_MM, EMPTY for none."""
    counts = np.rint(np.nan_to_num(offset_mm) / UNIT_MM)
    return np.where(np.isnan(offset_mm), EMPTY, counts).astype(np.int16)


def dress(rng: np.random.Generator, rig: Rig, proportions: Floats) -> Dressed:
    """Give the rig a subject's proportions, half of the time a surface of its own, and a random forearm."""
    shaped = with_proportions(rig, proportions)
    rest = shaped.rest_mm
    if rng.random() < 0.5:
        rest = rest + surface_field(shaped, rng.uniform(0.3, MAX_SURFACE_MM), int(rng.integers(2**32)))
    axes, wrist = shaped.bind[0, :, :3], shaped.bind[0, :, 3]
    vertices, faces, arm = _forearm(rng, (rest - wrist) @ axes)
    count = len(rest)
    indices = np.zeros((len(vertices), 4), np.int32)
    weights = np.tile([1.0, 0.0, 0.0, 0.0], (len(vertices), 1))
    keypoints = shaped.keypoints_mm
    return Dressed(
        bind=shaped.bind,
        rest=np.concatenate([rest, vertices @ axes.T + wrist]),
        indices=np.concatenate([shaped.skin_indices, indices]),
        weights=np.concatenate([shaped.skin_weights, weights]),
        faces=np.concatenate([shaped.faces, (faces + count).astype(np.int32)]),
        arm=axes @ arm,
        keypoints=keypoints,
        palm=0.3 * keypoints[0] + 0.7 * keypoints[list(KNUCKLES)].mean(axis=0),
    )


def _run(work: Any, jobs: list[Any], processes: int) -> list[Any]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if processes <= 1:
        return [work(job) for job in jobs]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return pool.map(work, jobs, chunksize=4)


def _generator(seed: Seed, purpose: int, number: int) -> np.random.Generator:
    return np.random.default_rng((*((seed,) if isinstance(seed, int) else seed), purpose, number))


def _poses(job: tuple[Seed, int, int]) -> Floats:
    seed, number, count = job
    rng = _generator(seed, 1, number)
    rig = default_rig("right")
    levels = rng.choice(LEVELS, count, p=LEVEL_SHARES)
    return np.stack([sample_hand(rng, level, rig=rig).angles_rad for level in levels])


def _images(people: People, job: tuple[Seed, int]) -> Arrays:
    rng = _generator(job[0], 2, job[1])
    rig = default_rig("right")
    proportions = people.sample_proportions(rng)
    dressed = dress(rng, rig, proportions)
    angles, rotation = people.sample_poses(rng, rig, CHUNK)
    scale = people.sample_scales(rng, CHUNK)
    nearest, farthest = np.log(DISTANCE_MM)
    distance = np.exp(rng.uniform(nearest, farthest, CHUNK))
    held = _held(rng, rig, proportions, scale) if rng.random() < HELD_SHARE else None
    if held is not None:
        angles, scale = held.angles, held.scale
    pose = angles, rotation, np.zeros((CHUNK, 3)), scale
    transforms = forward_kinematics(*pose, rig.parents, rig.articulated, dressed.bind)
    palm = scale[:, None] * np.einsum("bij,j->bi", rotation, dressed.palm - dressed.bind[0, :, 3])
    wrist = np.stack([np.zeros(CHUNK), np.zeros(CHUNK), distance], axis=1) - palm
    vertices = skin(transforms, dressed.rest, dressed.indices, dressed.weights) + wrist[:, None]
    things = [] if held is None else held.placed(rotation @ dressed.bind[0, :, :3], wrist)
    offset, hand, turn, reach = _views(rng, vertices, dressed, (palm + wrist, rotation), held, things)
    joints = skin(transforms, dressed.keypoints, np.array(rig.keypoint_joints)[:, None], np.ones((21, 1)))
    joints = np.einsum("bij,bkj->bki", turn, joints + wrist[:, None])
    visible = _visible(joints, np.where(offset == hand, hand, EMPTY), reach, scale)
    wrist = np.einsum("bij,bj->bi", turn, wrist)
    wrist[:, 2] -= reach
    images = {
        "offset": offset,
        "angles": angles.astype(np.float32),
        "rotation": (turn @ rotation).astype(np.float32),
        "wrist": wrist.astype(np.float32),
        "scale": scale.astype(np.float32),
        "proportions": np.tile(proportions.astype(np.float32), (CHUNK, 1)),
        "visible": visible,
        "keypoints": to_view(joints, reach[:, None]).astype(np.float32),
    }
    enough = (hand != EMPTY).sum(axis=(1, 2)) >= MIN_AREA_PX
    return {name: values[enough] for name, values in images.items()}


def _held(rng: np.random.Generator, rig: Rig, proportions: Floats, scale: Floats) -> HeldThings | None:
    """What the hands of a chunk hold; None where no grasp was found for them."""
    try:
        return sample_things(rng, rig, proportions, scale)
    except ConfigError:
        return None


def _views(
    rng: np.random.Generator,
    vertices: Floats,
    dressed: Dressed,
    placed: tuple[Floats, Floats],
    held: HeldThings | None,
    things: list[PlacedThing],
) -> tuple[NDArray[np.int16], NDArray[np.int16], Floats, Floats]:
    """Views of hands (B, V, 3) with their arms cut off: offsets (B, 64, 64) of what is left and of the hand that is
    seen, turns (B, 3, 3) and distances (B,). placed: palms (B, 3) and rotations (B, 3, 3)"""
    count = len(vertices)
    palm, rotation = placed
    # Where the pipeline cuts the arm: a plane across what it takes for the arm's direction.
    arm = np.einsum("bij,j->bi", rotation, dressed.arm) + rng.normal(0.0, ARM_ERROR, (count, 3))
    arm /= np.linalg.norm(arm, axis=1, keepdims=True)
    cut = rng.normal(CUT_MM, CUT_SPREAD_MM, count)
    cut = np.where(rng.random(count) < CUT_ANYWHERE, rng.uniform(*CUT_RANGE_MM, count), cut)
    cut = np.where(rng.random(count) < NO_ARM, rng.uniform(*WRIST_MM, count), cut)
    coarse = _coarse(vertices, dressed.faces, palm[:, 2], held, things)
    centre = _centres(coarse, palm, arm, cut) + rng.normal(0.0, SHIFT_MM, (count, 3))
    turn, reach = (np.stack(each) for each in zip(*(rotation_to_axis(point) for point in centre), strict=True))
    offset = _offsets(np.einsum("bij,bvj->bvi", turn, vertices), dressed.faces, reach)
    shown = offset, offset
    if held is not None:
        shown = segmented(rng, offset, _things(things, turn, reach), held)
    palm_view, arm_view = (np.einsum("bij,bj->bi", turn, each) for each in (palm, arm))
    end = (palm_view * arm_view).sum(axis=1) + cut
    left, hand = (_cut_off(each, reach, arm_view, end) for each in shown)
    return left, hand, turn, reach


def _cut_off(offset: Floats, reach: Floats, arm: Floats, end: Floats) -> NDArray[np.int16]:
    """Counts of offsets (B, 64, 64) within the view and before the end (B,) along the arm (B, 3)."""
    inside = np.abs(offset) < HALF_MM
    known = np.where(inside, offset, 0.0)
    along = np.einsum("bijc,bc->bij", _points(known, reach), arm)
    seen = inside & (along < end[:, None, None])
    return np.where(seen, np.rint(known / UNIT_MM), EMPTY).astype(np.int16)


def _offsets(turned: Floats, faces: NDArray[np.int32], reach: Floats) -> Floats:
    """Offsets (B, 64, 64) mm of meshes (B, V, 3) in their views, infinity where there is nothing."""
    depth = _render(turned, faces, reach, SIZE, HALF_MM)
    return np.where(depth > 0, depth - reach[:, None, None], np.inf)


def _things(things: list[PlacedThing], turn: Floats, reach: Floats) -> Floats:
    """Offsets (B, 64, 64) mm of what hands hold."""
    views = [(np.einsum("bij,bvj->bvi", turn[each.rows], each.points), each) for each in things]
    return np.concatenate([_offsets(turned, each.faces, reach[each.rows]) for turned, each in views])


def _coarse(
    vertices: Floats,
    faces: NDArray[np.int32],
    distance: Floats,
    held: HeldThings | None,
    things: list[PlacedThing],
) -> Floats:
    """Coarse depth (B, 40, 40) mm of hands, and of what they hold where it is left whole; 0 = none."""
    depth = _render(vertices, faces, distance, COARSE_PX, COARSE_HALF_MM)
    if held is None:
        return depth
    thing = np.concatenate(
        [_render(each.points, each.faces, distance[each.rows], COARSE_PX, COARSE_HALF_MM) for each in things]
    )
    hides = (thing > 0) & ((depth == 0) | (thing < depth))
    return np.where(hides, np.where(held.whole[:, None, None], thing, 0.0), depth)


def _visible(joints: Floats, offset: NDArray[np.int16], reach: Floats, scale: Floats) -> Bools:
    """Which joints (B, 21, 3) of views are seen, as handopt.assess.visibility has it: (B, 21)."""
    pixels = np.rint(joints[..., :2] / joints[..., 2:] * (reach[:, None, None] / MM_PER_PX) + MIDDLE_PX).astype(int)
    inside = ((pixels >= 0) & (pixels < SIZE)).all(axis=-1)
    column, row = np.moveaxis(pixels.clip(0, SIZE - 1), -1, 0)
    counts = offset[np.arange(len(offset))[:, None], row, column]
    below = joints[..., 2] - (counts * UNIT_MM + reach[:, None])
    return np.asarray(inside & (counts != EMPTY) & (below < JOINT_DEPTH_MM * scale[:, None]))


def _centres(depth: Floats, palm: Floats, arm: Floats, cut: Floats) -> Floats:
    """Middles (B, 3) of what coarse images (B, 40, 40) show of hands up to the cut."""
    distance = palm[:, 2]
    middle, pitch = 0.5 * (COARSE_PX - 1), 2 * COARSE_HALF_MM / COARSE_PX
    axis = (np.arange(COARSE_PX) - middle) * pitch
    centres = palm.copy()
    for number in range(len(depth)):
        rows, columns = np.nonzero(depth[number])
        z = depth[number, rows, columns]
        points = np.stack([axis[columns] * z / distance[number], axis[rows] * z / distance[number], z], axis=1)
        points = points[(points - palm[number]) @ arm[number] < cut[number]]
        if len(points) > 4:
            centres[number] = robust_centre(points)
    return centres


def _points(offset: Floats, reach: Floats) -> Floats:
    """Points (B, 64, 64, 3) of a view's pixels."""
    axis = (np.arange(SIZE) - MIDDLE_PX) * MM_PER_PX
    z = offset + reach[:, None, None]
    share = z / reach[:, None, None]
    return np.stack([axis * share, axis[:, None] * share, z], axis=-1)


def _render(vertices: Floats, faces: NDArray[np.int32], distance: Floats, size: int, half_mm: float) -> Floats:
    """Depth (B, size, size) mm, 0 = none, seen by cameras whose pixels are 2 half_mm / size apart at a distance (B,).

    x and y are scaled by the distance, so that one camera of focal length size / (2 half_mm) * 1000 does for all.
    """
    scaled = vertices * np.stack([distance / 1000, distance / 1000, np.ones_like(distance)], axis=1)[:, None]
    focal, middle = 1000.0 * size / (2 * half_mm), 0.5 * (size - 1)
    depth: NDArray[np.float32] = rasterise(
        scaled.astype(np.float32), np.ascontiguousarray(faces), (focal, focal, middle, middle, size, size)
    )
    return depth.astype(np.float64)


def _forearm(rng: np.random.Generator, skin_mm: Floats) -> tuple[Floats, NDArray[np.int64], Floats]:
    """A tube in the wrist's axes (z towards the arm): vertices (n, 3), faces (m, 3) and its direction (3,)."""
    rim = skin_mm[skin_mm[:, 2] > skin_mm[:, 2].max() - 20.0]
    low, high = rim.min(axis=0), rim.max(axis=0)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)[:2]
    start = np.array([middle[0], middle[1], high[2] - 14.0])
    direction = np.array([rng.normal(0, 0.25), rng.normal(0, 0.4), 1.0])
    direction /= np.linalg.norm(direction)
    half = half * rng.uniform(0.9, 1.15) * np.array([rng.uniform(0.95, 1.2), rng.uniform(0.95, 1.2)])
    grow = rng.uniform(1.0, 1.6, 2)
    turns = np.arange(ARM_SEGMENTS) * (2 * np.pi / ARM_SEGMENTS)
    circle = np.stack([np.cos(turns), np.sin(turns), np.zeros(ARM_SEGMENTS)], axis=1)
    rings = []
    for share in np.linspace(0, 1, 5):
        size = np.append(half * (0.92 + share * (grow - 0.92)), 0)
        rings.append(start + share * ARM_MM * direction + circle * size)
    faces = []
    for ring in range(4):
        for k in range(ARM_SEGMENTS):
            a, b = ring * ARM_SEGMENTS + k, ring * ARM_SEGMENTS + (k + 1) % ARM_SEGMENTS
            faces += [(a, b, a + ARM_SEGMENTS), (b, b + ARM_SEGMENTS, a + ARM_SEGMENTS)]
    return np.concatenate(rings), np.array(faces), direction
