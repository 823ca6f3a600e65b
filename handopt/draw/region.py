"""The square of a depth image that the overlay shows."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from handopt.typing import Reals, Value

if TYPE_CHECKING:
    from handopt.input.camera import Camera
    from handopt.ops.rasterise import Camera as RasterCamera
    from handopt.result import FitResult

# Chosen by eye.
REGION_MARGIN = 0.1  # around the hand, as a share of its extent
SMALLEST_REGION_PX = 24  # edge of the smallest region, in pixels of the depth image


@dataclass(frozen=True)
class Region:
    """A square of the depth image around the hand, in pixels; it may reach beyond the image."""

    column: int
    row: int
    side: int

    def cut(self, image: npt.NDArray[Value]) -> npt.NDArray[Value]:
        """The square (side, side) of an (H, W) image; zero beyond its edges."""
        out = np.zeros((self.side, self.side), image.dtype)
        rows = slice(max(self.row, 0), min(self.row + self.side, image.shape[0]))
        columns = slice(max(self.column, 0), min(self.column + self.side, image.shape[1]))
        if rows.start < rows.stop and columns.start < columns.stop:
            inside = slice(rows.start - self.row, rows.stop - self.row)
            across = slice(columns.start - self.column, columns.stop - self.column)
            out[inside, across] = image[rows, columns]
        return out

    def to_panel(self, pixels: Reals, panel_px: float) -> Reals:
        """Image positions (N, 2), integers at pixel centres, to positions in the panel."""
        return (pixels - (self.column, self.row) + 0.5) * (panel_px / self.side)

    def panel_camera(self, camera: "Camera", panel_px: int) -> "RasterCamera":
        """The rasteriser's camera whose image is the panel. camera: of the depth image."""
        zoom = panel_px / self.side
        cx, cy = ((camera.cx - self.column + 0.5) * zoom - 0.5, (camera.cy - self.row + 0.5) * zoom - 0.5)
        return camera.fx * zoom, camera.fy * zoom, cx, cy, panel_px, panel_px


def hand_region(result: "FitResult") -> Region:
    """The square that holds the observed and the fitted hand, with a margin."""
    shown = result.observation.mask | (result.fitted_depth_mm > 0)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    if len(rows) == 0:
        height, width = shown.shape
        rows, columns = np.array([0, height - 1]), np.array([0, width - 1])
    extent = max(int(np.ptp(rows)), int(np.ptp(columns))) + 1
    side = max(round(extent * (1 + 2 * REGION_MARGIN)), SMALLEST_REGION_PX)
    column = int(columns[0] + columns[-1] + 1 - side) // 2
    row = int(rows[0] + rows[-1] + 1 - side) // 2
    return Region(column, row, side)
