"""A file's mesh as one surface: seams joined, empty faces and unused vertices dropped, faces turned outward."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import RigError
from handopt.rig.model import MIN_VERTICES
from handopt.typing import Floats

WELD_TOLERANCE_MM: Final = 1e-3
_WELD_WEIGHT_TOLERANCE = 1e-3


def weld(
    positions_mm: Floats, faces: NDArray[np.int64], weights: Floats, where: str
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Join vertices at the same place with the same weights; drop empty faces and unused vertices; turn faces outward.

    Returns vertices (V, 3), faces (F, 3), the first original vertex of each, and notes.
    """
    if not np.isfinite(positions_mm).all():
        raise RigError(f"{where}: vertex {int(np.argwhere(~np.isfinite(positions_mm))[0, 0])} has no finite position")
    if len(positions_mm) < MIN_VERTICES or len(faces) == 0:
        raise RigError(f"{where}: too few vertices or faces: {len(positions_mm)} and {len(faces)}")
    labels = np.arange(len(positions_mm))
    pairs = _close_pairs(positions_mm, WELD_TOLERANCE_MM)
    alike = np.abs(weights[pairs[:, 0]] - weights[pairs[:, 1]]).max(axis=1, initial=0) <= _WELD_WEIGHT_TOLERANCE
    notes = []
    if not alike.all():
        notes.append(f"{np.count_nonzero(~alike)} pairs of coinciding vertices were not welded: their weights differ")
    pairs = pairs[alike]
    while (labels[pairs[:, 0]] != labels[pairs[:, 1]]).any():
        lowest = labels[pairs].min(axis=1)
        np.minimum.at(labels, pairs[:, 0], lowest)
        np.minimum.at(labels, pairs[:, 1], lowest)
    corners = labels[faces]
    corners = corners[(corners != np.roll(corners, 1, axis=1)).all(axis=1)]
    if not len(corners):
        raise RigError(f"{where}: none of the {len(faces)} faces has an area: two corners of each are one vertex")
    keep, flat = np.unique(corners, return_inverse=True)
    rest, welded = positions_mm[keep], flat.reshape(-1, 3)
    centred = (rest - rest.mean(axis=0))[welded]
    if np.einsum("ij,ij->", centred[:, 0], np.cross(centred[:, 1], centred[:, 2])) < 0:
        welded = welded[:, [0, 2, 1]]
        notes.append("the faces looked inward and were turned over")
    return rest, welded, keep, notes


def _close_pairs(points: Floats, tolerance: float) -> NDArray[np.int64]:
    """(N, 2) index pairs of points within the tolerance of each other: neighbours along a sweep direction."""
    sweep = points @ (np.array([0.48, 0.60, 0.64]))
    order = np.argsort(sweep, kind="stable")
    sweep = sweep[order]
    pairs = [np.empty((0, 2), np.int64)]
    for step in range(1, len(points)):
        near = np.flatnonzero(sweep[step:] - sweep[:-step] <= tolerance)
        if not len(near):
            break
        candidates = np.column_stack([order[near], order[near + step]])
        apart = np.linalg.norm(points[candidates[:, 0]] - points[candidates[:, 1]], axis=1)
        pairs.append(candidates[apart <= tolerance])
    return np.concatenate(pairs)
