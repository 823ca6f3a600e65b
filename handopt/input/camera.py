"""Pinhole cameras: intrinsics by name, from a file, from four numbers, or from a JSON file beside the image."""

import json
import math
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handopt.assets import asset
from handopt.errors import CameraError, ShapeError

MAX_JSON_BYTES = 16 * 2**20
MAX_SIDE_PX = 1_000_000
_NUMBERS = ("fx", "fy", "cx", "cy")
_KEYS = (*_NUMBERS, "width", "height")
_UNIT_NAMES_MM = {"um": 0.001, "mm": 1.0, "cm": 10.0, "m": 1000.0}


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: u = fx X/Z + cx, v = fy Y/Z + cy, integer coordinates at pixel centres.

    fx, fy, cx, cy: pixels. width, height: image size in pixels. The principal point may lie outside the image (a crop).
    source: where the numbers come from. assumptions: sentences on what was assumed about them. Raises CameraError.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    source: str = "given"
    assumptions: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Check the numbers and turn NumPy scalars into Python's own."""
        for key in _NUMBERS:
            object.__setattr__(self, key, _number(getattr(self, key), key))
        for key in ("width", "height"):
            size = _number(getattr(self, key), key)
            if not (size.is_integer() and 1 <= size <= MAX_SIDE_PX):
                raise CameraError(f"{key} is {size:g}, expected a whole number of pixels; change --camera")
            object.__setattr__(self, key, int(size))
        for key in ("fx", "fy"):
            focal = getattr(self, key)
            if focal < 1.0:
                hint = " (relative to the image size? multiply it by the size)" if focal > 0.0 else ""
                raise CameraError(f"{key} is {focal:g}, expected a focal length in pixels{hint}; change --camera")

    def project(self, points: ArrayLike) -> NDArray[np.floating[Any]]:
        """Project camera-frame points (..., 3) in mm to pixels (..., 2); NaN where z <= 0. Raises ShapeError."""
        xyz = np.asarray(points)
        if xyz.ndim == 0 or xyz.shape[-1] != 3:
            raise ShapeError(f"points: expected shape (..., 3), got {xyz.shape}")
        xyz = xyz.astype(np.result_type(xyz.dtype, np.float32), copy=False)
        z = np.where(xyz[..., 2] > 0, xyz[..., 2], np.nan)
        return np.stack([self.fx * xyz[..., 0] / z + self.cx, self.fy * xyz[..., 1] / z + self.cy], axis=-1)

    def backproject(self, depth_mm: ArrayLike) -> NDArray[np.float32]:
        """Lift a depth image (height, width) in mm to points (height, width, 3) float32, mm; depth 0 gives the origin.

        Raises CameraError where the image has another size than the camera.
        """
        z = np.asarray(depth_mm, dtype=np.float32)
        if z.shape != (self.height, self.width):
            raise CameraError(
                f"the depth image has shape {z.shape}, but the camera ({self.source}) is for "
                f"{self.width} x {self.height} pixels; change --camera"
            )
        x = (np.arange(self.width) - self.cx) / self.fx
        y = (np.arange(self.height) - self.cy) / self.fy
        return np.stack([z * x.astype(np.float32), z * y.astype(np.float32)[:, None], z], axis=-1)

    def cropped(self, x0: int, y0: int, width: int, height: int) -> "Camera":
        """Return the camera of the crop whose top left pixel is (x0, y0); it may reach beyond the image."""
        return replace(self, cx=self.cx - x0, cy=self.cy - y0, width=width, height=height)

    def mirrored(self) -> "Camera":
        """Return the camera of the mirror image, of columns W - 1 - u.

        The new cx is rounded to 11 decimals, so that mirroring twice returns a number with as many as that to the bit.
        """
        return replace(self, cx=round(self.width - 1 - self.cx, 11))

    def sized(self, width: int, height: int) -> "Camera":
        """Return the camera for an image of this size: itself, or scaled where the aspect ratio is the same.

        Raises CameraError where it is not, for a crop cannot be told from its size.
        """
        if (width, height) == (self.width, self.height):
            return self
        scale_x, scale_y = width / self.width, height / self.height
        if abs(self.height * scale_x - height) >= 1.0 and abs(self.width * scale_y - width) >= 1.0:
            raise CameraError(
                f"the image has {width} x {height} pixels, but the camera ({self.source}) is for {self.width} x "
                f"{self.height}: another aspect ratio, so the image is probably a crop; give the crop's own intrinsics "
                "with --camera, as fx,fy,cx,cy or as a JSON file"
            )
        note = (
            f"The camera ({self.source}) is for {self.width} x {self.height} pixels; its intrinsics were scaled to "
            f"{width} x {height}, as if the whole image had been resized."
        )
        return replace(
            self,
            fx=self.fx * scale_x,
            fy=self.fy * scale_y,
            cx=(self.cx + 0.5) * scale_x - 0.5,
            cy=(self.cy + 0.5) * scale_y - 0.5,
            width=width,
            height=height,
            assumptions=(*self.assumptions, note),
        )

    def to_dict(self) -> dict[str, float | int]:
        """Return {fx, fy, cx, cy, width, height}, as JSON has it."""
        return {key: getattr(self, key) for key in _KEYS}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "given") -> "Camera":
        """Build a camera from a mapping with fx, fy, cx, cy, width, height. Raises CameraError."""
        missing = [key for key in _KEYS if key not in data]
        if missing:
            raise CameraError(f"no {', '.join(missing)} in the camera; --camera needs {', '.join(_KEYS)}")
        return cls(**{key: data[key] for key in _KEYS}, source=source)


