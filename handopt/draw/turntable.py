"""The turntable of `handopt model show`: a rig in its rest pose from eight sides, with its joints and bones."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from handopt.draw import colour
from handopt.input.camera import Camera
from handopt.ops.rasterise import rasterise
from handopt.typing import RGB, Bytes, Floats, Integers

if TYPE_CHECKING:
    from PIL import Image

    from handopt.rig import Rig


VIEWS = 8
COLUMNS = 4
PANEL_PX = (300, 380)
MARGIN_PX = 24
GAP_PX = 14
TITLE_PX = 84
CAPTION_PX = 32
SIZE_PX = (
    2 * MARGIN_PX + COLUMNS * PANEL_PX[0] + (COLUMNS - 1) * GAP_PX,
    TITLE_PX + VIEWS // COLUMNS * (PANEL_PX[1] + CAPTION_PX) + MARGIN_PX // 2,
)

OVERSAMPLING = 2
FILL = 0.9
DISTANCE = 4.0
TILT_RAD = np.radians(12.0)
SAME_SURFACE_MM = 0.5
BONE_ALPHA = 215

SKIN = np.array([0.90, 0.65, 0.53])
KEY_LIGHT = np.array([-0.50, -0.62, -0.60])
FILL_LIGHT = np.array([0.80, 0.10, -0.58])
GAMMA = 1.25
CREVICE_PX = 9.0
CREVICE_MM = 14.0

# The wrist's frame (fingers along -z, back of the hand +y) to a camera that sees the palm with the fingers up.
_PALM_FIRST = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])


class Turntable:
    """A rig before a camera that all the views share, lengths in mm."""

    def __init__(self, rig: "Rig") -> None:
        self._rig = rig
        upright = _PALM_FIRST @ rig.bind[0, :, :3].T
        vertices = rig.rest_mm @ upright.T
        middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
        self._vertices = vertices - middle
        self._normals = rig.normals @ upright.T
        self._joints = rig.keypoints_mm @ upright.T - middle
        self._shift = np.array([0.0, 0.0, DISTANCE * np.linalg.norm(self._vertices, axis=1).max()])
        self._camera = self._framing()

    def share_scale(self, other: "Turntable") -> None:
        """Show both hands at the same scale, that of the one that needs more room."""
        far = np.maximum(self._shift, other._shift)
        for table in (self, other):
            table._shift = far
        cameras = self._framing(), other._framing()
        focal = min(camera.fx for camera in cameras)
        for table, camera in zip((self, other), cameras, strict=True):
            middle = np.array([camera.width, camera.height]) / 2 - 0.5
            offset = (np.array([camera.cx, camera.cy]) - middle) * focal / camera.fx
            cx, cy = (float(value) for value in middle + offset)
            table._camera = replace(camera, fx=focal, fy=focal, cx=cx, cy=cy)

    def panel(self, view: float) -> "Image.Image":
        """The picture of one view, RGB of PANEL_PX; view 0 shows the palm, VIEWS are a whole turn."""
        from PIL import Image

        turn = _turn(view)
        points, normals = self._vertices @ turn.T + self._shift, self._normals @ turn.T
        depth, seen = self._surface(points, normals)
        picture = Image.fromarray(_shade(self._camera, depth, seen)).resize(PANEL_PX, Image.Resampling.BOX)
        pixels = self._camera.project(self._joints @ turn.T + self._shift)
        self._draw_skeleton(picture, (np.asarray(pixels) + 0.5) / OVERSAMPLING)
        return picture

    def caption(self, view: int) -> str:
        """The angle of a view, and which side of the hand faces the camera."""
        little, back, _ = (_turn(view) @ _PALM_FIRST).T @ (0.0, 0.0, -1.0)
        if self._rig.side == "left":
            little = -little
        shares = {"palm": -back, "back": back, "little finger": little, "thumb": -little}
        return f"{view * 360 // VIEWS}°   {' and '.join(name for name, share in shares.items() if share > 0.5)}"

    def _framing(self) -> Camera:
        """The camera whose image all the views fill, hand upright and centred, at OVERSAMPLING times PANEL_PX."""
        posed = np.concatenate([self._vertices @ _turn(view).T + self._shift for view in range(VIEWS)])
        slopes = posed[:, :2] / posed[:, 2:]
        low, high = slopes.min(axis=0), slopes.max(axis=0)
        size = np.array(PANEL_PX) * OVERSAMPLING
        focal = float(FILL * (size / (high - low)).min())
        cx, cy = size / 2 - 0.5 - focal * (low + high) / 2
        return Camera(focal, focal, float(cx), float(cy), int(size[0]), int(size[1]), "turntable")

    def _surface(self, points: Floats, normals: Floats) -> tuple[Floats, Floats]:
        """Depth (H, W) in mm, 0 where there is none, and the interpolated unit normal (H, W, 3) of what is seen."""
        camera = self._camera
        numbers = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
        depth = rasterise(points[None], self._rig.faces, numbers)[0]
        pixels = np.asarray(camera.project(points))
        a, b, c = pixels[self._rig.faces].transpose(1, 0, 2)
        faces = self._rig.faces[_doubled_area(b - a, c - a) != 0]
        face, column, row = _pixels_in_boxes(pixels[faces], camera.width, camera.height)
        weights = _barycentric(pixels[faces][face], column, row)
        inside = (weights >= -1e-9).all(axis=1)
        face, column, row, weights = face[inside], column[inside], row[inside], weights[inside]
        corner_z = points[faces[face], 2]
        weights /= corner_z
        z = 1.0 / weights.sum(axis=1)
        shown = np.abs(z - depth[row, column]) < SAME_SURFACE_MM
        seen = np.zeros((*depth.shape, 3))
        seen[row[shown], column[shown]] = np.einsum("nk,nkc->nc", weights[shown], normals[faces[face[shown]]])
        return depth, _unit(seen)

    def _draw_skeleton(self, picture: "Image.Image", joints: Floats) -> None:
        """Draw bones and keypoints (21, 2) over a panel, a colour per finger, as if the flesh were glass."""
        from PIL import Image, ImageDraw

        fine = 4
        layer = Image.new("RGBA", (picture.width * fine, picture.height * fine), (*colour.PAPER, 0))
        draw = ImageDraw.Draw(layer)
        for wide, dark in ((4.4, True), (2.4, False)):
            for parent, child in self._rig.bones:
                ink = colour.PAPER if dark else _finger(int(child))
                ends = [tuple(joints[parent] * fine), tuple(joints[child] * fine)]
                draw.line(ends, (*ink, BONE_ALPHA // 2 if dark else BONE_ALPHA), round(wide * fine))
        for index, (x, y) in enumerate(joints * fine):
            for radius, ink in ((4.4, colour.PAPER), (3.4, _finger(index)), (1.5, colour.OUTLINE)):
                reach = radius * fine
                draw.ellipse((x - reach, y - reach, x + reach, y + reach), (*ink, 255))
        layer = layer.resize(picture.size, Image.Resampling.BOX)
        picture.paste(layer, (0, 0), layer)


def draw_turntable(rig: "Rig") -> "Image.Image":
    """Draw a rig in its rest pose from eight sides, 45 degrees apart; an RGB image of SIZE_PX."""
    from PIL import Image, ImageDraw

    canvas = Image.new("RGB", SIZE_PX, colour.PAPER)
    draw = ImageDraw.Draw(canvas)
    room = SIZE_PX[0] - 2 * MARGIN_PX
    draw.text((MARGIN_PX, 42), colour.fitting(rig.name, 24, room / 2), colour.INK, colour.font(24), anchor="ls")
    facts = (
        f"{rig.side} hand  ·  {len(rig.rest_mm)} vertices  ·  {len(rig.faces)} faces  ·  {len(rig.joint_names)} joints"
    )
    draw.text((SIZE_PX[0] - MARGIN_PX, 42), facts, colour.INK, colour.font(16), anchor="rs")
    draw.text((MARGIN_PX, 66), colour.fitting(rig.licence, 13, room), colour.FAINT_INK, colour.font(13), anchor="ls")
    table = Turntable(rig)
    for view in range(VIEWS):
        x = MARGIN_PX + view % COLUMNS * (PANEL_PX[0] + GAP_PX)
        y = TITLE_PX + view // COLUMNS * (PANEL_PX[1] + CAPTION_PX)
        canvas.paste(table.panel(view), (x, y))
        draw.text((x + 4, y + PANEL_PX[1] + 18), table.caption(view), colour.FAINT_INK, colour.font(13), anchor="ls")
    return canvas


def write_turntable(rig: "Rig", path: Path) -> None:
    """Write the turntable as PNG."""
    draw_turntable(rig).save(path, format="PNG", compress_level=6)


def _finger(keypoint: int) -> RGB:
    return colour.OUTLINE if keypoint == 0 else colour.FINGERS[(keypoint - 1) // 4]


def _turn(view: float) -> Floats:
    """Rotation (3, 3) of a view about the vertical, seen from slightly above."""
    angle = 2 * np.pi * view / VIEWS
    cos, sin = np.cos(angle), np.sin(angle)
    about_y = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    cos, sin = np.cos(TILT_RAD), np.sin(TILT_RAD)
    rotation: Floats = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]]) @ about_y
    return rotation


def _pixels_in_boxes(corners: Floats, width: int, height: int) -> tuple[Integers, Integers, Integers]:
    """Face, column and row of every pixel centre in the bounding box of each triangle (F, 3, 2) in pixels."""
    low = np.maximum(np.ceil(corners.min(axis=1)), 0).astype(np.int64)
    high = np.minimum(np.floor(corners.max(axis=1)), (width - 1, height - 1)).astype(np.int64)
    sides = np.maximum(high - low + 1, 0)
    counts = sides.prod(axis=1)
    face = np.repeat(np.arange(len(corners)), counts)
    offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    row, column = np.divmod(offset, sides[face, 0])
    return face, column + low[face, 0], row + low[face, 1]


def _barycentric(corners: Floats, column: Integers, row: Integers) -> Floats:
    """Barycentric coordinates (N, 3) of pixels in triangles (N, 3, 2) that have an area."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    p = np.stack([column, row], axis=1)
    areas = [_doubled_area(b - p, c - p), _doubled_area(c - p, a - p), _doubled_area(a - p, b - p)]
    weights: Floats = np.stack(areas, axis=1) / _doubled_area(b - a, c - a)[:, None]
    return weights


