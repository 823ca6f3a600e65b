"""A file's mesh as one surface: seams joined, empty faces and unused vertices dropped, faces turned outward."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import RigError
from handopt.typing import Floats

WELD_TOLERANCE_MM: Final = 1e-3
_WELD_WEIGHT_TOLERANCE = 1e-3
_LONGEST_SWEEP: Final = 64
_MOST_PAIRS: Final = 20  # for each vertex; a seam has two or three vertices in one place
_CHUNK: Final = 65_536


def weld(
    positions_mm: Floats, faces: NDArray[np.int64], weights: Floats, where: str
) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Join vertices at the same place with the same weights; drop empty faces and unused vertices; turn faces outward.

    Returns vertices (V, 3), faces (F, 3), the first original vertex of each, and notes.
    """
    pairs = _close_pairs(positions_mm, WELD_TOLERANCE_MM, where)
    alike = _alike(weights, pairs)
    notes = []
    if not alike.all():
        notes.append(f"{np.count_nonzero(~alike)} pairs of coinciding vertices were not welded: their weights differ")
    labels = _components(len(positions_mm), pairs[alike])
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


def _close_pairs(points: Floats, tolerance: float, where: str) -> NDArray[np.int64]:
    """(N, 2) index pairs of points within the tolerance of each other. Raises RigError where they are too many.

    They are neighbours along a sweep direction; where many points are no neighbours but beside each other in it, a tree
    finds them.
    """
    sweep = points @ (np.array([0.48, 0.60, 0.64]))
    order = np.argsort(sweep, kind="stable")
    sweep = sweep[order]
    pairs = [np.empty((0, 2), np.int64)]
    for step in range(1, len(points)):
        near = np.flatnonzero(sweep[step:] - sweep[:-step] <= tolerance)
        if not len(near):
            break
        if step > _LONGEST_SWEEP:
            return _pairs_of_tree(points, tolerance, where)
        candidates = np.column_stack([order[near], order[near + step]])
        apart = np.linalg.norm(points[candidates[:, 0]] - points[candidates[:, 1]], axis=1)
        pairs.append(candidates[apart <= tolerance])
    return np.concatenate(pairs)


def _pairs_of_tree(points: Floats, tolerance: float, where: str) -> NDArray[np.int64]:
    from scipy.spatial import cKDTree

    _, copies = np.unique(points, axis=0, return_counts=True)
    count = int((copies * (copies - 1)).sum()) // 2  # what no tree can divide
    if count <= _MOST_PAIRS * len(points):
        tree = cKDTree(points)
        count = (int(tree.count_neighbors(tree, tolerance)) - len(points)) // 2
    if count > _MOST_PAIRS * len(points):
        raise RigError(
            f"{where}: {count} pairs of its {len(points)} vertices lie in the same places: "
            "merge them by distance in the modelling tool"
        )
    return np.asarray(tree.query_pairs(tolerance, output_type="ndarray"), np.int64).reshape(-1, 2)


def _alike(weights: Floats, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) whether the two vertices of a pair have the same weights."""
    result = np.empty(len(pairs), bool)
    for begin in range(0, len(pairs), _CHUNK):
        part = pairs[begin : begin + _CHUNK]
        apart = np.abs(weights[part[:, 0]] - weights[part[:, 1]]).max(axis=1, initial=0)
        result[begin : begin + _CHUNK] = apart <= _WELD_WEIGHT_TOLERANCE
    return result


def _components(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """(count,) the lowest index that each is joined to by pairs. Halving the paths keeps long chains of pairs fast."""
    labels = np.arange(count)
    while (labels[pairs[:, 0]] != labels[pairs[:, 1]]).any():
        ends = labels[pairs]
        lowest = ends.min(axis=1)
        for each in (pairs, ends):
            np.minimum.at(labels, each[:, 0], lowest)
            np.minimum.at(labels, each[:, 1], lowest)
        labels = labels[labels]
    return labels