@dataclass(frozen=True)
class Preset:
    """A camera known by name. unit_mm: mm per count of the sensor's usual files."""

    name: str
    camera: Camera
    unit_mm: float
    source: str


@dataclass(frozen=True)
class Sidecar:
    """What JSON files beside an image say about it; None where they say nothing.

    unit_mm: mm per count. hand: "right" or "left". notes: one sentence for each of "camera", "unit" and "hand" found.
    """

    path: Path
    camera: Camera | None = None
    unit_mm: float | None = None
    hand: str | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


@cache
def presets() -> dict[str, Preset]:
    """Return the cameras known by name, from assets/cameras.toml."""
    with asset("cameras.toml").open("rb") as file:
        table = tomllib.load(file)
    return {
        name: Preset(name, Camera.from_dict(row, f"preset {name}"), float(row["unit_mm"]), row["source"])
        for name, row in table.items()
    }


def load_camera(spec: str | Path, width: int | None = None, height: int | None = None) -> Camera:
    """Return the camera that --camera names: a preset, a JSON file, or "fx,fy,cx,cy".

    width, height: size of the image in pixels, where it is known; the camera is scaled to it if need be, and the four
    numbers alone need it. Raises CameraError.
    """
    text = str(spec).strip()
    preset = _preset(text)
    if preset is not None:
        note = f"The camera is the preset {preset.name}: {preset.source}."
        camera = replace(preset.camera, assumptions=(note,))
    elif "," in text and not _exists(text):
        return _camera_from_numbers(text, width, height)
    elif text.lower().endswith(".json") or _exists(text):
        camera = _require_camera(Path(text))
    else:
        raise CameraError(
            f"--camera {text!r} is no preset, no JSON file and not fx,fy,cx,cy; the presets are {', '.join(presets())}"
        )
    return camera if width is None or height is None else camera.sized(width, height)


def unit_of(spec: str | Path) -> float | None:
    """Return the mm per count that goes with a --camera value (preset or JSON file), or None. Raises CameraError."""
    text = str(spec).strip()
    preset = _preset(text)
    if preset is not None:
        return preset.unit_mm
    found = _read_sidecar(Path(text)) if _exists(text) else None
    return None if found is None else found.unit_mm


def hand_of(spec: str | Path) -> str | None:
    """Return the hand that the JSON file of a --camera value names, 'right' or 'left', or None. Raises CameraError."""
    text = str(spec).strip()
    found = _read_sidecar(Path(text)) if _preset(text) is None and _exists(text) else None
    return None if found is None else found.hand


def sidecar(image: str | Path) -> Sidecar | None:
    """Return what `<stem>.json` and then `camera.json` beside an image say, the first one that says it, or None.

    Raises CameraError where one of them is malformed.
    """
    image = Path(image)
    names = dict.fromkeys((image.with_suffix(".json"), image.with_name("camera.json")))
    found = [each for path in names if path.is_file() and (each := _read_sidecar(path)) is not None]
    if not found:
        return None
    merged = found[-1]
    for each in reversed(found[:-1]):
        merged = Sidecar(
            path=each.path,
            camera=each.camera or merged.camera,
            unit_mm=merged.unit_mm if each.unit_mm is None else each.unit_mm,
            hand=each.hand or merged.hand,
            notes={**merged.notes, **each.notes},
        )
    return merged


