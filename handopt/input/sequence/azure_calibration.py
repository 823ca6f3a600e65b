"""The calibration in recordings of Azure Kinect, and of Orbbec's cameras through the same recorder, as cameras.

The recorder attaches it as calibration.json, https://learn.microsoft.com/azure/kinect-dk/record-file-format. Its
numbers are relative to the whole sensor, from the corner of its first pixel; a mode is a window of the sensor:
mode_specific_calibration.c of https://github.com/microsoft/Azure-Kinect-Sensor-SDK.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from handopt.errors import CameraError
from handopt.files import UnreadableError, parse_json
from handopt.input.camera import Camera
from handopt.input.distortion import Distortion
from handopt.typing import Bytes, FloatImage, Floats

NAME: Final = "calibration.json"
MAX_BYTES: Final = 1 << 20
DEPTH, COLOUR = "CALIBRATION_CameraLocationD0", "CALIBRATION_CameraLocationPV0"
MODEL: Final = "CALIBRATION_LensDistortionModelBrownConrady"
"""The name of a lens with OpenCV's rational distortion; no device is known to have another one."""
SOURCE: Final = "the calibration in the recording"
DEPTH_WINDOWS: Final = {
    (320, 288): (512, 96, 90),
    (640, 576): (1024, 192, 180),
    (512, 512): (512, 0, 0),
    (1024, 1024): (1024, 0, 0),
}
"""By width and height of the depth, px: sides of the sensor's image, and left and top of the window, px."""
_COUNT = 14


@dataclass(frozen=True)
class ColourView:
    """The colour camera of a recording, and how points get there: x_colour = rotation x_depth + translation_mm."""

    camera: Camera
    rotation: Floats
    translation_mm: Floats

    def registered(self, picture: Bytes, depth_mm: FloatImage, camera: Camera) -> Bytes:
        """The picture as the depth camera sees it, (H, W, 3); black where nothing is measured, or beyond the picture.

        picture: of the colour camera. camera: of depth_mm (H, W), without a lens. Each pixel takes the colour that its
        point has in the picture, also where something nearer hides the point from the colour camera.
        """
        height, width = picture.shape[:2]
        depth = np.nan_to_num(depth_mm)
        x, y, z = np.moveaxis(
            camera.backproject(depth).astype(np.float64) @ self.rotation.T + self.translation_mm, -1, 0
        )
        seen = (depth > 0) & (z > 0)
        x, y = (np.where(seen, each / np.where(seen, z, 1.0), 0.0) for each in (x, y))
        lens = self.camera.distortion
        x, y = (x, y) if lens is None else lens.distorted(x, y)
        column, row = np.rint(x * self.camera.fx + self.camera.cx), np.rint(y * self.camera.fy + self.camera.cy)
        seen &= (column >= 0) & (column < width) & (row >= 0) & (row < height)
        out = np.zeros((*depth.shape, 3), np.uint8)
        out[seen] = picture[row[seen].astype(np.int64), column[seen].astype(np.int64)]
        return out


def depth_camera(data: bytes, width: int, height: int) -> Camera:
    """The depth camera of a calibration for images of a size. Raises CameraError."""
    camera = _camera(data, DEPTH)
    window = DEPTH_WINDOWS.get((width, height))
    if window is None:
        raise CameraError(f"depth of {width} x {height} pixels is none of the camera's modes")
    side, left, top = window
    return _in_pixels(camera, (side, side), (left, top), (width, height))


def colour_view(data: bytes, width: int, height: int) -> ColourView:
    """The colour camera of a calibration for pictures of a size, 4:3 or 16:9. Raises CameraError."""
    camera = _camera(data, COLOUR)
    sensor = tuple(_number(camera.get(name), name) for name in ("SensorWidth", "SensorHeight"))
    if sensor[0] * 3 != sensor[1] * 4 or (width * 3 != height * 4 and width * 9 != height * 16):
        raise CameraError(f"pictures of {width} x {height} pixels are none of the camera's modes")
    whole = width * 3 // 4
    pinhole = _in_pixels(camera, (width, whole), (0, (whole - height) // 2), (width, height))
    placed = camera.get("Rt")
    if not isinstance(placed, Mapping):
        raise CameraError("Rt is missing")
    rotation = _numbers(placed.get("Rotation"), 9, "Rotation").reshape(3, 3)
    return ColourView(pinhole, rotation, _numbers(placed.get("Translation"), 3, "Translation") * 1000.0)


def _camera(data: bytes, location: str) -> Mapping[str, Any]:
    """The part of a calibration on one camera. Raises CameraError."""
    if len(data) > MAX_BYTES:
        raise CameraError(f"it has more than {MAX_BYTES} bytes")
    try:
        cameras = parse_json(data.rstrip(b"\0"))["CalibrationInformation"]["Cameras"]
        found = [each for each in cameras if each["Location"] == location]
    except (UnreadableError, KeyError, TypeError) as error:
        raise CameraError("it is no calibration of the recorder") from error
    if len(found) != 1 or not isinstance(found[0], Mapping):
        raise CameraError(f"it has {len(found)} cameras {location}, expected one")
    return found[0]


def _in_pixels(
    camera: Mapping[str, Any], sensor: tuple[int, int], corner: tuple[int, int], size: tuple[int, int]
) -> Camera:
    """A camera of a window of the sensor's image. Raises CameraError."""
    lens = camera.get("Intrinsics")
    if not isinstance(lens, Mapping) or lens.get("ModelType") != MODEL:
        raise CameraError(f"its lens is not of the model {MODEL}")
    cx, cy, fx, fy, k1, k2, k3, k4, k5, k6, x, y, p2, p1 = (
        float(each) for each in _numbers(lens.get("ModelParameters"), _COUNT, "ModelParameters")
    )
    if x or y:
        raise CameraError("its lens has a centre of distortion off the axis, which is not known here")
    return Camera(
        fx * sensor[0],
        fy * sensor[1],
        cx * sensor[0] - corner[0] - 0.5,
        cy * sensor[1] - corner[1] - 0.5,
        *size,
        SOURCE,
        distortion=Distortion.of("rational", (k1, k2, p1, p2, k3, k4, k5, k6)),
    )


def _numbers(values: Any, count: int, name: str) -> Floats:
    if not isinstance(values, list) or len(values) != count:
        raise CameraError(f"{name} has no {count} numbers")
    return np.array([_number(each, name) for each in values])


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e18:
        raise CameraError(f"{name} is {str(value)[:20]}, expected a finite number below 1e18")
    return float(value)
