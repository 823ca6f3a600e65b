"""The type aliases of handopt, one definition each. A name says what the values are; a docstring says their shape."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""float64 of any shape: what NumPy computes with outside of the kernels."""
Reals = NDArray[np.floating[Any]]
"""float32 or float64 of any shape: results that keep the type they were computed in."""
Vector = NDArray[np.float64]
"""(N,) float64, most often a point (3,) in mm or a pixel (2,)."""
Points = NDArray[np.float32]
"""(..., 3) float32, mm in the camera frame."""
Ints = NDArray[np.int32]
"""int32 of any shape: what the kernels take."""
Faces = NDArray[np.int32]
"""(F, 3) int32, the vertices of triangles."""
Indices = NDArray[np.int64]
"""int64 of any shape: rows of an array, or flat indices of pixels."""
Integers = NDArray[np.integer[Any]]
"""Integers of any width and shape."""
Bools = NDArray[np.bool_]
"""bool of any shape that is no image."""
Bytes = NDArray[np.uint8]
"""(H, W, 3) or (H, W) uint8, a picture."""
AnyArray = NDArray[Any]
"""Numbers of any type and shape, such as the counts of a depth sensor."""
FloatImage = NDArray[np.float32]
"""(H, W) float32, most often depth in mm, 0 where nothing is measured."""
BoolImage = NDArray[np.bool_]
"""(H, W) bool, a mask."""
Mask = NDArray[np.uint8]
"""(H, W) uint8, values of handopt.input.pixel_labels."""
LabelImage = NDArray[np.int32]
"""(H, W) int32, the label of each pixel's component from 1 on, 0 where there is none."""

Box = tuple[slice, slice]
"""Rows and columns of a rectangle of an image, without a step."""
RGB = tuple[int, int, int]
"""A colour, 0 to 255 each."""
Parts = tuple[str, ...]
"""The folders and the name of a file below the folder that was given."""
Progress = Callable[[int, int, float], None]
"""Called as progress(step, steps, loss) while a fit runs."""
ReadProgress = Callable[[str, int, int], None]
"""Called with what is read, how many are read, and how many there are."""
Side = Literal["right", "left"]
"""Which hand it is."""
Value = TypeVar("Value", bound=np.generic)
"""The type of an array's values, where what comes out has the type of what goes in."""
Item = TypeVar("Item")
"""Whatever a function hands on."""
