"""Point clouds (.ply, .pcd, .npy N x 3) as depth images: points in front of a camera, one depth per pixel."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

import numpy as np

from handopt.errors import CameraError, DepthError
from handopt.files import UnreadableError, open_regular
from handopt.input.camera import Camera
from handopt.input.npy import read_npy_array, read_npy_header
from handopt.input.point_files import MAX_BYTES, Points, read_pcd, read_ply
from handopt.input.point_rays import lattice, on_lattice, turn_to_pixels
from handopt.typing import FloatImage, Floats

CLOUD_SUFFIXES: Final = frozenset({".ply", ".pcd"})
FARTHEST: Final = 1e6
"""Coordinates beyond this, in any unit, are no measurements."""
NEAREST_MM: Final = 1.0
"""Points that are nearer to the camera's plane than this have no place in an image, mm."""
FEWEST: Final = 16
"""Points from which a camera is derived, at least."""
METRES_BELOW: Final = 20.0
"""A cloud whose median distance is less is in metres, else in mm."""
IN_FRONT: Final = 0.9
"""Share of the points on one side of the camera that says where it looks."""
LEAST_FRONTAL: Final = 0.95
"""Cosine of the angle between the optical axis and the middle of points that lie on no camera's rays; beyond it the
camera is turned there, as it would see them stretched. By hand: 18 degrees."""
MAX_SIDE_PX: Final = 1280
SIZE_PX: Final = 32
"""Width and height of most depth images are multiples of it (640 x 480, 320 x 240 but for its rows)."""
LEAST_SLOPES: Final = (1.25, 0.95)
"""Width and height of the image of a cloud in focal lengths: of 640 x 480 pixels with a focal length up to 505."""
POINTS_PER_PX: Final = 0.75
"""Pixels per distance of neighbouring points, so that few pixels between them stay empty."""


@dataclass(frozen=True)
class Cloud:
    """Points in mm in the camera frame (N, 3), perhaps in rows (height, width), with what was assumed about them."""

    points_mm: Floats
    shape: tuple[int, int] | None
    unit_mm: float
    notes: tuple[str, ...]


def is_cloud(path: Path) -> bool:
    """Whether a file holds a point cloud: by its name, or by the shape of a .npy array."""
    suffix = path.suffix.lower()
    if suffix in CLOUD_SUFFIXES:
        return True
    if suffix != ".npy":
        return False
    try:
        with open_regular(path) as file:
            shape, _, dtype = read_npy_header(path, file)
    except (UnreadableError, DepthError, OSError):
        return False
    return dtype.kind == "f" and shape[-1:] == (3,) and len(shape) in (2, 3) and int(np.prod(shape[:-1])) > 3


def read_cloud(path: Path, unit: float | None = None) -> Cloud:
    """Read a point cloud. unit: mm per unit of its numbers, None to tell metres from mm by the distance.

    Points that are not finite, or at the origin, are no measurements. Raises DepthError.
    """
    try:
        with open_regular(path, MAX_BYTES) as file:
            found = _points(path, file)
    except UnreadableError as error:
        raise DepthError(f"{path}: {error}; check the path") from error
    with np.errstate(invalid="ignore"):
        points, notes = found.xyz.astype(np.float64), list(found.notes)
    points[np.abs(points) > FARTHEST] = np.nan  # also where an infinite number stands
    wrong = ~np.isfinite(points).all(axis=1) | ~points.any(axis=1)
    if wrong.all():
        raise DepthError(f"{path}: holds no point that is finite and not at the origin; export it again")
    if (lost := int((~np.isfinite(points)).any(axis=1).sum())) and found.shape is None:
        notes.append(f"{lost} points are not finite and count as no measurement.")
    points[wrong] = 0.0
    if found.viewpoint is not None:
        turn, place = found.viewpoint
        points[~wrong] = (points[~wrong] - place) @ turn
        notes.append("The points were put into the frame of the viewpoint that the file states.")
    distance = float(np.median(np.linalg.norm(points[~wrong], axis=1)))
    if unit is None:
        unit = 1000.0 if distance < METRES_BELOW else 1.0
        name = "metres" if unit == 1000.0 else "millimetres"
        notes.append(
            f"The points were assumed to be in {name}: half of them lie within {distance:.4g} (unit= changes this)."
        )
    points *= unit
    points[~wrong] = _facing(points[~wrong], notes)
    return Cloud(points, found.shape, unit, tuple(notes))


