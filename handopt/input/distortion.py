"""Lens distortion: Brown-Conrady, rational and Kannala-Brandt, taken out of a depth image once.

OpenCV's models and order of coefficients: https://docs.opencv.org/4.x/d9/d0c/group__calib3d.html (Brown-Conrady and
rational), https://docs.opencv.org/4.x/db/d58/group__calib3d__fisheye.html (Kannala-Brandt).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import numpy as np

from handopt.errors import CameraError
from handopt.typing import AnyArray, Floats, Indices

Model = Literal["brown", "rational", "fisheye"]
_COUNTS: Final = {"brown": 5, "rational": 8, "fisheye": 4}


@dataclass(frozen=True)
class Distortion:
    """A lens. brown: k1, k2, p1, p2, k3. rational: the same and k4, k5, k6. fisheye (Kannala-Brandt): k1 to k4."""

    model: Model
    coefficients: tuple[float, ...]

    @classmethod
    def of(cls, model: Model, values: Sequence[float]) -> "Distortion | None":
        """The lens of some coefficients, which may be fewer or followed by zeros; None without distortion.

        Raises CameraError.
        """
        numbers = [float(each) for each in values]
        if not all(math.isfinite(each) for each in numbers):
            raise CameraError("a distortion coefficient is no finite number; change camera=")
        if not any(numbers):
            return None
        if model == "brown" and any(numbers[5:8]):
            model = "rational"
        count = _COUNTS[model]
        if any(numbers[count:]):
            raise CameraError(
                f"the lens has {len(numbers)} distortion coefficients; of its model {count} are known (thin prism and "
                "tilt are not): undistort the images first, and give a camera= without distortion"
            )
        return cls(model, tuple((numbers + [0.0] * count)[:count]))

    def mirrored(self) -> "Distortion":
        """The lens in the mirror image."""
        if self.model == "fisheye":
            return self
        values = list(self.coefficients)
        values[3] = -values[3]
        return Distortion(self.model, tuple(values))

    def distorted(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Where points at x = X/Z and y = Y/Z of a pinhole camera lie through the lens, in the same units."""
        r2 = x * x + y * y
        k = self.coefficients
        if self.model == "fisheye":
            r = np.sqrt(r2)
            angle = np.arctan(r)
            a2 = angle * angle
            bent = angle * (1 + a2 * (k[0] + a2 * (k[1] + a2 * (k[2] + a2 * k[3]))))
            scale = np.where(r > 1e-9, bent / np.where(r > 1e-9, r, 1.0), 1.0)
            return x * scale, y * scale
        k1, k2, p1, p2, k3 = k[:5]
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        if self.model == "rational":
            radial = radial / (1 + r2 * (k[5] + r2 * (k[6] + r2 * k[7])))
        return (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )


@dataclass(frozen=True)
class Lens:
    """A distortion in front of a pinhole camera of width x height pixels."""

    distortion: Distortion
    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def straightened(self, image: AnyArray) -> AnyArray:
        """The image (H, W) that a camera without the lens sees: of each pixel the nearest measured value, or 0.

        Nothing is interpolated, as values between two surfaces belong to neither. Raises CameraError.
        """
        rows, columns, outside = _lookup(self)
        out = image[rows, columns]
        out[outside] = 0
        return out

    def check(self) -> None:
        """Raise CameraError where the lens cannot be inverted in the image."""
        _lookup(self)

    def positions(self) -> tuple[Floats, Floats]:
        """Columns and rows (H, W) of the given image at which the pixels of the straightened one lie."""
        x = (np.arange(self.width) - self.cx) / self.fx
        y = (np.arange(self.height) - self.cy) / self.fy
        bent_x, bent_y = self.distortion.distorted(*np.meshgrid(x, y))
        return self.fx * bent_x + self.cx, self.fy * bent_y + self.cy


@lru_cache(maxsize=4)
def _lookup(lens: Lens) -> tuple[Indices, Indices, AnyArray]:
    """Rows and columns of the pixels to take, and where there are none. Raises CameraError where the lens folds."""
    u, v = lens.positions()
    inside = (u > -0.5) & (u < lens.width - 0.5) & (v > -0.5) & (v < lens.height - 0.5)
    if min(lens.width, lens.height) > 1:
        across, down = np.gradient(u, axis=1), np.gradient(v, axis=0)
        turned = across * down - np.gradient(u, axis=0) * np.gradient(v, axis=1)
        folded = inside & ~((turned > 0) & (across > 0) & (down > 0))
        if folded.any():
            raise CameraError(
                f"the lens distortion folds {folded.mean():.0%} of the image onto itself, so that it cannot be "
                "inverted; check the order of the coefficients, and change camera="
            )
    rows = np.clip(np.rint(np.nan_to_num(v)), 0, lens.height - 1).astype(np.int64)
    columns = np.clip(np.rint(np.nan_to_num(u)), 0, lens.width - 1).astype(np.int64)
    return rows, columns, ~inside
