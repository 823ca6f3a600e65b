"""The skeleton over a picture."""

from typing import TYPE_CHECKING

import numpy as np

from handopt.draw import colour
from handopt.typing import RGB, Bools, Integers, Reals

if TYPE_CHECKING:
    from PIL import Image

# All numbers were chosen by eye. Sizes in px of a panel of the overlay; `size` scales them.
OVERSAMPLING = 3
BONE_PX, BONE_RIM_PX = 3.4, 6.4  # width of a bone, and with its dark rim
JOINT_PX, JOINT_RIM_PX, JOINT_DOT_PX = 4.2, 5.4, 2.0  # radius of a joint, with its dark rim, and of its middle
HOLLOW_PX = 2.7  # radius of the dark middle of a joint that is hidden
MARK_PX = 7.0  # how far marks reach around a keypoint
FARTHEST_PANELS = 4  # what is farther away than so many panels is left out


def draw_skeleton(
    panel: "Image.Image", points: Reals, bones: Integers, size: float = 1.0, visible: Bools | None = None
) -> None:
    """Draw the hand's keypoints and bones over an RGB image, a colour per finger, anti-aliased by oversampling.

    points: (21, 2) pixels of the image, in the order of KEYPOINT_NAMES; what is not finite or far outside is left out.
    bones: (20, 2) indices of parent and child. size: of the strokes, 1 for panels of PANEL_PX. visible: (21,) whether
    the camera sees a joint; those that it does not see are hollow.
    """
    from PIL import Image, ImageDraw

    points = np.asarray(points)
    seen = [bool(np.abs(point).max() < FARTHEST_PANELS * max(panel.size)) for point in points]
    if not any(seen):
        return
    low, high = points[seen].min(axis=0) - MARK_PX * size, points[seen].max(axis=0) + MARK_PX * size
    left, top = (max(0, int(value)) for value in np.floor(low))
    right, bottom = (min(int(value), edge) for value, edge in zip(np.ceil(high), panel.size, strict=True))
    if left >= right or top >= bottom:
        return
    fine = OVERSAMPLING * (right - left), OVERSAMPLING * (bottom - top)
    part = panel.crop((left, top, right, bottom)).resize(fine, Image.Resampling.NEAREST)
    points = (points - (left, top)) * OVERSAMPLING
    draw, stroke = ImageDraw.Draw(part), size * OVERSAMPLING
    pairs = [(int(a), int(b)) for a, b in bones if seen[a] and seen[b]]
    for width, dark in ((BONE_RIM_PX, True), (BONE_PX, False)):
        for a, b in pairs:
            rgb = colour.PAPER if dark else _finger_colour(b)
            draw.line([tuple(points[a]), tuple(points[b])], rgb, max(round(width * stroke), 1))
    for index in (index for index in range(len(points)) if seen[index]):
        x, y = points[index]
        middle = (JOINT_DOT_PX, colour.OUTLINE) if visible is None or visible[index] else (HOLLOW_PX, colour.PAPER)
        for radius, rgb in ((JOINT_RIM_PX, colour.PAPER), (JOINT_PX, _finger_colour(index)), middle):
            reach = radius * stroke
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), rgb)
    panel.paste(part.reduce(OVERSAMPLING), (left, top))


def _finger_colour(keypoint: int) -> RGB:
    return colour.OUTLINE if keypoint == 0 else colour.FINGERS[(keypoint - 1) // 4]