def as_depth(cloud: Cloud, path: Path, camera: Camera | None) -> tuple[FloatImage, Camera]:
    """The depth image of a cloud, in mm, and its camera. camera: through which it is seen, None for one that fits.

    A cloud in rows and columns, or one whose points lie on the rays of a pinhole camera, gives the very image that it
    was made of. Raises DepthError and CameraError.
    """
    points = cloud.points_mm
    front = points[:, 2] > NEAREST_MM
    if camera is not None:
        return _seen(points[front], camera), camera
    if cloud.shape is not None:
        fitted = _organised_camera(points, cloud.shape)
        if fitted is not None:
            return points[:, 2].clip(0).astype(np.float32).reshape(cloud.shape), fitted
    if front.sum() < FEWEST:
        raise DepthError(
            f"{path}: fewer than {FEWEST} of its points lie before a camera at their origin; export it again"
        )
    x, y = (points[front, axis] / points[front, 2] for axis in (0, 1))
    columns, rows = lattice(x), lattice(y)
    if columns is not None and rows is not None:
        (fx, left), (fy, top) = columns, rows
    else:
        fx = fy = _density(x, y)
        left, top = float(x.min()) * fx, float(y.min()) * fy
    (cx, width), (cy, height) = (
        _usual_axis(focal, round(first, 6), first + float(np.ptp(rays)) * focal, least)
        for focal, first, rays, least in ((fx, left, x, LEAST_SLOPES[0]), (fy, top, y, LEAST_SLOPES[1]))
    )
    if max(width, height) > 8 * MAX_SIDE_PX:
        raise DepthError(
            f"{path}: its points spread over {width} x {height} pixels: cut out what surrounds the hand, or give "
            "camera="
        )
    made = Camera(fx, fy, cx, cy, width, height, f"points of {path.name}")
    return _seen(points[front], made), made


def _usual_axis(focal_px: float, first_px: float, last_px: float, least_slope: float) -> tuple[float, int]:
    """Principal point and size, px, of an image as cameras make them, which holds columns (or rows) of a depth image.

    focal_px: of the axis. first_px, last_px: the outermost columns relative to the principal point. The image has a
    multiple of SIZE_PX columns about its principal point, and at least least_slope focal lengths of them. Fits take
    every n-th row and column, and look at how far the border is: in an image of another size, or cut closely around the
    points, the same points gave joints up to 2.5 mm away.
    """
    half = max(-first_px, last_px) + 0.5
    width = SIZE_PX * int(np.ceil(max(2 * half, min(least_slope * focal_px, MAX_SIDE_PX)) / SIZE_PX - 1e-6))
    middle = 0.5 * (width - 1)
    off = (-first_px - middle + 0.5) % 1.0 - 0.5  # columns lie on whole pixels
    if first_px + middle + off < -0.25 or last_px + middle + off > width - 0.75:
        width, middle = width + SIZE_PX, middle + SIZE_PX / 2
    return round(middle + off, 6), width


def cloud_image(path: Path, unit: float | None, camera: Camera | None) -> tuple[FloatImage, Camera, tuple[str, ...]]:
    """Read a point cloud as a depth image in mm, its camera, and what was assumed. Raises DepthError, CameraError."""
    cloud = read_cloud(path, unit)
    if camera is not None and camera.distortion is not None:
        camera = replace(camera, distortion=None)  # points have no distortion
    if camera is None:
        cloud = _centred(cloud)
    depth, made = as_depth(cloud, path, camera)
    if not (depth > 0).any():
        raise CameraError(f"{path}: none of its points lies in the image of the camera ({made.source}); change camera=")
    notes = list(cloud.notes)
    if camera is None:
        notes.append(
            f"The points are seen by a camera at their origin that looks along z, of {made.width} x {made.height} "
            f"pixels with focal lengths {made.fx:.5g} and {made.fy:.5g} (camera= changes this)."
        )
    return depth, made, tuple(notes)


def _points(path: Path, file: IO[bytes]) -> Points:
    head = file.read(6)
    file.seek(0)
    if head.startswith(b"ply"):
        return read_ply(path, file)
    if head.startswith(b"\x93NUMPY"):
        values = read_npy_array(path, file)
        shape = values.shape[:2] if values.ndim == 3 else None
        return Points(values.reshape(-1, 3), shape)
    return read_pcd(path, file)


