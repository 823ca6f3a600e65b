"""Where palms may be: inscribed discs of every surface of a depth image, and places that the user gave."""

from dataclasses import dataclass

import numpy as np

from handopt.input.camera import Camera
from handopt.observation.morphology import fill_holes
from handopt.observation.pieces import with_pieces
from handopt.observation.quantiles import median, percentile, percentiles
from handopt.observation.surfaces import LabelledDepth, Window, bounding_box, coarse_stride, open_window
from handopt.ops.surfaces import distance_inside, extreme_filter
from handopt.typing import BoolImage, Box, FloatImage, Floats, Indices, Vector

SAMPLED_PX = 4000
"""Pixels of which scattered places are chosen, about. By hand."""


@dataclass(frozen=True)
class PalmProposal:
    """A place where a palm may be: a point on the surface `label`, and the radius of the disc that fits there.

    at_end: proposed behind the tip of a finger or an arm, not where the disc is largest.
    """

    center_mm: Vector
    radius_mm: float
    label: int
    at_end: bool = False


def propose_palms(frame: LabelledDepth) -> list[PalmProposal]:
    """Propose palms on every surface that is large enough and at a distance where a hand can be measured."""
    config = frame.config.palm
    step = config.box_step_px
    coarse = np.ascontiguousarray(frame.labels[::step, ::step])
    proposals: list[PalmProposal] = []
    for label in np.flatnonzero(frame.area_cm2 >= config.min_surface_cm2):
        surface = coarse == label
        if surface.any():
            rows, columns = (slice(step * side.start, step * side.stop) for side in bounding_box(surface, 0))
            proposals += _proposals_on_surface(frame, int(label), (rows, columns))
    return proposals


def scattered_places(frame: LabelledDepth, apart_mm: float, most: int) -> Floats:
    """Points (N, 3) of all surfaces that may be the hand's, at least so far apart, the nearest to the camera first.

    Those of the mirror image are the mirrored ones, but for pixels opposite each other that are equally near.
    """
    step = 1 + np.count_nonzero(frame.labels) // SAMPLED_PX
    rows, columns = np.nonzero(frame.labels[::step])
    z = frame.depth_mm[::step][rows, columns]
    order = np.lexsort((rows, np.abs(2 * columns - (frame.labels.shape[1] - 1)), z))
    rows, columns, z = step * rows[order], columns[order], z[order]
    near, far = frame.config.palm.distance_mm
    left = _points(frame.camera, rows, columns, z)[(z >= near) & (z <= far)]
    places: list[Vector] = []
    while len(left) and len(places) < most:
        places.append(left[0])
        left = left[np.linalg.norm(left - left[0], axis=1) >= apart_mm]
    return np.array(places, np.float64).reshape(-1, 3)


def inscribed_palm(frame: LabelledDepth) -> PalmProposal:
    """Return the palm at the largest inscribed disc of all that may be the hand."""
    rows, columns = np.nonzero(frame.labels)
    z = median(frame.depth_mm[rows, columns])
    box = (slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1))
    window = _window_of_box(frame, box, z)
    surface = window.labels > 0
    radius = np.where(surface, _inscribed_radius(window, surface, z), -1.0)  # of thin lines all others are 0
    row, column = np.unravel_index(int(radius.argmax()), radius.shape)
    reach = 0.5 * float(radius[row, column]) + 5.0
    center = _on_surface(window, surface, int(row), int(column), reach)
    return PalmProposal(center, float(radius[row, column]), int(window.labels[row, column]))


def proposals_at(frame: LabelledDepth, center: Vector) -> list[PalmProposal]:
    """Return the palms that may be meant by a pixel (u, v) or a point (x, y, z) in mm that the user gave.

    There is one on every surface that shows much of what lies around it, for fingers may lie before the palm; the
    radius is a typical one. Empty if nothing is measured near it.
    """
    camera, config = frame.camera, frame.config.palm
    rows, columns = np.nonzero(frame.labels)
    z = frame.depth_mm[rows, columns]
    if len(center) == 2:
        distance = np.hypot((columns - center[0]) / camera.fx, (rows - center[1]) / camera.fy) * z
    else:
        offsets = _points(camera, rows, columns, z) - center
        distance = np.sqrt(np.einsum("ij,ij->i", offsets, offsets))
    if distance.min() > config.center_reach_mm:
        return []
    close = np.flatnonzero(distance <= max(config.center_surface_mm, float(distance.min()) + 1.0))
    labels = frame.labels[rows[close], columns[close]]
    proposals = []
    for label in np.unique(labels):
        mine = close[labels == label]
        if 10 * len(mine) >= len(close):
            nearest = mine[distance[mine].argmin()]
            point = _points(camera, rows[nearest], columns[nearest], z[nearest])
            center_mm = point * (float(np.median(z[mine])) / point[2])
            proposals.append(PalmProposal(center_mm, config.typical_radius_mm, int(label)))
    return proposals


