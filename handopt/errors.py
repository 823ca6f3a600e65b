"""Errors that handopt raises. A message says what is wrong and names the option or argument to change."""


class HandoptError(Exception):
    """Base class of every error that handopt raises on purpose."""


class ShapeError(HandoptError, ValueError):
    """An array argument has the wrong type, dtype, shape, memory layout or device."""


class DepthError(HandoptError, ValueError):
    """A file is not a depth image that can be used."""


class CameraError(HandoptError, ValueError):
    """Camera intrinsics are missing or make no sense."""


class ObservationError(HandoptError, ValueError):
    """No hand could be found in a depth image."""


class RigError(HandoptError, ValueError):
    """A hand rig cannot be used."""


class ConfigError(HandoptError, ValueError):
    """A setting is unknown or out of range."""


class DeviceError(HandoptError, RuntimeError):
    """The requested compute device is not available."""


class KernelError(HandoptError, RuntimeError):
    """The compiled kernels are missing, stale or failed to compile."""


class NumericalError(HandoptError, ArithmeticError):
    """The optimisation left the finite numbers."""


class LabelError(HandoptError, ValueError):
    """Labels or predictions cannot be read or compared."""


class OutputError(HandoptError, OSError):
    """Results cannot be written."""
