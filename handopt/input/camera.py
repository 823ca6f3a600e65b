"""Pinhole cameras: projection, crops and resized images, and the cameras that are known by name."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handopt.assets import asset
from handopt.errors import CameraError, ShapeError
from handopt.typing import Value

if TYPE_CHECKING:
    from handopt.input.distortion import Distortion, Lens

MAX_SIDE_PX = 1_000_000
MAX_INTRINSIC_PX = 1e7
MAX_SLOPE = 10.0
"""Tangent of the largest angle between the optical axis and the ray of a pixel: 84 degrees. By hand."""
SAME_INTRINSIC_PX = 0.01  # intrinsics that were rounded when they were typed are the same
INTRINSICS = ("fx", "fy", "cx", "cy")
LENS_KEYS = ("distortion", "distortion_coefficients", "dist_coeffs", "coeffs", "k1", "k2", "p1", "p2", "k3")
"""Under which a file may state a lens, which would otherwise be passed over in silence."""
CAMERA_KEYS = (*INTRINSICS, "width", "height")


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: u = fx X/Z + cx, v = fy Y/Z + cy, integer coordinates at pixel centres.

    fx, fy, cx, cy: pixels. width, height: image size in pixels. The principal point may lie outside the image (a crop).
    source: where the numbers come from. assumptions: sentences on what was assumed about them. distortion: of the lens;
    `undistorted` takes it out of an image, and nothing else knows of it. Raises CameraError.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    source: str = "given"
    assumptions: tuple[str, ...] = field(default=(), compare=False)
    distortion: "Distortion | None" = None

    def __post_init__(self) -> None:
        """Check the numbers and turn NumPy scalars into Python's own."""
        for key in INTRINSICS:
            object.__setattr__(self, key, finite_number(getattr(self, key), key))
        for key in ("width", "height"):
            size = finite_number(getattr(self, key), key)
            if not (size.is_integer() and 1 <= size <= MAX_SIDE_PX):
                raise CameraError(f"{key} is {size:g}, expected a whole number of pixels; change camera=")
            object.__setattr__(self, key, int(size))
        for key in ("fx", "fy"):
            focal = getattr(self, key)
            if focal < 1.0:
                hint = " (relative to the image size? multiply it by the size)" if focal > 0.0 else ""
                raise CameraError(f"{key} is {focal:g}, expected a focal length in pixels{hint}; change camera=")
        for key in INTRINSICS:
            if abs(getattr(self, key)) > MAX_INTRINSIC_PX:
                raise CameraError(
                    f"{key} is {getattr(self, key):g}, expected at most {MAX_INTRINSIC_PX:g} pixels; change camera="
                )
        for axis, size in (("x", self.width), ("y", self.height)):
            focal, center = getattr(self, f"f{axis}"), getattr(self, f"c{axis}")
            slope = max(abs(center), abs(size - 1 - center)) / focal
            if slope > MAX_SLOPE:
                raise CameraError(
                    f"f{axis} is {focal:g} and c{axis} {center:g}: an edge of the {self.width} x {self.height} pixels "
                    f"would lie {math.degrees(math.atan(slope)):.2f} degrees off the optical axis; change camera="
                )

    @property
    def lens(self) -> "Lens | None":
        """The lens before the camera, None where it does not distort."""
        from handopt.input.distortion import Lens

        if self.distortion is None:
            return None
        return Lens(self.distortion, self.fx, self.fy, self.cx, self.cy, self.width, self.height)

    def undistorted(self, image: NDArray[Value]) -> "tuple[NDArray[Value], Camera]":
        """An image (height, width) as a camera without the lens sees it, and that camera.

        Each pixel takes the nearest measured value, and 0 where the lens shows nothing. Raises CameraError where the
        image has another size, or the distortion cannot be inverted in it.
        """
        lens = self.lens
        if lens is None:
            return image, self
        if image.shape != (self.height, self.width):
            raise CameraError(
                f"the image has shape {image.shape}, but the camera ({self.source}) is for {self.width} x "
                f"{self.height} pixels; change camera="
            )
        return lens.straightened(image), self.without_lens()

    def without_lens(self) -> "Camera":
        """The camera of straightened images; a note says that distortion was taken out. Itself without distortion."""
        if self.distortion is None:
            return self
        note = f"The lens distortion that {self.source} states was taken out."
        return replace(self, distortion=None, assumptions=(*self.assumptions, note))

    def parted_from_lens(self) -> "tuple[Camera, Lens | None, tuple[str, ...]]":
        """The camera of straightened images, the lens that straightens them, None without distortion, and the note.

        Raises CameraError where the distortion cannot be inverted in the image.
        """
        lens = self.lens
        if lens is None:
            return self, None, ()
        lens.check()
        plain = self.without_lens()
        return plain, lens, plain.assumptions[-1:]

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

        Raises CameraError if the image has another size than the camera.
        """
        z = np.asarray(depth_mm, dtype=np.float32)
        if z.shape != (self.height, self.width):
            raise CameraError(
                f"the depth image has shape {z.shape}, but the camera ({self.source}) is for "
                f"{self.width} x {self.height} pixels; change camera="
            )
        x = (np.arange(self.width) - self.cx) / self.fx
        y = (np.arange(self.height) - self.cy) / self.fy
        return np.stack([z * x.astype(np.float32), z * y.astype(np.float32)[:, None], z], axis=-1)

    def cropped(self, x0: int, y0: int, width: int, height: int) -> "Camera":
        """Return the camera of the crop whose top left pixel is (x0, y0); it may reach beyond the image."""
        return replace(self, cx=self.cx - x0, cy=self.cy - y0, width=width, height=height)

    def mirrored(self) -> "Camera":
        """Return the camera of the mirror image, of columns W - 1 - u.

        The new cx is rounded to 11 decimals, so that mirroring twice restores a number of so many decimals to the bit.
        """
        lens = None if self.distortion is None else self.distortion.mirrored()
        return replace(self, cx=round(self.width - 1 - self.cx, 11), distortion=lens)

    def how_to_match(self, width: int, height: int) -> str:
        """What to type where an image has another size than the camera, if it can be said."""
        if min(width, height) < 1:
            return ""
        return (
            f"; give camera.sized({width}, {height}) if the whole image was scaled, or camera.cropped(x0, y0, {width}, "
            f"{height}) if it was cut out at column x0 and row y0"
        )

    def is_close(self, other: "Camera") -> bool:
        """Whether another camera, scaled to this one's image, has the same intrinsics to a hundredth of a pixel."""
        try:
            scaled = other.sized(self.width, self.height)
        except CameraError:
            return False
        return all(abs(getattr(self, key) - getattr(scaled, key)) <= SAME_INTRINSIC_PX for key in INTRINSICS)

    def numbers(self) -> str:
        """The intrinsics as camera= takes them, "fx,fy,cx,cy"."""
        return ",".join(f"{getattr(self, key):g}" for key in INTRINSICS)

    def sized(self, width: int, height: int) -> "Camera":
        """Return the camera for an image of this size: itself, or scaled if the aspect ratio is the same.

        Raises CameraError for another aspect ratio: the size alone does not say which part a crop shows.
        """
        if (width, height) == (self.width, self.height):
            return self
        scale_x, scale_y = width / self.width, height / self.height
        if abs(self.height * scale_x - height) >= 1.0 and abs(self.width * scale_y - width) >= 1.0:
            raise CameraError(
                f"the image has {width} x {height} pixels, but the camera ({self.source}) is for {self.width} x "
                f"{self.height}: another aspect ratio, so the image is probably a crop; give the crop's own intrinsics "
                "with camera=, as fx,fy,cx,cy or as a JSON file"
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
        return {key: getattr(self, key) for key in CAMERA_KEYS}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "given") -> "Camera":
        """Build a camera from a mapping with fx, fy, cx, cy, width, height. Raises CameraError."""
        missing = [key for key in CAMERA_KEYS if key not in data]
        if missing:
            meant = [key for key in data if key not in CAMERA_KEYS and get_close_matches(key.casefold(), missing, 1)]
            hint = f" (misspelt: {', '.join(map(short_repr, meant))}?)" if meant else ""
            raise CameraError(f"no {', '.join(missing)} in the camera{hint}; camera= needs {', '.join(CAMERA_KEYS)}")
        for key in LENS_KEYS:
            if key in data and _says_something(data[key]):
                raise CameraError(
                    f"the camera has {key!r}, a lens, which is read from files of OpenCV, ROS, COLMAP and RealSense "
                    "alone: change camera= to one of these, or undistort the images and leave it out"
                )
        return cls(**{key: data[key] for key in CAMERA_KEYS}, source=source)


