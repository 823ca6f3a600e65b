"""Colour pictures of ROS bags: sensor_msgs/Image with 8 bits a channel, and CompressedImage of JPEG and PNG."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.errors import DepthError
from handopt.input.colour import SAME_ASPECT
from handopt.input.decode import check_shape
from handopt.typing import Bytes

CHANNELS: Final[Mapping[str, tuple[int, tuple[int, int, int]]]] = {
    "rgb8": (3, (0, 1, 2)), "bgr8": (3, (2, 1, 0)), "rgba8": (4, (0, 1, 2)), "bgra8": (4, (2, 1, 0)),
    "mono8": (1, (0, 0, 0)),
}  # fmt: skip
"""By encoding: bytes of a pixel, and which of them are red, green and blue."""


def shows_colour(message: Any) -> bool:
    """Whether an image message is a picture and no depth."""
    form: str | None = getattr(message, "format", None)
    if form is None:
        return str(message.encoding) in CHANNELS
    # "16UC1; png compressed" is depth that plain image transport has compressed
    if "compressedDepth" in form or form.strip().lower().startswith(("16uc1", "32fc1")):
        return False
    return any(kind in form.lower() for kind in ("jpeg", "jpg", "png"))


def shows_view_of(message: Any, depth: Any, shape: tuple[int, int]) -> bool:
    """Whether a picture is of the depth's view: in the same frame of coordinates, and of the same aspect ratio.

    message, depth: two image messages. shape: (H, W) of the depth. Registered depth is in the frame of the colour
    camera, as REP 118 and depth_image_proc have it. Raises DepthError for a picture that is damaged.
    """
    if message.header.frame_id != depth.header.frame_id:
        return False
    height, width = picture(message, "picture").shape[:2]
    return bool(abs(width * shape[0] / (height * shape[1]) - 1) <= SAME_ASPECT)


def picture(message: Any, name: str) -> Bytes:
    """The picture (H, W, 3) of a message for which `shows_colour` holds. Raises DepthError."""
    if hasattr(message, "format"):
        return _unpacked(bytes(message.data), name)
    pixel, order = CHANNELS[message.encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    check_shape(Path(name), (height, width))
    if step < width * pixel or len(message.data) < height * step:
        raise DepthError(f"{name}: has {len(message.data)} bytes, too few for {width} x {height} pixels of colour")
    rows = np.frombuffer(bytes(message.data[: height * step]), np.uint8).reshape(height, step)
    return rows[:, : width * pixel].reshape(height, width, pixel)[..., order]


def _unpacked(data: bytes, name: str) -> Bytes:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            check_shape(Path(name), (image.height, image.width))
            return np.array(image.convert("RGB"))
    except DepthError:
        raise
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise DepthError(f"{name}: the picture is damaged ({error})") from error