def _facing(points: Floats, notes: list[str]) -> Floats:
    """Points (N, 3) in front of the camera, z forward, y down; what had to be turned for that goes into notes."""
    front = float((points[:, 2] > 0).mean())
    middle = _middle(points)
    if front >= IN_FRONT and middle[2] > 0.5:
        return points
    if front <= 1 - IN_FRONT and middle[2] < -0.5:
        notes.append("The points lie behind the camera, as where y is up and z backward: y and z were turned round.")
        return points * (1.0, -1.0, -1.0)
    turn = _turn_to(middle)
    notes.append(
        "The points do not lie before a camera that looks along z. The camera was assumed at their origin, turned to "
        f"their middle; results are in its frame, which is {_rows_of(turn)} times that of the points."
    )
    return np.asarray(points @ turn.T)


def _centred(cloud: Cloud) -> Cloud:
    """The cloud as the depth camera saw it that it was made with, else as one sees it that looks at its middle.

    It stays as it is where it is a depth image's by now, or where the middle is nearly on the optical axis.
    """
    known = cloud.points_mm[:, 2] > NEAREST_MM
    points = cloud.points_mm[known]
    if cloud.shape is not None or len(points) < FEWEST or on_lattice(points):
        return cloud
    middle = _middle(points)
    to_middle = _turn_to(middle)
    to_pixels = turn_to_pixels(points @ to_middle.T)
    if to_pixels is not None:
        turn = to_pixels @ to_middle
        why = "The points lie on the rays of a depth camera's pixels that is turned against them"
    elif middle[2] <= LEAST_FRONTAL:
        turn = to_middle
        why = f"The points lie {np.degrees(np.arccos(middle[2])):.0f} degrees off the optical axis"
    else:
        return cloud
    note = (
        f"{why}. The camera was turned; results are in its frame, {_rows_of(turn)} times the former one (camera= "
        "changes this)."
    )
    return replace(cloud, points_mm=cloud.points_mm @ turn.T, notes=(*cloud.notes, note))


def _middle(points: Floats) -> Floats:
    """The direction (3,) in which points (N, 3) lie, by their median."""
    middle = np.median(points / np.linalg.norm(points, axis=1, keepdims=True), axis=0)
    return np.asarray(middle / max(float(np.linalg.norm(middle)), 1e-9))


def _turn_to(middle: Floats) -> Floats:
    """The shortest rotation (3, 3) that brings a direction (3,) to the optical axis."""
    axis = np.cross(middle, (0.0, 0.0, 1.0))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / max(1 + float(middle[2]), 1e-9))


def _rows_of(matrix: Floats) -> str:
    return f"[{'; '.join(' '.join(f'{each:.6f}' for each in row) for row in matrix)}]"


def _seen(points: Floats, camera: Camera) -> FloatImage:
    """The depth image (H, W) of points before a camera; the nearest point of a pixel counts."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        places = np.rint(camera.project(points))
    inside = ((places >= 0) & (places < (camera.width, camera.height))).all(axis=1)
    pixels, z = places[inside].astype(np.int64), points[inside, 2]
    order = np.argsort(-z, kind="stable")
    depth = np.zeros((camera.height, camera.width), np.float32)
    depth[pixels[order, 1], pixels[order, 0]] = z[order]
    return depth


def _organised_camera(points: Floats, shape: tuple[int, int]) -> Camera | None:
    """The pinhole camera of points in rows and columns, by least squares; None where they are none of such a camera."""
    height, width = shape
    known = points[:, 2] > 0
    if known.sum() < 16:
        return None
    rows, columns = np.divmod(np.arange(len(points)), width)
    numbers = []
    for axis, place in ((0, columns[known]), (1, rows[known])):
        slope = points[known, axis] / points[known, 2]
        design = np.stack([slope, np.ones_like(slope)], axis=1)
        (focal, middle), *_ = np.linalg.lstsq(design, place.astype(np.float64), rcond=None)
        if focal < 1 or np.abs(design @ (focal, middle) - place).max() > 0.5:
            return None
        numbers.append((float(focal), float(middle)))
    (fx, cx), (fy, cy) = numbers
    return Camera(fx, fy, cx, cy, width, height, "rows and columns of the points")


def _density(x: Floats, y: Floats) -> float:
    """A focal length at which neighbouring points (N,) are about a pixel apart, in an image that is not too large."""
    from scipy.spatial import cKDTree

    places = np.stack([x, y], axis=1)
    some = places[:: max(1, len(places) // 5000)]
    apart = cKDTree(places).query(some, k=2)[0][:, 1]
    typical = float(np.median(apart[apart > 0])) if (apart > 0).any() else 1e-3
    widest = max(float(np.ptp(x)), float(np.ptp(y)), 1e-6)
    return float(np.clip(POINTS_PER_PX / typical, 64 / widest, MAX_SIDE_PX / widest))
