"""From a path to a source of frames."""

from pathlib import Path

from handopt.errors import NoColourError, SourceError
from handopt.files import UnreadableError, exists, is_file, is_folder, open_regular
from handopt.input.sequence.base import FrameSource
from handopt.input.sequence.stream_info import SourceOptions

_KINDS = "a folder of depth images, a .bag recording, a multi-page TIFF, or a .npy or .npz stack"
_MCAP = b"\x89MCAP0\r\n"
_ROS2_FOLDER = "metadata.yaml"
_NUMPY, _TIFF = (b"\x93NUMPY", b"PK\x03\x04"), (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MATROSKA = b"\x1a\x45\xdf\xa3"
_RECORDINGS = (b"#ROSBAG", b"SQLite format 3\0")  # .bag, and the .db3 of librealsense from 2.58 on


def open_source(path: Path, options: SourceOptions | None = None) -> FrameSource:
    """Open a folder, a recording or a stack. The kind of a file is inferred from its content.

    Raises SourceError, CameraError and DepthError.
    """
    options = options or SourceOptions()
    source = _opened(path, options)
    if options.colour and not getattr(source, "has_colour", False):
        raise NoColourError(f"{path}: no colour of the depth camera's view is read from such files; leave colour out")
    return source


def _opened(path: Path, options: SourceOptions) -> FrameSource:
    try:
        if is_folder(path) and is_file(path / _ROS2_FOLDER):
            return _ros(path, options)
        if is_folder(path):
            from handopt.input.sequence.folder import FolderSource

            return FolderSource(path, options)
        with open_regular(path) as file:
            head = file.read(16)
    except SourceError:
        raise
    except UnreadableError as error:
        hint = "check the path" if not exists(path) else f"give {_KINDS}"
        raise SourceError(f"{path}: {error}; {hint}") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from error
    if head.startswith(_MATROSKA):
        from handopt.input.sequence.matroska import MatroskaSource

        return MatroskaSource(path, options)
    if head.startswith(b"PK\x03\x04"):
        from handopt.input.sequence.record3d import Record3dSource, is_record3d

        if is_record3d(path):
            return Record3dSource(path, options)
    from handopt.input.sequence.stacks import NumpySource, TiffSource

    if not head:
        raise SourceError(f"{path}: is empty (0 bytes); copy or record it again")
    if head.startswith(_NUMPY):
        return NumpySource(path, options)
    if head.startswith(_TIFF):
        return TiffSource(path, options)
    if head.startswith(_MCAP) or (head.startswith(_RECORDINGS) and _is_ros(path, head)):
        return _ros(path, options)
    if head.startswith(_RECORDINGS):
        from handopt.input.sequence.realsense import open_recording

        return open_recording(path, options)
    raise SourceError(f"{path}: is not a sequence of frames that handopt reads; give {_KINDS}")


def is_recording(path: Path) -> bool:
    """Whether a path is a recording or an RGB-D folder, of which a single depth image is no part."""
    from handopt.input.sequence.arkit_folder import is_arkit_folder
    from handopt.input.sequence.record3d import is_record3d
    from handopt.input.sequence.rgbd_folder import is_rgbd_folder

    if is_folder(path):
        return is_file(path / _ROS2_FOLDER) or is_rgbd_folder(path) or is_arkit_folder(path)
    try:
        with open_regular(path) as file:
            head = file.read(16)
    except (UnreadableError, OSError):
        return False
    return head.startswith((_MATROSKA, _MCAP, *_RECORDINGS)) or (head.startswith(b"PK") and is_record3d(path))


def _is_ros(path: Path, head: bytes) -> bool:
    from handopt.input.sequence.rosbag import is_ros

    return is_ros(path, head)


def _ros(path: Path, options: SourceOptions) -> FrameSource:
    from handopt.input.sequence.rosbag import RosbagSource

    return RosbagSource(path, options)


def live_source(options: SourceOptions | None = None) -> FrameSource:
    """The first RealSense camera that is plugged in. Raises SourceError."""
    from handopt.input.sequence.realsense import open_camera

    return open_camera(options or SourceOptions())
