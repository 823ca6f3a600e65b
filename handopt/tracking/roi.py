"""The targets of one frame, cut out around where the hand is expected: a lean `observe` and `build_targets`."""

from dataclasses import dataclass

import numpy as np

from handopt.backend import Device, to_device
from handopt.input.camera import Camera
from handopt.objective.targets import NEAREST_PX, FitTargets
from handopt.observation.crop import Crop, Grid
from handopt.observation.free_space_mask import free_space_mask
from handopt.observation.surfaces import drop_flying, label_surfaces
from handopt.ops.surfaces import distance_inside, extreme_filter, nearest_outside
from handopt.rig.joints import KEYPOINT_JOINTS
from handopt.tracking.config import RoiConfig
from handopt.typing import BoolImage, FloatImage, Floats, Indices, Reals


@dataclass(frozen=True)
class Wrist:
    """Where the hand ends: the wrist (3,) mm, the unit direction to the forearm, and how far the skin goes on there."""

    place: Floats
    direction: Floats
    end_mm: float


@dataclass(frozen=True)
class RoiObservation:
    """What a frame shows around the expected hand. seen_cells: measured pixels of the grid that show the hand."""

    crop: Crop
    grid: Grid
    targets: FitTargets
    seen_cells: int


def crop_around(vertices_mm: Reals, camera: Camera, config: RoiConfig) -> Crop:
    """The cube around an expected hand, whose vertices (V, 3) are in the camera frame."""
    columns = np.ascontiguousarray(vertices_mm.T)  # along which NumPy is quicker
    low, high = columns.min(axis=1), columns.max(axis=1)
    x, y, z = 0.5 * (low + high)
    return Crop((float(x), float(y), float(z)), config.half_mm, config.size_px, camera)


@dataclass(frozen=True, eq=False)
class CutOut:
    """A hand that was cut out of an image. x, y: (S, S) mm of the grid's cells."""

    crop: Crop
    grid: Grid
    x: FloatImage
    y: FloatImage
    seen_cells: int


def observe_roi(cut: CutOut, points: int, rng: np.random.Generator, device: Device) -> RoiObservation:
    """What a hand is fitted to that was cut out. points: how many are drawn."""
    return RoiObservation(cut.crop, cut.grid, _targets(cut, points, rng, device), cut.seen_cells)


def cut_out(
    depth_mm: FloatImage, crop: Crop, expected_mm: FloatImage, wrist: Wrist, config: RoiConfig
) -> CutOut | None:
    """Cut the hand out of a depth image (H, W), mm, NaN where pixels are left out; None where too little is seen.

    expected_mm: (S, S) z-buffer of the expected hand on the crop's grid. Every grid pixel looks up the nearest pixel of
    the image. The hand is what lies near the expected silhouette and depth on surfaces that agree with it; the forearm
    is cut off where the model's skin ends.
    """
    v, u, depth = crop.look_up(depth_mm)
    ignored = np.isnan(depth)
    depth[ignored] = 0
    focal = float(crop.coefficients[0])
    clean = drop_flying(depth, focal)
    x, y = _lifted(clean, u, v, crop.camera)
    arm = _arm(x, y, clean, wrist, config)
    hand = _hand(np.where(arm, np.float32(0), clean), expected_mm, crop, focal, config)
    seen = int(np.count_nonzero(hand))
    if seen < config.min_cells:
        return None
    inside = (u >= 0) & (u < depth_mm.shape[1]) & ((v >= 0) & (v < depth_mm.shape[0]))[:, None]
    hand_mm = np.where(hand, clean, np.float32(0))
    # Flying pixels, what is left out, and what lies outside of the image
    unknown = ((depth > 0) & (clean == 0)) | ignored | ~inside
    measured_mm = np.where(depth > 0, depth, np.float32(np.inf))
    free = free_space_mask(hand_mm, measured_mm, arm, unknown, crop.mm_per_px, symmetric=False)
    return CutOut(crop, Grid(hand_mm, hand, free), x, y, seen)


def _lifted(depth: FloatImage, u: Indices, v: Indices, camera: Camera) -> tuple[FloatImage, FloatImage]:
    x = ((u - camera.cx) / camera.fx).astype(np.float32) * depth
    y = ((v - camera.cy) / camera.fy).astype(np.float32)[:, None] * depth
    return x, y


