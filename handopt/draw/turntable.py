"""The turntable of `handopt model show`: a rig in its rest pose from eight sides, with its joints and bones."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from handopt.draw import colour
from handopt.draw.shading import shade
from handopt.input.camera import Camera
from handopt.typing import RGB, Floats

if TYPE_CHECKING:
    from PIL import Image

    from handopt.rig import Rig


# All numbers were chosen by eye.
VIEWS, COLUMNS = 8, 4  # views of a whole turn, and how many stand in a row
PANEL_PX = (300, 380)  # width and height of a panel, px
MARGIN_PX, GAP_PX = 24, 14  # around all panels, and between them, px
TITLE_PX, TITLE_LINE_PX, LICENCE_LINE_PX = 84, 42, 66  # height of the title, and where its lines of text stand, px
CAPTION_PX, CAPTION_LINE_PX, CAPTION_LEFT_PX = 32, 18, 4  # height of a caption, its line below its panel, its left, px
TITLE_FONT_PX, FACTS_FONT_PX, SMALL_FONT_PX = 24, 16, 13
SIZE_PX = (
    2 * MARGIN_PX + COLUMNS * PANEL_PX[0] + (COLUMNS - 1) * GAP_PX,
    TITLE_PX + VIEWS // COLUMNS * (PANEL_PX[1] + CAPTION_PX) + MARGIN_PX // 2,
)

OVERSAMPLING, BONE_OVERSAMPLING = 2, 4  # of the shaded hand, and of the bones
FILL = 0.9  # share of a panel that the hand fills in the view that needs most room
DISTANCE = 4.0  # of the camera, in radii of the hand
TILT_RAD = np.radians(12.0)  # how far the camera looks down, rad
BONE_PX, BONE_RIM_PX = 2.4, 4.4  # width of a bone, and with its dark rim, px
JOINT_PX, JOINT_RIM_PX, JOINT_DOT_PX = 3.4, 4.4, 1.5  # radius of a joint, with its dark rim, and of its middle, px
BONE_ALPHA = 215  # opacity of bones, of 255; half of it for their rims
NAMED_SHARE = 0.5  # cosine from which on a side of the hand that faces the camera is named

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
        camera = self._camera
        numbers = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
        shaded = shade(points, normals, self._rig.faces, numbers)
        picture = Image.fromarray(shaded).resize(PANEL_PX, Image.Resampling.BOX)
        pixels = self._camera.project(self._joints @ turn.T + self._shift)
        self._draw_skeleton(picture, (np.asarray(pixels) + 0.5) / OVERSAMPLING)
        return picture

    def caption(self, view: int) -> str:
        """The angle of a view, and which side of the hand faces the camera."""
        little, back, _ = (_turn(view) @ _PALM_FIRST).T @ (0.0, 0.0, -1.0)
        if self._rig.side == "left":
            little = -little
        shares = {"palm": -back, "back": back, "little finger": little, "thumb": -little}
        return f"{view * 360 // VIEWS}°   {' and '.join(name for name, share in shares.items() if share > NAMED_SHARE)}"

    def _framing(self) -> Camera:
        """The camera whose image all the views fill, hand upright and centred, at OVERSAMPLING times PANEL_PX."""
        posed = np.concatenate([self._vertices @ _turn(view).T + self._shift for view in range(VIEWS)])
        slopes = posed[:, :2] / posed[:, 2:]
        low, high = slopes.min(axis=0), slopes.max(axis=0)
        size = np.array(PANEL_PX) * OVERSAMPLING
        focal = float(FILL * (size / (high - low)).min())
        cx, cy = size / 2 - 0.5 - focal * (low + high) / 2
        return Camera(focal, focal, float(cx), float(cy), int(size[0]), int(size[1]), "turntable")

    def _draw_skeleton(self, picture: "Image.Image", joints: Floats) -> None:
        """Draw bones and keypoints (21, 2) over a panel, a colour per finger, as if the flesh were glass."""
        from PIL import Image, ImageDraw

        fine = BONE_OVERSAMPLING
        layer = Image.new("RGBA", (picture.width * fine, picture.height * fine), (*colour.PAPER, 0))
        draw = ImageDraw.Draw(layer)
        for wide, dark in ((BONE_RIM_PX, True), (BONE_PX, False)):
            for parent, child in self._rig.bones:
                ink = colour.PAPER if dark else _finger(int(child))
                ends = [tuple(joints[parent] * fine), tuple(joints[child] * fine)]
                draw.line(ends, (*ink, BONE_ALPHA // 2 if dark else BONE_ALPHA), round(wide * fine))
        for index, (x, y) in enumerate(joints * fine):
            for radius, ink in (
                (JOINT_RIM_PX, colour.PAPER), (JOINT_PX, _finger(index)), (JOINT_DOT_PX, colour.OUTLINE),
            ):  # fmt: skip
                reach = radius * fine
                draw.ellipse((x - reach, y - reach, x + reach, y + reach), (*ink, 255))
        layer = layer.resize(picture.size, Image.Resampling.BOX)
        picture.paste(layer, (0, 0), layer)


def draw_turntable(rig: "Rig", progress: Callable[[], None] = lambda: None) -> "Image.Image":
    """Draw a rig in its rest pose from eight sides, 45 degrees apart; an RGB image of SIZE_PX.

    progress: called after each side.
    """
    from PIL import Image, ImageDraw

    canvas = Image.new("RGB", SIZE_PX, colour.PAPER)
    draw = ImageDraw.Draw(canvas)
    room = SIZE_PX[0] - 2 * MARGIN_PX
    name = colour.fitting(rig.name, TITLE_FONT_PX, room / 2)
    draw.text((MARGIN_PX, TITLE_LINE_PX), name, colour.INK, colour.font(TITLE_FONT_PX), anchor="ls")
    facts = (
        f"{rig.side} hand  ·  {len(rig.rest_mm)} vertices  ·  {len(rig.faces)} faces  ·  {len(rig.joint_names)} joints"
    )
    draw.text((SIZE_PX[0] - MARGIN_PX, TITLE_LINE_PX), facts, colour.INK, colour.font(FACTS_FONT_PX), anchor="rs")
    licence, small = colour.fitting(rig.licence, SMALL_FONT_PX, room), colour.font(SMALL_FONT_PX)
    draw.text((MARGIN_PX, LICENCE_LINE_PX), licence, colour.FAINT_INK, small, anchor="ls")
    table = Turntable(rig)
    for view in range(VIEWS):
        x = MARGIN_PX + view % COLUMNS * (PANEL_PX[0] + GAP_PX)
        y = TITLE_PX + view // COLUMNS * (PANEL_PX[1] + CAPTION_PX)
        canvas.paste(table.panel(view), (x, y))
        place = (x + CAPTION_LEFT_PX, y + PANEL_PX[1] + CAPTION_LINE_PX)
        draw.text(place, table.caption(view), colour.FAINT_INK, small, anchor="ls")
        progress()
    return canvas


def write_turntable(rig: "Rig", path: Path, progress: Callable[[], None] = lambda: None) -> None:
    """Write the turntable as PNG. progress: called after each side."""
    draw_turntable(rig, progress).save(path, format="PNG", compress_level=6)


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
