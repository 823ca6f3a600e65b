"""The skin of a hand's digits at rest: how far its points lie from each finger's end, and the folds between fingers.

A digit's ray is the polyline of its joints, from the wrist to the tip. Every point of the skin belongs to the nearest
ray, whatever its weights; the fold between two digits is where their parts of the skin meet farthest from the wrist.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.rig.joints import DIGITS
from handopt.rig.model import Rig
from handopt.typing import Floats, Ints

_SLAB: Final = 0.12
"""Half thickness of a cross-section as a share of the digit's length beyond its folds. By hand."""
_SPLIT: Final = 4
"""Parts of each edge of a face that is sampled, so that coarse meshes have points in every cross-section."""
_LEAST_POINTS: Final = 6


@dataclass(frozen=True, eq=False)
class DigitSurface:
    """A digit of a rest mesh. Lengths are mm from the end of its skin backwards along its ray.

    ray: (n, 3) joints from the wrist on; end: arc length of the ray at the skin's end; length: from there to the
    fold(s) beside the digit; points: (P, 3) of its skin; reach: (P,) of each point.
    """

    ray: Floats
    end: float
    length: float
    points: Floats
    reach: Floats

    def place(self, reach: float) -> Floats:
        """The point (3,) of the ray at a length from the end of the skin; straight on beyond both ends."""
        arcs = _arcs(self.ray)
        row = int(np.clip(np.searchsorted(arcs, self.end - reach) - 1, 0, len(arcs) - 2))
        along = (self.ray[row + 1] - self.ray[row]) / (arcs[row + 1] - arcs[row])
        return np.asarray(self.ray[row] + (self.end - reach - arcs[row]) * along)

    def reach_of(self, point: Floats) -> float:
        """How far a point (3,) is from the end of the skin."""
        return float(self.end - _along(point[None], self.ray)[0][0])

    def middle(self, reach: float, across: Floats) -> tuple[Floats, Floats]:
        """Middle (2,) and half size (2,) of the cross-section at a length, from the ray, along directions (2, 3)."""
        away = np.abs(self.reach - reach)
        near = np.flatnonzero(away <= _SLAB * self.length)
        if len(near) < _LEAST_POINTS:
            near = np.argsort(away)[:_LEAST_POINTS]
        spread = (self.points[near] - self.place(reach)) @ across.T
        low, high = spread.min(axis=0), spread.max(axis=0)
        return (low + high) / 2, (high - low) / 2


def digit_surfaces(rig: Rig) -> tuple[DigitSurface, ...] | None:
    """The five digits of a rig, thumb first; None where the skin of two neighbours does not meet in a fold."""
    keypoints = rig.bind[rig.keypoint_joints, :, 3]
    rays = [keypoints[[0, *range(4 * digit + 1, 4 * digit + 5)]] for digit in range(len(DIGITS))]
    points, edges = _sampled(rig)
    arcs = np.empty((len(rays), len(points)))
    apart = np.empty_like(arcs)
    for digit, ray in enumerate(rays):
        arcs[digit], apart[digit] = _along(points, ray)
    nearest = apart.argmin(axis=0)
    ends = [float(arcs[digit, nearest == digit].max(initial=0)) for digit in range(len(rays))]
    first, second = nearest[edges].T
    folds: list[list[float]] = [[] for _ in rays]
    for digit in range(len(rays) - 1):
        met = edges[((first == digit) & (second == digit + 1)) | ((first == digit + 1) & (second == digit))].ravel()
        if not len(met):
            return None
        for each in (digit, digit + 1):
            if (digit, each) != (0, 1):  # the fold of the thumb says nothing about the index finger
                folds[each].append(float(ends[each] - arcs[each, met].max()))
    surfaces = []
    for digit, ray in enumerate(rays):
        own = np.equal(nearest, digit)
        length = float(np.mean(folds[digit]))
        if not 0 < length < ends[digit]:
            return None
        surfaces.append(DigitSurface(ray, ends[digit], length, points[own], ends[digit] - arcs[digit, own]))
    return tuple(surfaces)


def _sampled(rig: Rig) -> tuple[Floats, Ints]:
    """Points (P, 3) of the skin and pairs (E, 2) of neighbours among them."""
    steps = [(i, j) for i in range(_SPLIT + 1) for j in range(_SPLIT + 1 - i)]
    shares = np.array([(i, j, _SPLIT - i - j) for i, j in steps]) / _SPLIT
    number = {step: row for row, step in enumerate(steps)}
    pairs = [
        (number[i, j], number[near])
        for i, j in steps
        for near in ((i + 1, j), (i, j + 1), (i + 1, j - 1))
        if near in number
    ]
    points = np.einsum("sc,fcd->fsd", shares, rig.rest_mm[rig.faces]).reshape(-1, 3)
    edges = np.arange(len(rig.faces))[:, None, None] * len(steps) + np.array(pairs)
    return points, edges.reshape(-1, 2)


def _arcs(ray: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(ray, axis=0), axis=1))])


def _along(points: Floats, ray: Floats) -> tuple[Floats, Floats]:
    """Arc length (P,) of each point's foot on a ray, whose last bone goes on for ever, and its distance (P,)."""
    starts, best, arc = _arcs(ray), np.full(len(points), np.inf), np.zeros(len(points))
    for row in range(len(ray) - 1):
        bone = ray[row + 1] - ray[row]
        length = float(np.linalg.norm(bone))
        reach = (points - ray[row]) @ bone / length
        last, only = row == len(ray) - 2, row == 0
        reach = np.clip(reach, -np.inf if only else 0, np.inf if last else length)
        away = np.linalg.norm(points - ray[row] - np.outer(reach, bone / length), axis=1)
        nearer = away < best
        best, arc = np.where(nearer, away, best), np.where(nearer, starts[row] + reach, arc)
    return arc, best