def _points(camera: Camera, rows: Indices, columns: Indices, z_mm: FloatImage) -> Vector:
    """Lift pixels to points (n, 3)."""
    z = np.asarray(z_mm, np.float64)
    return np.stack([(columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z, z], axis=-1)


def _proposals_on_surface(frame: LabelledDepth, label: int, box: Box) -> list[PalmProposal]:
    """Propose the local maxima of the inscribed disc and the discs behind the ends of a surface, largest disc first."""
    config = frame.config.palm
    step = max(1, (box[0].stop - box[0].start) // 40)
    sample = np.s_[box[0].start : box[0].stop : step, box[1]]
    depths = frame.depth_mm[sample][frame.labels[sample] == label]
    z = median(depths) if len(depths) else 0.0
    if not config.distance_mm[0] <= z <= config.distance_mm[1]:
        return []
    window = _window_of_box(frame, box, z)
    surface = window.labels == label
    own = np.array([label], np.int32)
    pixel_mm = window.pixel_mm(z)
    silhouette, _ = with_pieces(
        window.depth_mm, window.labels, frame.area_cm2, surface, own, pixel_mm, frame.config.pieces
    )
    radius = _inscribed_radius(window, silhouette, z)
    plausible = surface & (radius >= config.radius_mm[0]) & (radius <= config.radius_mm[1])
    peak_px = max(3, round(config.peak_mm / pixel_mm)) | 1
    peaks = np.argwhere(plausible & (radius == extreme_filter(radius, peak_px, largest=True)))
    ends = _behind_tips(window, surface, radius, plausible)
    found: list[PalmProposal] = []
    for at_end, places in ((False, peaks), (True, ends)):
        for row, column in places[np.argsort(-radius[places[:, 0], places[:, 1]], kind="stable")]:
            disc = float(radius[row, column])
            center = _on_surface(window, surface, row, column, 0.5 * disc + 5.0)
            if all(np.linalg.norm(center - palm.center_mm) > config.spacing_mm for palm in found):
                found.append(PalmProposal(center, disc, label, at_end))
    return found[: config.max_proposals]


def _window_of_box(frame: LabelledDepth, box: Box, z_mm: float) -> Window:
    """Open a coarse window on a box of pixels with a margin; large boxes are seen more coarsely."""
    config = frame.config
    rows, columns = box
    area_px = (rows.stop - rows.start) * (columns.stop - columns.start)
    stride = max(
        coarse_stride(frame.camera, z_mm, config.surfaces),
        int(np.ceil(np.sqrt(area_px / config.palm.max_coarse_px))),
    )
    margin = 8 * stride
    return open_window(
        frame, (rows.start - margin, rows.stop + margin), (columns.start - margin, columns.stop + margin), stride
    )


def _inscribed_radius(window: Window, silhouette: BoolImage, z_mm: float) -> Floats:
    """Return (h, w) the radius in mm of the largest disc around each pixel within a silhouette without small holes."""
    filled = fill_holes(silhouette, window.frame.config.max_hole_mm2 / window.pixel_mm(z_mm) ** 2)
    distance = distance_inside(filled, border=True)
    return np.asarray(distance * (window.depth_mm * (window.stride / window.frame.camera.fx)))


def _behind_tips(window: Window, surface: BoolImage, radius: Floats, plausible: BoolImage) -> Indices:
    """Find the largest disc at a palm's distance behind both ends of the long axis and behind the nearest point.

    An end at the border of the image is none.
    """
    config = window.frame.config.palm
    some = np.flatnonzero(surface)[:: max(1, np.count_nonzero(surface) // config.max_tip_px)]
    points, depth = window.points_mm.reshape(-1, 3)[some], window.depth_mm.ravel()[some]
    at_border = window.border.ravel()[some]
    offsets = points - points.mean(axis=0)
    along = offsets @ np.linalg.eigh(offsets.T @ offsets)[1][:, 2]
    targets = [(along, q) for q in percentiles(along, (0.5, 99.5))] + [(depth, percentile(depth, 0.5))]
    places, discs = np.argwhere(plausible), radius[plausible]
    candidates = window.points_mm[plausible]
    ends = set()
    for tip in {int(np.abs(values - target).argmin()) for values, target in targets}:
        if at_border[tip]:
            continue
        square = np.square(candidates - points[tip])
        distance = np.sqrt(square[:, 0] + square[:, 1] + square[:, 2])
        behind = np.flatnonzero((distance > config.tip_to_palm_mm[0]) & (distance < config.tip_to_palm_mm[1]))
        if len(behind):
            ends.add(int(behind[discs[behind].argmax()]))
    return places[sorted(ends)]


def _on_surface(window: Window, surface: BoolImage, row: int, column: int, radius_mm: float) -> Vector:
    """Return the point of a pixel, moved along its ray to the median depth of the surface around it."""
    point = window.points_mm[row, column].astype(np.float64)
    reach = int(radius_mm / window.pixel_mm(float(point[2]))) + 1
    near = np.s_[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
    away = np.abs(window.points_mm[near] - window.points_mm[row, column])
    close = surface[near] & (np.maximum(np.maximum(away[..., 0], away[..., 1]), away[..., 2]) < radius_mm)
    return np.asarray(point * (median(window.depth_mm[near][close]) / point[2]))
