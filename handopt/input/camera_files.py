"""Camera files of other programs: a matrix, OpenCV, ROS camera_info, Open3D, COLMAP, RealSense."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.errors import CameraError
from handopt.files import UnreadableError, parse_json, read_bytes
from handopt.input.camera import Camera
from handopt.input.distortion import Distortion, Model

MAX_BYTES: Final = 16 * 2**20
FORMATS: Final = "a 3 x 3 matrix (text, .npy, JSON), OpenCV YAML or JSON, ROS camera_info, Open3D, COLMAP, RealSense"
COLMAP_CENTRE: Final = 0.5
"""Where COLMAP has the centre of the first pixel, https://colmap.github.io/cameras.html; handopt has it at 0."""
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?\.?(?:nan|inf)"
_ROS_MODELS: Final[Mapping[str, Model]] = {
    "": "brown", "none": "brown", "plumb_bob": "brown", "rational_polynomial": "rational", "equidistant": "fisheye",
    "fisheye": "fisheye",
}  # fmt: skip
_REALSENSE_MODELS: Final[Mapping[str, Model | None]] = {
    "none": "brown", "brown_conrady": "brown", "kannala_brandt4": "fisheye", "inverse_brown_conrady": None,
    "modified_brown_conrady": None, "ftheta": None,
}  # fmt: skip
# Of each model of COLMAP: places of fx, fy, cx, cy among its parameters, the lens, and places of its coefficients.
_COLMAP: Final[Mapping[str, tuple[tuple[int, ...], Model, tuple[int | None, ...]]]] = {
    "SIMPLE_PINHOLE": ((0, 0, 1, 2), "brown", ()),
    "PINHOLE": ((0, 1, 2, 3), "brown", ()),
    "SIMPLE_RADIAL": ((0, 0, 1, 2), "brown", (3,)),
    "RADIAL": ((0, 0, 1, 2), "brown", (3, 4)),
    "OPENCV": ((0, 1, 2, 3), "brown", (4, 5, 6, 7)),
    "FULL_OPENCV": ((0, 1, 2, 3), "rational", (4, 5, 6, 7, 8, 9, 10, 11)),
    "OPENCV_FISHEYE": ((0, 1, 2, 3), "fisheye", (4, 5, 6, 7)),
}


@dataclass(frozen=True)
class CameraFile:
    """A camera of another program. matrix: (3, 3), as nested tuples. size: width and height, None where unknown."""

    path: Path
    kind: str
    matrix: tuple[tuple[float, ...], ...]
    size: tuple[int, int] | None
    distortion: Distortion | None = None

    def camera(self, width: int | None = None, height: int | None = None) -> Camera:
        """The camera, for images of this size where the file does not say one. Raises CameraError."""
        (fx, skew, cx), (zero, fy, cy), last = self.matrix
        if zero or tuple(last) != (0, 0, 1):
            raise CameraError(f"{self.path}: its matrix is no camera matrix [fx 0 cx; 0 fy cy; 0 0 1]; change camera=")
        if abs(skew) > 1e-6 * abs(fx):
            raise CameraError(f"{self.path}: its matrix has a skew of {skew:g}, which is not supported; change camera=")
        size = self.size or ((width, height) if width and height else None)
        if size is None:
            raise CameraError(f"{self.path}: does not say the image size; give a camera= with width and height")
        note = f"The camera is from {self.path} ({self.kind})."
        return Camera(fx, fy, cx, cy, *size, str(self.path), (note,), self.distortion)


def read_camera_file(path: Path) -> CameraFile | None:
    """Read a camera file of another program; None where it is a JSON file that may be handopt's. Raises CameraError."""
    try:
        data = read_bytes(path, MAX_BYTES)
    except UnreadableError as error:
        raise CameraError(f"{path}: {str(error).removeprefix('is ')}; correct it or change camera=") from error
    try:
        return _read(path, data)
    except CameraError as error:
        text = str(error)
        raise CameraError(text if text.startswith(str(path)) else f"{path}: {text}") from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise CameraError(f"{path}: cannot be understood as a camera ({error}); change camera=") from error