@dataclass(frozen=True)
class Preset:
    """A camera known by name. unit_mm: mm per count of the sensor's usual files."""

    name: str
    camera: Camera
    unit_mm: float
    source: str


@cache
def presets() -> dict[str, Preset]:
    """Return the cameras known by name, from assets/cameras.toml."""
    with asset("cameras.toml").open("rb") as file:
        table = tomllib.load(file)
    return {
        name: Preset(name, Camera.from_dict(row, f"preset {name}"), float(row["unit_mm"]), row["source"])
        for name, row in table.items()
    }


def find_preset(name: str) -> Preset | None:
    """The preset of a name, in any case and with _ or -; None for other names."""
    return presets().get(name.strip().lower().replace("_", "-"))


def _says_something(value: Any) -> bool:
    """Whether what stands under a key of a lens is one: not null, empty, or nothing but zeros."""
    if isinstance(value, Mapping):
        return any(_says_something(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_says_something(each) for each in value)
    return value not in (None, 0, "", "none")


def finite_number(value: Any, key: str) -> float:
    """Return a finite float, or raise CameraError naming the key."""
    try:
        number = math.nan if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise CameraError(f"{key} is {short_repr(value)}, expected a number; change camera=")
    return number


def short_repr(value: Any) -> str:
    """The repr of a value, cut to 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