def _doubled_area(first: Floats, second: Floats) -> Floats:
    return np.asarray(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])


def _shade(camera: Camera, depth: Floats, normals: Floats) -> Bytes:
    """Colour (H, W, 3) of a matt surface under two lights, its rim bright and its crevices dark."""
    surface = depth > 0
    normal = normals[surface]
    towards = _unit(-camera.backproject(depth)[surface].astype(np.float64))
    key, fill = _unit(KEY_LIGHT), _unit(FILL_LIGHT)
    facing = np.clip(np.einsum("nc,nc->n", normal, towards), 0, 1)
    light = 0.17 + 0.78 * np.clip(0.85 * normal @ key + 0.15, 0, 1) + 0.20 * np.clip(normal @ fill, 0, 1)
    gloss = 0.16 * np.clip(np.einsum("nc,nc->n", normal, _unit(towards + key)), 0, 1) ** 24
    rim = 0.22 * (1 - facing) ** 3
    linear = SKIN * (light * _crevices(depth)[surface])[:, None] + (gloss + rim)[:, None]
    picture = np.empty((*depth.shape, 3), np.uint8)
    picture[:] = colour.EMPTY
    picture[surface] = np.rint(255 * np.clip(linear, 0, 1) ** (1 / GAMMA))
    return picture


def _crevices(depth: Floats) -> Floats:
    """Factor (H, W) up to 1: darker where a pixel lies behind its surroundings on the surface."""
    from scipy.ndimage import gaussian_filter

    coarse = depth[::OVERSAMPLING, ::OVERSAMPLING]
    share = gaussian_filter((coarse > 0).astype(np.float64), CREVICE_PX)
    around = gaussian_filter(coarse, CREVICE_PX) / np.maximum(share, 1e-9)
    enlarged = np.repeat(np.repeat(around, OVERSAMPLING, axis=0), OVERSAMPLING, axis=1)
    return np.asarray(1.0 - 0.5 * np.clip((depth - enlarged) / CREVICE_MM, 0.0, 1.0))


def _unit(vectors: Floats) -> Floats:
    """Vectors (..., 3) of length 1; zero stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0))