def ros_camera(message: Any, topic: str, *, rectified: bool) -> Camera:
    """The camera of a message sensor_msgs/CameraInfo of ROS 1 or 2. rectified: of images without distortion.

    https://docs.ros.org/en/api/sensor_msgs/html/msg/CameraInfo.html: K and D are of the raw image, P of the rectified.
    Raises CameraError.
    """
    matrix, lens, projection = (
        np.asarray(getattr(message, key, getattr(message, key.upper(), ())), np.float64) for key in ("k", "d", "p")
    )
    if rectified and projection.size == 12:
        matrix, lens = projection.reshape(3, 4)[:, :3], np.zeros(0)
    try:
        file = _matrix(
            Path(topic), matrix, "ROS camera_info", (message.width, message.height),
            _lens(message.distortion_model, [] if rectified else list(lens)),
        )  # fmt: skip
        return file.camera()
    except CameraError as error:
        text = str(error)
        raise CameraError(text if text.startswith(topic) else f"{topic}: {text}") from error


def _read(path: Path, data: bytes) -> CameraFile | None:
    if data.startswith(b"\x93NUMPY"):
        with path.open("rb") as file:
            return _matrix(path, np.load(file, allow_pickle=False), "a matrix")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CameraError("is no text; " + _hint()) from None
    if text.lstrip()[:1] in ("{", "["):
        try:
            document = parse_json(text)
        except UnreadableError as error:
            raise CameraError(f"{error}; correct it or change camera=") from error
        return _of_json(path, document)
    if re.search(r"^\s*(camera_matrix|cameraMatrix|K|k|M1|distortion_model)\s*:", text, re.MULTILINE):
        return _of_yaml(path, text)
    if re.search(r"^\s*\d+\s+[A-Z][A-Z_0-9]+\s+\d+\s+\d+\s", text, re.MULTILINE):
        return _of_colmap(path, text)
    numbers = _numbers(re.sub(r"#.*", "", text))
    if len(numbers) == 9:
        return _matrix(path, np.array(numbers), "a matrix")
    raise CameraError("holds no camera; " + _hint())


def _hint() -> str:
    return f"camera= reads handopt's JSON, {FORMATS}"


def _matrix(path: Path, values: Any, kind: str, size: Any = None, distortion: Distortion | None = None) -> CameraFile:
    array = np.asarray(values, np.float64)
    if array.size != 9 or not np.isfinite(array).all():
        raise CameraError(f"holds a matrix of shape {array.shape}, expected 3 x 3 finite numbers; change camera=")
    rows = tuple(tuple(float(each) for each in row) for row in array.reshape(3, 3))
    whole = None if size is None or None in size else (int(size[0]), int(size[1]))
    return CameraFile(path, kind, rows, whole, distortion)


def _of_json(path: Path, document: Any) -> CameraFile | None:
    if isinstance(document, list):
        return _matrix(path, document, "a matrix") if np.size(np.array(document, object)) == 9 else None
    if not isinstance(document, dict):
        return None
    if document.get("class_name") == "PinholeCameraParameters" and isinstance(document.get("intrinsic"), dict):
        document = document["intrinsic"]
    if "intrinsic_matrix" in document:  # Open3D writes its matrix column by column
        matrix = np.asarray(document["intrinsic_matrix"], np.float64).reshape(3, 3).T
        return _matrix(path, matrix, "Open3D", (document["width"], document["height"]))
    if "ppx" in document:
        return _of_realsense(path, document)
    for key in ("camera_matrix", "cameraMatrix"):
        if isinstance(document.get(key), dict):
            lens = document.get("distortion_coefficients") or document.get("distCoeffs") or {}
            size = (document.get("image_width"), document.get("image_height"))
            return _matrix(path, document[key]["data"], "OpenCV", size, _lens(None, lens.get("data", [])))
    for key, coefficients in (("K", "D"), ("k", "d")):
        if key in document:
            lens = _lens(document.get("distortion_model"), document.get(coefficients) or [])
            kind = "ROS camera_info" if "distortion_model" in document else "a matrix"
            return _matrix(path, document[key], kind, (document.get("width"), document.get("height")), lens)
    return None


