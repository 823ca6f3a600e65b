"""One person's hand from depth images: the rest vertices themselves move until the hand matches all images."""

from handopt.shape.calibrate import fit_shape
from handopt.shape.measurements import Measurement
from handopt.shape.result import ShapeResult
from handopt.shape.single_fits import RejectedImage, ShapeInput

__all__ = ["Measurement", "RejectedImage", "ShapeInput", "ShapeResult", "fit_shape"]
