"""On which rays the points of a cloud lie: those of a depth image keep its pixels, however the cloud was turned."""

from typing import Final

import numpy as np

from handopt.typing import Floats, Indices

LATTICE_PX: Final = 0.05
"""How far columns and rows may be off whole numbers where a cloud is a depth image, px. Float32 text is off 0.01."""
_ASKED: Final = 20_000
"""Points whose neighbours are looked at."""
_FEWEST_PAIRS: Final = 100
_APART: Final = 1.36
"""Neighbours in a row or column are nearer than this, in usual distances of the nearest one; those across are 1.41 off.
It is also how far pixels may be from squares."""
_ALONG: Final = tuple(np.cos(np.radians([30.0, 10.0, 2.0, 0.5])))
"""Neighbours are seen along rows or columns up to these angles, more narrowly the better the turn is known."""


def lattice(values: Floats) -> tuple[float, float] | None:
    """Focal length, and the place of the smallest value in pixels, where values X/Z are those of whole pixels."""
    ordered = np.unique(values)
    steps = np.diff(ordered)
    steps = steps[steps > 1e-5]
    if len(steps) < 8:
        return None
    small = np.percentile(steps, 20)
    step = float(np.median(steps[steps < 1.5 * small]))
    for reach in (8, 32, 128, 512, 4096):  # a longer stretch makes the step more precise, and the next one countable
        near = ordered[ordered - ordered[0] < reach * step]
        counted = np.rint((near - near[0]) / step)
        if counted[-1] > 0:
            step = float(((near - near[0]) @ counted) / (counted @ counted))
    places = (ordered - ordered[0]) / step
    off = np.abs(places - np.rint(places))
    if np.percentile(off, 95) > LATTICE_PX:
        return None
    return 1.0 / step, float(ordered[0]) / step


def on_lattice(points: Floats) -> bool:
    """Whether points (N, 3) before a camera lie on the rays of its pixels."""
    return all(lattice(points[:, axis] / points[:, 2]) is not None for axis in (0, 1))


def turn_to_pixels(points: Floats) -> Floats | None:
    """The rotation (3, 3) after which points (N, 3) lie on the rays of a camera's pixels; None where there is none.

    A row of pixels lies in a plane through the camera, and the planes of all rows share the direction of the rows; so
    do those of the columns. Of the four ways to hold such a camera it is the one that turns least. None as well where
    some z is not above 0.
    """
    if not (points[:, 2] > 0).all():
        return None
    rays = points / np.linalg.norm(points, axis=1, keepdims=True)
    first, second = _neighbours(points)
    if len(first) < _FEWEST_PAIRS:
        return None
    turn = np.eye(3)
    for along in _ALONG:
        turned = rays @ turn.T
        axes = _axes(turned[first], turned[second], along)
        if axes is None:
            return None
        turn = _least_turn(*axes, np.median(turned, axis=0)) @ turn
    turned = points @ turn.T
    return turn if (turned[:, 2] > 0).all() and on_lattice(turned) else None


def _neighbours(points: Floats) -> tuple[Indices, Indices]:
    """Points that are neighbours as they are seen, mostly in a row or a column: the numbers of each two."""
    from scipy.spatial import cKDTree

    places = points[:, :2] / points[:, 2:]
    asked = np.arange(0, len(places), max(1, len(places) // _ASKED))
    apart, near = cKDTree(places).query(places[asked], k=5)
    known = (apart[:, 1:] > 0) & (apart[:, 1:] < _APART * np.median(apart[:, 1]))
    return np.repeat(asked, 4)[known.ravel()], near[:, 1:].ravel()[known.ravel()]


def _axes(first: Floats, second: Floats, along: float) -> tuple[Floats, Floats] | None:
    """The directions (3,) of rows and columns, by the rays (N, 3) of neighbours; None where too few are in either.

    along: least cosine between the two of a row or column and its direction, as they are seen.
    """
    across = second[:, :2] / second[:, 2:] - first[:, :2] / first[:, 2:]
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    # Rows and columns are at right angles: four times their angle is the same.
    angle = np.angle(np.mean((across[:, 0] + 1j * across[:, 1]) ** 4)) / 4
    axes = []
    for direction in (angle, angle + np.pi / 2):
        chosen = np.abs(across @ (np.cos(direction), np.sin(direction))) > along
        if chosen.sum() < _FEWEST_PAIRS:
            return None
        normals = np.cross(first[chosen], second[chosen])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        axes.append(np.linalg.eigh(normals.T @ normals)[1][:, 0])
    return axes[0], axes[1]


def _least_turn(one: Floats, other: Floats, middle: Floats) -> Floats:
    """The rotation (3, 3) to axes along and across rows, given by direction alone, that turns least."""
    left, _, right = np.linalg.svd(np.stack([one, other], axis=1), full_matrices=False)
    one, other = (left @ right).T  # at right angles, each moved as little as the other
    ways = []
    for x, y in ((one, other), (other, -one), (-one, -other), (-other, one)):
        z = np.cross(x, y)
        ways.append(np.stack([x, y, z]) if z @ middle > 0 else np.stack([x, -y, -z]))
    return max(ways, key=np.trace)
