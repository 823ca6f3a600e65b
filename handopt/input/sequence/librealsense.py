"""Loading pyrealsense2, with the libusb of a Python package if the system has none."""

import ctypes
from typing import Any

from handopt.errors import SourceError, how_to_install


def load_librealsense(what: str) -> Any:
    """The module pyrealsense2. what: for messages, what needs it. Raises SourceError."""
    try:
        return _imported()
    except ImportError as error:
        raise SourceError(
            f"{what} needs pyrealsense2, which cannot be loaded ({error}): {how_to_install('realsense')}, and if it is "
            "libusb or libudev that is missing, the system's (apt install libusb-1.0-0 libudev1)"
        ) from error


def _imported() -> Any:
    try:
        import pyrealsense2
    except ImportError as error:
        if "libusb" not in str(error) or not _load_packaged_libusb():
            raise
        import pyrealsense2
    return pyrealsense2


def _load_packaged_libusb() -> bool:
    """Load the libusb of the package libusb-package under its own name, so that the linker finds it loaded."""
    try:
        import libusb_package
    except ImportError:
        return False
    path = libusb_package.get_library_path()
    if path is None:
        return False
    try:
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True