def camera_beside(image: str | Path) -> Camera | None:
    """Return the camera that a JSON file beside an image gives, or None. Raises CameraError where it is malformed."""
    found = sidecar(image)
    return None if found is None else found.camera


def _number(value: Any, key: str) -> float:
    """Return a finite float, or raise CameraError naming the key."""
    try:
        number = math.nan if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise CameraError(f"{key} is {_short(value)}, expected a number; change --camera")
    return number


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _exists(text: str) -> bool:
    try:
        return bool(text) and Path(text).exists()
    except OSError:
        return False


def _preset(text: str) -> Preset | None:
    return presets().get(text.lower().replace("_", "-"))


def _camera_from_numbers(text: str, width: int | None, height: int | None) -> Camera:
    parts = text.split(",")
    if len(parts) != len(_NUMBERS):
        raise CameraError(f"--camera {text!r} has {len(parts)} numbers, expected four: fx,fy,cx,cy in pixels")
    try:
        fx, fy, cx, cy = (float(part) for part in parts)
    except ValueError:
        raise CameraError(f"--camera {text!r} is not four numbers fx,fy,cx,cy in pixels") from None
    if width is None or height is None:
        raise CameraError(f"--camera {text!r} does not say the image size; give a JSON file with width and height")
    return Camera(fx, fy, cx, cy, width, height, source=f"--camera {text}")


def _require_camera(path: Path) -> Camera:
    found = _read_sidecar(path)
    if found is None or found.camera is None:
        raise CameraError(f"{path}: holds no camera; --camera needs a JSON object with {', '.join(_KEYS)}")
    return found.camera


def _read_sidecar(path: Path) -> Sidecar | None:
    """Read camera, unit and hand from a JSON file; None where it is about something else. Raises CameraError."""
    data = _read_json(path)
    if not isinstance(data, dict):
        return None
    notes = {}
    try:
        camera = _sidecar_camera(data, path)
        unit_mm = _sidecar_unit(data)
        hand = _sidecar_hand(data)
    except CameraError as error:
        raise CameraError(f"{path}: {error} (mend the file, or give --camera and --unit)") from error
    if camera is not None:
        notes["camera"] = f"The camera's intrinsics are from {path}."
    if unit_mm is not None:
        notes["unit"] = f"One count is {unit_mm:g} mm, as {path} says."
    if hand is not None:
        notes["hand"] = f"The hand is a {hand} hand, as {path} says."
    return Sidecar(path, camera, unit_mm, hand, notes) if notes else None


def _sidecar_camera(data: dict[str, Any], path: Path) -> Camera | None:
    nested = data.get("camera")
    if nested is not None and not isinstance(nested, dict):
        raise CameraError(f"camera is {_short(nested)}, expected an object with {', '.join(_KEYS)}")
    if nested is None and not any(key in data for key in _NUMBERS):
        return None
    return Camera.from_dict(data if nested is None else nested, source=str(path))


def _sidecar_unit(data: dict[str, Any]) -> float | None:
    if data.get("unit_mm") is not None:
        unit_mm = _number(data["unit_mm"], "unit_mm")
        if unit_mm <= 0.0:
            raise CameraError(f"unit_mm is {unit_mm:g}, expected mm per count above 0")
        return unit_mm
    name = data.get("unit")
    if name is None:
        return None
    if not isinstance(name, str) or name.lower() not in _UNIT_NAMES_MM:
        raise CameraError(f"unit is {_short(name)}, expected one of {', '.join(_UNIT_NAMES_MM)}, or unit_mm")
    return _UNIT_NAMES_MM[name.lower()]


def _sidecar_hand(data: dict[str, Any]) -> str | None:
    hand = data.get("hand")
    if hand is None:
        return None
    if not isinstance(hand, str) or hand.lower() not in ("right", "left"):
        raise CameraError(f"hand is {_short(hand)}, expected right or left")
    return hand.lower()


def _read_json(path: Path) -> Any:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_JSON_BYTES:
            raise CameraError(f"{path}: not a JSON file of at most {MAX_JSON_BYTES >> 20} MiB; change --camera")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CameraError(f"{path}: cannot be read ({error.strerror or error}); change --camera") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, CameraError):
            raise
        raise CameraError(f"{path}: not valid JSON ({error}); mend it or change --camera") from error
