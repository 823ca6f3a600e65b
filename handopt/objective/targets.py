"""What depth images say of the hand, as arrays that the objective compares poses with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from handopt.backend import Array, Device, namespace_of, to_device
from handopt.config import Config
from handopt.ops.projection import project
from handopt.ops.splat import render_depth
from handopt.ops.surfaces import distance_inside, extreme_filter
from handopt.rig.joints import KEYPOINT_JOINTS
from handopt.typing import Floats

if TYPE_CHECKING:
    from handopt.observation.crop import Crop, Grid
    from handopt.observation.limb import HandAndArm
    from handopt.observation.observation import Observation
    from handopt.proposals.voted_poses import VotedJoints

    View = tuple[Observation, Crop, bool]

NEAREST_PX = 5
MOST_CELLS = 1 << 20  # of a lattice whose cells are counted one by one
FARTHEST = 2.0  # distance in widths of a grid, where the hand may be nowhere
LEAST_RADIUS_MM = 2.0  # how far off a voted joint may always be
PADDING_Z = 2.0  # in crop coordinates, beyond all that is rendered


@dataclass(frozen=True)
class FitTargets:
    """I observed hands; left hands are stored as mirror images (x -> -x), so that all are right hands.

    points: (I, N, 3) mm, drawn from the hand's surface; coefficients: (I, 6) of each crop; centre: (I, 3) mm
    splats: (I, M, 3) crop coordinates, points about as far apart as the model's vertices; padding has z = 2
    field: (I, S, S) mm, distance of each pixel to where the hand may be; mm_per_px: (I,)
    nearest_depth: (I, S, S) mm, on the hand the smallest depth in 5 x 5 pixels, 0 elsewhere
    grids: of each image its crop and its observation resampled to it; limbs: of each image, None where it has none
    weight: (I, S, S) of each pixel in the depth term, 1 / (share of the crop that the hand covers) on the hand
    votes: (I, 21, 4), where a network sees each joint, mm, and 1 / (how far off it may be)^2, 0 where it was not asked
    """

    size: int
    points: Array
    coefficients: Array
    centre: Array
    splats: Array
    field: Array
    nearest_depth: Array
    mm_per_px: Array
    weight: Array
    votes: Array
    mirrored: tuple[bool, ...]
    grids: tuple[tuple["Crop", "Grid"], ...]
    limbs: tuple["HandAndArm | None", ...]

    @classmethod
    def joined(cls, several: "Sequence[FitTargets]") -> "FitTargets":
        """All images of several targets, in order. They must have the same settings and device."""
        first = several[0]
        xp = namespace_of(first.points)
        longest = max(each.splats.shape[1] for each in several)
        arrays = {name: [getattr(each, name) for each in several] for name in first.arrays()}
        arrays["splats"] = [
            xp.pad(each, ((0, 0), (0, longest - each.shape[1]), (0, 0)), constant_values=PADDING_Z)
            for each in arrays["splats"]
        ]
        return cls(
            size=first.size,
            mirrored=tuple(mirrored for each in several for mirrored in each.mirrored),
            grids=tuple(grid for each in several for grid in each.grids),
            limbs=tuple(limb for each in several for limb in each.limbs),
            **{name: xp.concatenate(parts) for name, parts in arrays.items()},
        )

    def arrays(self) -> dict[str, Array]:
        """The arrays, by name; the first axis of each is that of the images."""
        others = ("size", "mirrored", "grids", "limbs")
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in others}

    def with_arrays(self, arrays: dict[str, Array]) -> "FitTargets":
        """The same targets with all arrays elsewhere."""
        return FitTargets(size=self.size, mirrored=self.mirrored, grids=self.grids, limbs=self.limbs, **arrays)

    def part(self, start: int, end: int) -> "FitTargets":
        """Some of the images, whose arrays are views of these."""
        of = slice(start, end)
        arrays = {name: array[of] for name, array in self.arrays().items()}
        return FitTargets(
            size=self.size, mirrored=self.mirrored[of], grids=self.grids[of], limbs=self.limbs[of], **arrays
        )

    def seen_as(self, views: "Sequence[View]") -> "FitTargets":
        """The same targets to be scored against other readings of the same crops; their points stay as they are."""
        upright = _upright(views)
        return replace(
            self, grids=tuple(_grids(views, upright)), limbs=tuple(observation.limb for observation, _ in upright)
        )

    def target(self, radius: float) -> Array:
        """Observed closeness (I, S, S), splatted like the model (why: kernels/README.md)."""
        return render_depth(self.splats, radius, self.size)[0]


def build_targets(
    views: "Sequence[View]",
    spacing_mm: float,
    config: Config,
    rng: np.random.Generator,
    device: Device,
    dtype: type = np.float32,
    voted: "Mapping[int, VotedJoints] | None" = None,
) -> FitTargets:
    """Build the targets of several views (observation, crop, whether to mirror it).

    spacing_mm: mean distance of the model's vertices, at which observed points are drawn for the renderer. voted: where
    a network sees the joints of views, by their numbers
    """
    cropped = _upright(views)
    grids = _grids(views, cropped)
    parts = [
        _one_view(observation, crop, grid, spacing_mm, config, rng)
        for (observation, _), (crop, grid) in zip(cropped, grids, strict=True)
    ]
    for view, part in enumerate(parts):
        part["votes"] = _votes((voted or {}).get(view))
    longest = max(len(part["splats"]) for part in parts)
    for part in parts:
        padding = np.full((longest - len(part["splats"]), 3), PADDING_Z)
        part["splats"] = np.concatenate([part["splats"], padding])
    arrays = {name: to_device(np.stack([part[name] for part in parts]), device, dtype) for name in parts[0]}
    mirrored = tuple(mirror for _, _, mirror in views)
    limbs = tuple(observation.limb for observation, _ in cropped)
    return FitTargets(size=config.crop_px, mirrored=mirrored, grids=tuple(grids), limbs=limbs, **arrays)


def _grids(views: "Sequence[View]", upright: "Sequence[tuple[Observation, Crop]]") -> list[tuple["Crop", "Grid"]]:
    """Each upright view's crop and grid; seen as either hand, an observation has mirrored ones.

    Evidence is summed up in the order of the pixels, so that its grids are made one by one.
    """
    grids: list[tuple[Crop, Grid]] = []
    for index, ((given, crop, mirror), (observation, upright_crop)) in enumerate(zip(views, upright, strict=True)):
        twin = next(
            (
                other
                for other, (one, its_crop, flip) in enumerate(views[:index])
                if one is given and its_crop == crop and flip != mirror and given.evidence is None
            ),
            None,
        )
        grid = observation.grid(upright_crop) if twin is None else grids[twin][1].mirrored()
        grids.append((upright_crop, grid))
    return grids


def _upright(views: "Sequence[View]") -> list[tuple["Observation", "Crop"]]:
    """Views as a right hand sees them."""
    return [(o.mirrored(), crop.mirrored()) if mirror else (o, crop) for o, crop, mirror in views]


def _one_view(
    observation: "Observation",
    crop: "Crop",
    grid: "Grid",
    spacing_mm: float,
    config: Config,
    rng: np.random.Generator,
) -> dict[str, Floats]:
    points = np.asarray(observation.points_mm, np.float64)
    evidence = observation.point_evidence
    chance = None if evidence is None else evidence / evidence.sum(dtype=np.float64)
    coefficients = np.array(crop.coefficients, np.float64)
    free, hand, depth = grid.free, grid.hand, grid.depth_mm
    weight = np.where(hand, 1.0, np.where(free, config.free_weight, 0.0)) * (hand.size / max(1, hand.sum()))
    nearest = extreme_filter(np.where(hand, depth, np.float32(np.inf)), NEAREST_PX, largest=False)
    return {
        "points": points[rng.choice(len(points), config.points, replace=len(points) < config.points, p=chance)],
        "coefficients": coefficients,
        "centre": np.asarray(observation.center_mm),
        "splats": _project(_subsampled(points, spacing_mm), coefficients),
        "field": np.minimum(distance_inside(free), FARTHEST * len(free)) * crop.mm_per_px,
        "nearest_depth": np.where(hand, nearest, 0.0),
        "mm_per_px": np.asarray(crop.mm_per_px),
        "weight": weight,
    }


def _votes(voted: "VotedJoints | None") -> Floats:
    if voted is None:
        return np.zeros((len(KEYPOINT_JOINTS), 4))
    radius = np.maximum(voted.radius_mm, LEAST_RADIUS_MM)
    return np.concatenate([voted.places_mm, np.square(1 / radius)[:, None]], axis=1)


def _subsampled(points: Floats, spacing_mm: float) -> Floats:
    """The mean of the points in each occupied cell of a lattice."""
    x, y, z = np.floor(points / spacing_mm).astype(np.int64).T
    x, y, z = x - x.min(), y - y.min(), z - z.min()
    numbers = (x * (y.max() + 1) + y) * (z.max() + 1) + z
    if numbers.max() > MOST_CELLS:  # of a lattice that is nearly empty
        numbers = np.unique(numbers, return_inverse=True)[1]
    count = np.bincount(numbers)
    sums = np.stack([np.bincount(numbers, points[:, axis]) for axis in range(3)], axis=1)
    occupied = np.flatnonzero(count)
    return np.asarray(sums[occupied] / count[occupied, None])


def _project(points: Floats, coefficients: Floats) -> Floats:
    projected: Floats = project(np.ascontiguousarray(points[None]), np.ascontiguousarray(coefficients[None]))[0]
    return projected