def _of_realsense(path: Path, document: Mapping[str, Any]) -> CameraFile:
    """Of librealsense's rs2_intrinsics: ppx, ppy, fx, fy, model, coeffs."""
    name = str(document.get("model", "none")).lower().removeprefix("distortion.").replace(" ", "_").replace("-", "_")
    coefficients = [float(each) for each in document.get("coeffs", [])]
    model = _REALSENSE_MODELS.get(name)
    if model is None and any(coefficients):
        raise CameraError(f"the lens model {name!r} of RealSense is not supported; undistort the images first")
    matrix = [[document["fx"], 0, document["ppx"]], [0, document["fy"], document["ppy"]], [0, 0, 1]]
    size = (document["width"], document["height"])
    return _matrix(path, matrix, "RealSense", size, Distortion.of(model or "brown", coefficients))


def _of_yaml(path: Path, text: str) -> CameraFile:
    """OpenCV's FileStorage and ROS's camera_info, of which only the few forms that they have are read."""
    found = {key: _value(text, key) for key in ("camera_matrix", "cameraMatrix", "K", "k", "M1")}
    matrix = next((values for values in found.values() if values), [])
    lens_keys = ("distortion_coefficients", "distCoeffs", "D", "d", "D1")
    lens = next((values for key in lens_keys if (values := _value(text, key))), [])
    size = [
        next((value for key in keys if (value := _scalar(text, key)) is not None), None)
        for keys in (("image_width", "width"), ("image_height", "height"))
    ]
    model = _scalar(text, "distortion_model")
    return _matrix(path, matrix, "OpenCV" if model is None else "ROS camera_info", size, _lens(model, lens))


def _value(text: str, key: str) -> list[float]:
    """The numbers of a key: inline, in a "data" below it, or as a list of lines that begin with "-"."""
    start = re.search(rf"^[ \t]*{key}[ \t]*:[ \t]*(?:!!\S+)?[ \t]*", text, re.MULTILINE)
    if start is None:
        return []
    rest = text[start.end() :]
    patterns: tuple[str, ...] = (
        r"\[([^\]]*)\]",
        r"\n(?:[ \t]+(?:rows|cols|dt|sizes|type_id):[^\n]*\n)*?[ \t]+data:\s*\[([^\]]*)\]",
        r"((?:\n[ \t]*-[ \t]*\S+)+)",
    )  # fmt: skip
    for pattern in patterns:
        if match := re.match(pattern, rest):
            return _numbers(re.sub(r"^[ \t]*-[ \t]+", "", match[1], flags=re.MULTILINE))
    return []


def _scalar(text: str, key: str) -> str | None:
    match = re.search(rf"^[ \t]*{key}[ \t]*:[ \t]*([^\s#\[]+)", text, re.MULTILINE)
    return match[1].strip("\"'") if match else None


def _numbers(text: str) -> list[float]:
    return [float(each.replace(".nan", "nan").replace(".inf", "inf")) for each in re.findall(_NUMBER, text)]


def _lens(model: str | None, values: Sequence[float]) -> Distortion | None:
    known = "" if model is None else str(model).lower()
    if known not in _ROS_MODELS:
        raise CameraError(f"the distortion model {model!r} is not known; the known ones are {', '.join(_ROS_MODELS)}")
    return Distortion.of(_ROS_MODELS[known], [float(each) for each in np.ravel(values)])


def _of_colmap(path: Path, text: str) -> CameraFile:
    rows = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(rows) != 1:
        raise CameraError(f"holds {len(rows)} cameras of COLMAP; leave the one of the depth images in it")
    _, name, width, height, *parameters = rows[0]
    if name not in _COLMAP:
        raise CameraError(
            f"the camera model {name} of COLMAP is not supported; the known ones are {', '.join(_COLMAP)}"
        )
    places, model, lens = _COLMAP[name]
    fx, fy, cx, cy = (float(parameters[place]) for place in places)
    matrix = [[fx, 0, cx - COLMAP_CENTRE], [0, fy, cy - COLMAP_CENTRE], [0, 0, 1]]
    values = [float(parameters[place]) for place in lens if place is not None]
    return _matrix(path, matrix, "COLMAP", (width, height), Distortion.of(model, values))
