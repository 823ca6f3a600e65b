"""Where palms may be: inscribed discs of every surface of a depth image, and places that the user gave."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handopt.input.camera import Camera
from handopt.observation.surfaces import LabelledDepth, Window, coarse_stride, open_window
from handopt.typing import BoolImage, FloatImage, Indices, LabelImage, Vector

DISTANCE_MM = (120.0, 3000.0)
PALM_RADIUS_MM = (12.0, 62.0)
TYPICAL_RADIUS_MM = 36.0
CENTER_REACH_MM = 60.0
CENTER_SURFACE_MM = 30.0
MIN_SURFACE_CM2 = 20.0
BOX_STEP_PX = 2
MAX_PALMS = 8
MAX_COARSE_PX = 16_000
MAX_TIP_PX = 3_000
PEAK_MM = 40.0
PALM_SPACING_MM = 30.0
TIP_TO_PALM_MM = (45.0, 125.0)
PIECE_CM2 = (0.15, 60.0)
FARTHER_CM2 = 40.0
PIECE_GAP_MM = (-100.0, 120.0)
HOLE_MM2 = 150.0
BACKGROUND_REACH_MM = 60.0
BACKGROUND_SLACK_MM = 15.0


@dataclass(frozen=True)
class PalmProposal:
    """A place where a palm may be: a point on the surface `label`, and the radius of the disc that fits there.

    at_end: proposed behind the tip of a limb, not where the disc is largest.
    """

    center_mm: Vector
    radius_mm: float
    label: int
    at_end: bool = False


def propose_palms(frame: LabelledDepth) -> list[PalmProposal]:
    """Propose palms on every surface that is large enough and at a distance where a hand can be measured."""
    from scipy.ndimage import find_objects

    large = np.flatnonzero(frame.area_cm2 >= MIN_SURFACE_CM2)
    renumber = np.zeros(len(frame.area_cm2), np.int32)
    renumber[large] = np.arange(1, len(large) + 1, dtype=np.int32)
    boxes = find_objects(np.take(renumber, frame.labels[::BOX_STEP_PX, ::BOX_STEP_PX]), max_label=len(large))
    palms: list[PalmProposal] = []
    for label, box in zip(large, boxes, strict=True):
        if box is not None:
            rows, columns = (slice(BOX_STEP_PX * side.start, BOX_STEP_PX * side.stop) for side in box)
            palms += _palms_on_surface(frame, int(label), (rows, columns))
    return palms


def inscribed_palm(frame: LabelledDepth) -> PalmProposal:
    """Return the palm at the largest inscribed disc of all that may be the hand."""
    rows, columns = np.nonzero(frame.labels)
    z = float(np.median(frame.depth_mm[rows, columns]))
    box = (slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1))
    window = _window_of_box(frame, box, z)
    surface = window.labels > 0
    radius = np.where(surface, _inscribed_radius(window, surface, z), 0.0)
    row, column = np.unravel_index(int(radius.argmax()), radius.shape)
    reach = 0.5 * float(radius[row, column]) + 5.0
    center = _on_surface(window, surface, int(row), int(column), reach)
    return PalmProposal(center, float(radius[row, column]), int(window.labels[row, column]))


def palms_at(frame: LabelledDepth, center: Vector) -> list[PalmProposal]:
    """Return the palms that may be meant by a pixel (u, v) or a point (x, y, z) in mm that the user gave.

    There is one on every surface that shows much of the 30 mm around it, for fingers may lie before the palm; the
    radius is a typical one. Empty where the nearest surface is farther away than 60 mm.
    """
    camera = frame.camera
    rows, columns = np.nonzero(frame.labels)
    z = frame.depth_mm[rows, columns]
    if len(center) == 2:
        distance = np.hypot((columns - center[0]) / camera.fx, (rows - center[1]) / camera.fy) * z
    else:
        offsets = _points(camera, rows, columns, z) - center
        distance = np.sqrt(np.einsum("ij,ij->i", offsets, offsets))
    if distance.min() > CENTER_REACH_MM:
        return []
    close = np.flatnonzero(distance <= max(CENTER_SURFACE_MM, float(distance.min()) + 1.0))
    labels = frame.labels[rows[close], columns[close]]
    palms = []
    for label in np.unique(labels):
        mine = close[labels == label]
        if 10 * len(mine) >= len(close):
            nearest = mine[distance[mine].argmin()]
            point = _points(camera, rows[nearest], columns[nearest], z[nearest])
            palms.append(PalmProposal(point * (float(np.median(z[mine])) / point[2]), TYPICAL_RADIUS_MM, int(label)))
    return palms


def _points(camera: Camera, rows: Indices, columns: Indices, z_mm: FloatImage) -> Vector:
    """Lift pixels to points (n, 3)."""
    z = np.asarray(z_mm, np.float64)
    return np.stack([(columns - camera.cx) / camera.fx * z, (rows - camera.cy) / camera.fy * z, z], axis=-1)


def _palms_on_surface(frame: LabelledDepth, label: int, box: tuple[slice, slice]) -> list[PalmProposal]:
    """Propose the local maxima of the inscribed disc and the discs behind the ends of a surface, largest disc first."""
    from scipy.ndimage import maximum_filter

    step = max(1, (box[0].stop - box[0].start) // 40)
    sample = np.s_[box[0].start : box[0].stop : step, box[1]]
    depths = frame.depth_mm[sample][frame.labels[sample] == label]
    z = float(np.median(depths)) if len(depths) else 0.0
    if not DISTANCE_MM[0] <= z <= DISTANCE_MM[1]:
        return []
    window = _window_of_box(frame, box, z)
    surface = window.labels == label
    own = np.array([label], np.int32)
    silhouette, _ = with_pieces(window.depth_mm, window.labels, frame.area_cm2, surface, own, window.pixel_mm(z))
    radius = _inscribed_radius(window, silhouette, z)
    plausible = surface & (radius >= PALM_RADIUS_MM[0]) & (radius <= PALM_RADIUS_MM[1])
    peak_px = max(3, round(PEAK_MM / window.pixel_mm(z))) | 1
    peaks = np.argwhere(plausible & (radius == maximum_filter(radius, peak_px)))
    ends = _behind_tips(window, surface, radius, plausible)
    found: list[PalmProposal] = []
    for at_end, places in ((False, peaks), (True, ends)):
        for row, column in places[np.argsort(-radius[places[:, 0], places[:, 1]], kind="stable")]:
            disc = float(radius[row, column])
            center = _on_surface(window, surface, row, column, 0.5 * disc + 5.0)
            if all(np.linalg.norm(center - palm.center_mm) > PALM_SPACING_MM for palm in found):
                found.append(PalmProposal(center, disc, label, at_end))
    return found[:MAX_PALMS]


def _window_of_box(frame: LabelledDepth, box: tuple[slice, slice], z_mm: float) -> Window:
    """Open a coarse window on a box of pixels with a margin; large boxes are seen more coarsely."""
    rows, columns = box
    area_px = (rows.stop - rows.start) * (columns.stop - columns.start)
    stride = max(coarse_stride(frame.camera, z_mm), int(np.ceil(np.sqrt(area_px / MAX_COARSE_PX))))
    margin = 8 * stride
    return open_window(
        frame, (rows.start - margin, rows.stop + margin), (columns.start - margin, columns.stop + margin), stride
    )


def _inscribed_radius(window: Window, silhouette: BoolImage, z_mm: float) -> NDArray[np.float64]:
    """Return (h, w) the radius in mm of the largest disc around each pixel within a silhouette without small holes."""
    from scipy.ndimage import distance_transform_edt

    filled = fill_holes(silhouette, HOLE_MM2 / window.pixel_mm(z_mm) ** 2)
    distance = distance_transform_edt(np.pad(filled, 1))[1:-1, 1:-1]
    return np.asarray(distance * (window.depth_mm * (window.stride / window.frame.camera.fx)))


def _behind_tips(window: Window, surface: BoolImage, radius: NDArray[np.float64], plausible: BoolImage) -> Indices:
    """Find the largest disc at a palm's distance behind both ends of the long axis and behind the nearest point.

    An end at the border of the image is none.
    """
    some = np.flatnonzero(surface)[:: max(1, np.count_nonzero(surface) // MAX_TIP_PX)]
    points, depth = window.points_mm.reshape(-1, 3)[some], window.depth_mm.ravel()[some]
    at_border = window.border.ravel()[some]
    offsets = points - points.mean(axis=0)
    along = offsets @ np.linalg.eigh(offsets.T @ offsets)[1][:, 2]
    targets = [(along, q) for q in np.percentile(along, (0.5, 99.5))] + [(depth, np.percentile(depth, 0.5))]
    places, discs = np.argwhere(plausible), radius[plausible]
    candidates = window.points_mm[plausible]
    ends = set()
    for tip in {int(np.abs(values - target).argmin()) for values, target in targets}:
        if at_border[tip]:
            continue
        distance = np.linalg.norm(candidates - points[tip], axis=1)
        behind = np.flatnonzero((distance > TIP_TO_PALM_MM[0]) & (distance < TIP_TO_PALM_MM[1]))
        if len(behind):
            ends.add(int(behind[discs[behind].argmax()]))
    return places[sorted(ends)]


def _on_surface(window: Window, surface: BoolImage, row: int, column: int, radius_mm: float) -> Vector:
    """Return the point of a pixel, moved along its ray to the median depth of the surface around it."""
    point = window.points_mm[row, column].astype(np.float64)
    reach = int(radius_mm / window.pixel_mm(float(point[2]))) + 1
    near = np.s_[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
    close = surface[near] & (np.abs(window.points_mm[near] - window.points_mm[row, column]).max(axis=-1) < radius_mm)
    return np.asarray(point * (float(np.median(window.depth_mm[near][close])) / point[2]))


def fill_holes(mask: BoolImage, max_px: float) -> BoolImage:
    """Fill the holes of a mask that have at most max_px pixels."""
    from scipy.ndimage import label

    holes, count = label(~mask)
    if count < 2:
        return mask
    small = np.bincount(holes.ravel()) <= max_px
    small[0] = False
    return np.asarray(mask | small[holes])


def with_pieces(
    depth_mm: FloatImage,
    labels: LabelImage,
    area_cm2: NDArray[np.float64],
    surface: BoolImage,
    own: LabelImage,
    pixel_mm: float,
) -> tuple[BoolImage, LabelImage]:
    """Add the small surfaces that adjoin a surface in the image: fingers that depth edges cut off from their hand.

    depth_mm, labels: (h, w), pixels of pixel_mm. area_cm2: (labels,). surface: (h, w) with the labels own: (n,). A
    piece has at most 60 cm2 and lies, where they meet, at most 120 mm nearer; or it has at most 40 cm2, lies at most
    100 mm farther, and does not continue a larger surface behind. Pieces of pieces follow once. Returns the mask and
    all labels in it.
    """
    from scipy.ndimage import maximum_filter

    for _ in range(2):
        beside = maximum_filter(np.where(surface, depth_mm, np.float32(0)), 5)
        ring = (beside > 0) & ~surface & (labels > 0)
        around, gaps = labels[ring], (beside - depth_mm)[ring]
        pieces = []
        farther = []
        for label in np.flatnonzero(np.bincount(around) >= 2).tolist():
            if not PIECE_CM2[0] <= area_cm2[label] <= PIECE_CM2[1] or label in own:
                continue
            gap = float(np.median(gaps[around == label]))
            if 0 <= gap < PIECE_GAP_MM[1]:
                pieces.append(label)
            elif PIECE_GAP_MM[0] < gap < 0 and area_cm2[label] <= FARTHER_CM2:
                farther.append(label)
        if farther:
            low, high = _background(depth_mm, labels, area_cm2, own, pixel_mm)
            continued = (depth_mm > low) & (depth_mm < high)
            pieces += [label for label in farther if continued[labels == label].mean() <= 0.5]
        if not pieces:
            break
        own = np.append(own, np.array(pieces, np.int32))
        surface = surface | np.isin(labels, pieces)
    return surface, own


def _background(
    depth_mm: FloatImage, labels: LabelImage, area_cm2: NDArray[np.float64], own: LabelImage, pixel_mm: float
) -> tuple[FloatImage, FloatImage]:
    """Return (h, w) the depths between which a pixel continues surfaces too large for a farther piece, 60 mm around.

    Surfaces of infinite area do not count: they are other parts of the hand's own.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    large = (area_cm2 > FARTHER_CM2) & np.isfinite(area_cm2)
    large[own] = False
    size = 2 * round(BACKGROUND_REACH_MM / pixel_mm) + 1
    there = large[labels]
    low = minimum_filter(np.where(there, depth_mm, np.float32(np.inf)), size) - np.float32(BACKGROUND_SLACK_MM)
    high = maximum_filter(np.where(there, depth_mm, np.float32(-np.inf)), size) + np.float32(BACKGROUND_SLACK_MM)
    return low, high