def _arm(x: FloatImage, y: FloatImage, z: FloatImage, wrist: Wrist, config: RoiConfig) -> BoolImage:
    """Tell the cells that lie beyond the end of the hand's skin, or off its side there."""
    place, direction = wrist.place.astype(np.float32), wrist.direction.astype(np.float32)
    dx, dy, dz = x - place[0], y - place[1], z - place[2]
    along = dx * direction[0] + dy * direction[1] + dz * direction[2]
    away2 = dx * dx + dy * dy + dz * dz
    reach = np.float32(wrist.end_mm + config.arm_slack_mm)
    cone = (away2 > reach * reach) & (along > 0) & (along * along > config.arm_cone**2 * away2)
    return np.asarray((z > 0) & ((along > wrist.end_mm) | cone))


def _hand(depth: FloatImage, expected_mm: FloatImage, crop: Crop, focal: float, config: RoiConfig) -> BoolImage:
    """Tell the cells of the hand among measured cells that are not the forearm's."""
    silhouette = expected_mm > 0
    if not silhouette.any():
        return np.zeros(depth.shape, np.bool_)
    away, nearest = nearest_outside(~silhouette)
    away = away * crop.mm_per_px
    step = np.abs(depth - expected_mm.ravel()[nearest])
    measured = (depth > 0) & (step < 2 * config.depth_reach_mm)
    labels = label_surfaces(np.where(measured, depth, np.float32(0)), focal)
    close = measured & (away < config.reach_mm) & (step < config.depth_reach_mm)
    count = int(labels.max()) + 1
    beside = measured & (away < config.far_reach_mm) & (step < config.piece_depth_mm)
    agreeing = close & silhouette & (step < config.agrees_mm)
    # How many cells of each surface are measured, and of these near the silhouette, beside it, and in agreement with it
    kinds = close + 2 * beside.view(np.uint8) + 4 * agreeing.view(np.uint8)
    numbers = np.bincount(8 * labels[measured] + kinds[measured], minlength=8 * count).reshape(count, 2, 2, 2)
    total, near = numbers.sum(axis=(1, 2, 3)), numbers[..., 1].sum(axis=(1, 2))
    agree, aside = numbers[:, 1].sum(axis=(1, 2)), numbers[:, :, 1].sum(axis=(1, 2))
    kept = (4 * agree >= near) & (near > 0)
    whole = kept & (2 * near >= total)
    # A finger that comes out from behind others is a surface of its own, where none is expected.
    cells_cm2 = total * crop.mm_per_px**2 / 100
    piece = (cells_cm2 >= config.min_piece_cm2) & (cells_cm2 <= config.max_piece_cm2) & (4 * aside >= 3 * total)
    kept[0] = whole[0] = piece[0] = False
    here = (kept + 2 * whole.view(np.uint8) + 4 * piece.view(np.uint8))[labels]
    return np.asarray(
        (close & ((here & 1) > 0))
        | (measured & ((here & 2) > 0) & (away < config.far_reach_mm))
        | (beside & ((here & 4) > 0))
    )


def _targets(cut: CutOut, points: int, rng: np.random.Generator, device: Device) -> FitTargets:
    """What the residuals compare the model with."""
    crop, grid = cut.crop, cut.grid
    rows = np.flatnonzero(grid.hand)
    drawn = rng.choice(rows, points, replace=len(rows) < points)
    cloud = np.stack([cut.x.ravel()[drawn], cut.y.ravel()[drawn], grid.depth_mm.ravel()[drawn]], axis=1)
    nearest = extreme_filter(np.where(grid.hand, grid.depth_mm, np.float32(np.inf)), NEAREST_PX, largest=False)
    arrays = {
        "points": cloud,
        "coefficients": crop.coefficients,
        "centre": np.asarray(crop.center_mm),
        "splats": np.zeros((0, 3)),
        "field": distance_inside(grid.free) * crop.mm_per_px,
        "nearest_depth": np.where(grid.hand, nearest, np.float32(0)),
        "mm_per_px": np.asarray(crop.mm_per_px),
        "weight": np.zeros((0, 0)),
        "votes": np.zeros((len(KEYPOINT_JOINTS), 4)),
    }
    placed = {name: to_device(array[None], device, np.float32) for name, array in arrays.items()}
    return FitTargets(size=crop.size, mirrored=(False,), grids=((crop, grid),), limbs=(None,), **placed)
