"""One call for every kernel, on the device that holds its arrays."""

from typing import Any

import numpy as np

from handopt.backend.devices import Array
from handopt.backend.launch_cpu import launch_cpu, library
from handopt.backend.launch_cuda import launch_cuda


def launch(kernel: str, items: int, *arguments: Any) -> None:
    """Run a kernel on the device and in the precision of its arrays.

    items: how many threads a GPU is asked for; arguments: arrays and numbers in the order of SIGNATURES[kernel].
    The caller has checked the arguments.
    """
    if isinstance(arguments[0], np.ndarray):
        launch_cpu(kernel, arguments)
    elif items > 0:
        launch_cuda(kernel, items, arguments)


def schedule(array: Array) -> str:
    """'image' where one thread runs a whole image in order, 'grid' where items of an image run on many threads."""
    return library().schedule if isinstance(array, np.ndarray) else "grid"
