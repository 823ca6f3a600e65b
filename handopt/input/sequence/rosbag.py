"""Depth images in ROS 1 and ROS 2 bags, read message by message through rosbags (the extra `rosbags`).

sensor_msgs/Image of 16 bits (mm) or float32 (metres), as REP 118 has them, and CompressedImage of compressedDepth.
"""

import io
import os
import sqlite3
import struct
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.errors import CameraError, DepthError, NoColourError, SourceError, how_to_install
from handopt.files import open_regular
from handopt.input.camera import Camera
from handopt.input.camera_files import ros_camera
from handopt.input.camera_spec import load_camera
from handopt.input.colour import of_depth_size
from handopt.input.decode import check_shape
from handopt.input.reader import Reader
from handopt.input.sequence.base import SequenceFrame, StreamInfo
from handopt.input.sequence.pictures import NearestPictures
from handopt.input.sequence.rosbag_colour import picture, shows_colour, shows_view_of
from handopt.input.sequence.stream_info import SourceOptions
from handopt.typing import AnyArray, Bytes

IMAGE, COMPRESSED, INFO = (f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo"))
ENCODINGS: Final = {"16UC1": ("u2", 1.0), "mono16": ("u2", 1.0), "32FC1": ("f4", 1000.0)}
"""Encoding of an image: type of its values and mm per count, REP 118."""
LOOKED_AT: Final = 50
"""Messages of a topic of images that are looked at for what kind they are."""
MAX_INDEX: Final = 1 << 22
NANO: Final = 1e-9


def is_ros(path: Path, head: bytes) -> bool:
    """Whether a recording is ROS's own, not one of librealsense, whose topics begin with /device_.

    Where this cannot be told the recording counts as librealsense's, which then says what is wrong with it.
    """
    names = _topics_of_bag(path) if head.startswith(b"#ROSBAG") else _topics_of_sqlite(path)
    return b"/device_" not in names and b"/" in names


def _topics_of_bag(path: Path) -> bytes:
    """The records of a bag's index, which hold the names of its topics. http://wiki.ros.org/Bags/Format/2.0"""
    with open_regular(path) as file:
        head = file.read(8192)
        at = head.find(b"index_pos=")
        if at < 0 or len(head) < at + 18:
            return b""
        (place,) = struct.unpack_from("<Q", head, at + 10)
        if not 0 < place < os.fstat(file.fileno()).st_size:
            return b""
        file.seek(place)
        return file.read(MAX_INDEX)


def _topics_of_sqlite(path: Path) -> bytes:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as data:
            rows = data.execute("SELECT name FROM topics LIMIT 1000").fetchall()
    except sqlite3.Error:
        return b""
    return b"\n".join(str(name).encode("utf-8", "replace") for (name,) in rows)


class RosbagSource:
    """Depth frames of a bag. A message that cannot be read says so."""

    camera: Camera
    has_colour = True

    def __init__(self, path: Path, options: SourceOptions) -> None:
        """Find the topic and the camera. Raises SourceError, CameraError and DepthError."""
        self.name, self._path = str(path), path
        with self._opened() as reader:
            connection = self._connection(reader, options.topic)
            self.topic = str(connection.topic)
            self.length: int | None = int(connection.msgcount)
            counts, unit_mm = self._first(reader, connection)
            height, width = counts.shape
            notes = [f"Depth is that of the topic {self.topic}."]
            camera = self._camera(reader, options, width, height, notes)
            self._colour_topic = self._picture_topic(reader, connection, counts.shape) if options.colour else None
        mirrored = Reader(options.camera, mirrored=options.mirrored).mirrored_of(None, notes)
        self.camera, lens, said = camera.parted_from_lens()
        notes += said
        self.unit_mm = unit_mm if options.unit is None else options.unit
        self._info = StreamInfo(self.camera, self.unit_mm, mirrored=mirrored, lens=lens)
        self._ignored = options.one_mask(self._info.shape)
        self.fps, self._has_times = options.fps, options.fps is None
        self.hand: str | None = None
        self.assumptions = tuple(dict.fromkeys(notes))

    def __iter__(self) -> Iterator[SequenceFrame]:
        """The frames in order of their recording. Raises SourceError where the bag is damaged."""
        with self._opened() as reader, closing(self._pictures()) as pictures:
            nearest = NearestPictures(pictures)
            connections = [each for each in reader.connections if each.topic == self.topic]
            for index, (_, stamp, data) in enumerate(self._messages(reader, connections)):
                name, time_s, colour = f"{self._path.name}[{index}]", None, None
                try:
                    message = _understood(reader, data, connections[0].msgtype, name)
                    taken_s = _time(message, stamp)
                    time_s = taken_s if self._has_times else None
                    depth = self._info.millimetres(_counts(message, name)[0], name, self._ignored)
                    if (shown := nearest.at(taken_s)) is not None:
                        colour = self._info.picture(shown)
                except DepthError as error:
                    yield SequenceFrame(index, name, self._info.empty(), time_s, problem=str(error))
                else:
                    yield SequenceFrame(index, name, depth, time_s, colour=colour)

    def _pictures(self) -> Generator[tuple[float, Bytes], None, None]:
        """Times, s, and pictures (H, W, 3) of the colour topic; damaged ones and other views are left out."""
        if self._colour_topic is None:
            return
        with self._opened() as reader:
            connections = [each for each in reader.connections if each.topic == self._colour_topic]
            for _, stamp, data in self._messages(reader, connections):
                try:
                    message = _understood(reader, data, connections[0].msgtype, self._colour_topic)
                    if shows_colour(message):
                        shown = picture(message, self._colour_topic)
                        yield _time(message, stamp), of_depth_size(shown, self._info.shape, self._colour_topic)
                except DepthError:
                    continue

    def _picture_topic(self, reader: Any, depth: Any, shape: tuple[int, ...]) -> str:
        """The topic of the pictures of the depth's view. Raises SourceError where there is none."""
        height, width = shape
        images = [each for each in reader.connections if each.msgtype in (IMAGE, COMPRESSED) and each is not depth]
        shown = self._first_message(reader, depth)
        for each in sorted(images, key=lambda one: (-_shared(one.topic, self.topic), one.topic)):
            try:
                message = self._first_message(reader, each)
                if message is not None and shows_colour(message) and shows_view_of(message, shown, (height, width)):
                    return str(each.topic)
            except DepthError:
                continue
        raise NoColourError(
            f"{self._path}: no topic has pictures of the depth's view, with its frame_id and aspect ratio; record the "
            "depth that is registered to colour, or leave colour out"
        )

    def _first_message(self, reader: Any, connection: Any) -> Any:
        """The first message of a connection that is not damaged, None without one.

        Raises DepthError where the first LOOKED_AT are damaged.
        """
        problem: DepthError | None = None
        for _, _, data in islice(self._messages(reader, [connection]), LOOKED_AT):
            try:
                return _understood(reader, data, connection.msgtype, str(connection.topic))
            except DepthError as error:
                problem = problem or error
        if problem is not None:
            raise problem
        return None

    def _opened(self) -> Any:
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise SourceError(
                f"{self._path}: a ROS bag needs rosbags, which is not installed: {how_to_install('rosbags')}"
            ) from error
        try:
            store = get_typestore(Stores.ROS2_HUMBLE)
            reader = AnyReader([self._path], default_typestore=store)
            reader.open()
            wrong = [each for each in reader.connections if not _is_plain(each)]
            if wrong:
                reader.close()
                raise ValueError(f"its metadata.yaml says of a topic {str(wrong[0].msgcount)[:20]} messages")
        except Exception as error:  # rosbags raises almost anything on damaged files
            raise SourceError(
                f"{self._path}: is damaged, or no bag of ROS ({error}); record or copy it again"
            ) from error
        return closing(reader)

    def _messages(self, reader: Any, connections: list[Any]) -> Iterator[tuple[Any, int, bytes]]:
        try:
            yield from reader.messages(connections)
        except Exception as error:
            raise SourceError(
                f"{self._path}: is damaged or cut short ({error}): what was read before is kept; copy it again"
            ) from error

    def _connection(self, reader: Any, topic: str | None) -> Any:
        """The connection of the depth images. Raises SourceError."""
        images = {each.topic: each for each in reader.connections if each.msgtype in (IMAGE, COMPRESSED)}
        listed = ", ".join(images) or "none"
        if topic is not None:
            if topic not in images:
                raise SourceError(f"{self._path}: has no images in topic={topic!r}; topics of images are {listed}")
            return images[topic]
        depth = {name: each for name, each in images.items() if self._is_depth(reader, each)}
        if len(depth) != 1:
            have = (
                f"depth in the topics {', '.join(depth)}: choose one"
                if depth
                else (f"no depth images (16UC1, 32FC1, compressedDepth); topics of images are {listed}: choose one")
            )
            raise SourceError(f"{self._path}: has {have} with topic=")
        return next(iter(depth.values()))

    def _is_depth(self, reader: Any, connection: Any) -> bool:
        for _, _, data in islice(self._messages(reader, [connection]), LOOKED_AT):
            try:
                message = reader.deserialize(data, connection.msgtype)
            except Exception:  # a damaged message; another one says what the topic holds
                continue
            kind = str(getattr(message, "encoding", "") or getattr(message, "format", ""))
            return kind in ENCODINGS or "compressedDepth" in kind
        return False

    def _first(self, reader: Any, connection: Any) -> tuple[AnyArray, float]:
        """Counts (H, W) of the first image that can be read, and mm per count. Raises DepthError."""
        problem = f"{self._path}: the topic {connection.topic} has no images"
        for index, (_, _, data) in enumerate(self._messages(reader, [connection])):
            name = f"{self._path.name}[{index}]"
            try:
                return _counts(_understood(reader, data, connection.msgtype, name), name)
            except DepthError as error:
                problem = str(error)
            if index >= LOOKED_AT:
                break
        raise DepthError(problem)

    def _camera(self, reader: Any, options: SourceOptions, width: int, height: int, notes: list[str]) -> Camera:
        """The camera that the user names, else that of the topic's CameraInfo. Raises CameraError."""
        if options.camera is not None:
            camera = load_camera(options.camera, width, height)
            notes += camera.assumptions
            return camera
        infos = {each.topic: each for each in reader.connections if each.msgtype == INFO}
        nearest = sorted(infos, key=lambda name: (-_shared(name, self.topic), name))
        for name in nearest:
            for _, _, data in self._messages(reader, [infos[name]]):
                message = _understood(reader, data, INFO, name)
                if (message.width, message.height) == (width, height):
                    notes.append(f"The camera's intrinsics are those of the topic {name}.")
                    return ros_camera(message, name, rectified="rect" in self.topic)
                break
        raise CameraError(
            f"{self._path}: no CameraInfo in it is for {width} x {height} pixels; give camera= (a preset, a file, or "
            "fx,fy,cx,cy)"
        )


def _is_plain(connection: Any) -> bool:
    """Whether what a bag, or the metadata.yaml beside it, says of a topic has the right types."""
    count = connection.msgcount
    named = isinstance(connection.topic, str) and isinstance(connection.msgtype, str)
    return named and isinstance(count, int) and 0 <= count < 2**62


def _understood(reader: Any, data: bytes, kind: str, name: str) -> Any:
    try:
        return reader.deserialize(data, kind)
    except Exception as error:
        raise DepthError(f"{name}: the message is damaged ({error}); record it again") from error


def _shared(name: str, topic: str) -> int:
    """How many parts of two names of topics are the same, from the left."""
    count = 0
    for one, other in zip(name.split("/"), topic.split("/"), strict=False):
        if one != other:
            break
        count += 1
    return count


def _time(message: Any, stamp: int) -> float:
    """When an image was taken, s: by its header, else when it was recorded (stamp, ns)."""
    header = message.header.stamp
    taken = header.sec + header.nanosec * NANO
    return float(taken) if taken > 0 else stamp * NANO


def _counts(message: Any, name: str) -> tuple[AnyArray, float]:
    """Counts (H, W) of an image and mm per count. Raises DepthError."""
    if hasattr(message, "format"):
        return _decompressed(message, name)
    if message.encoding not in ENCODINGS:
        raise DepthError(f"{name}: has the encoding {message.encoding!r}, expected one of {', '.join(ENCODINGS)}")
    kind, unit_mm = ENCODINGS[message.encoding]
    dtype = np.dtype((">" if message.is_bigendian else "<") + kind)
    height, width, step = int(message.height), int(message.width), int(message.step)
    check_shape(Path(name), (height, width))
    if step < width * dtype.itemsize or step % dtype.itemsize or len(message.data) < height * step:
        raise DepthError(
            f"{name}: has {len(message.data)} bytes, too few for {width} x {height} pixels; record it again"
        )
    rows = np.frombuffer(bytes(message.data[: height * step]), dtype).reshape(height, -1)
    return rows[:, :width].astype(dtype.newbyteorder("=")), unit_mm


def _decompressed(message: Any, name: str) -> tuple[AnyArray, float]:
    """compressed_depth_image_transport: 12 bytes (format, two quantisation parameters), then PNG."""
    from PIL import Image

    data = bytes(message.data)
    if "compressedDepth" not in message.format or not data[12:].startswith(b"\x89PNG"):
        raise DepthError(
            f"{name}: is of the format {message.format!r}, expected compressedDepth with PNG; decompress it"
        )
    try:
        with Image.open(io.BytesIO(data[12:]), formats=("PNG",)) as image:
            check_shape(Path(name), (image.height, image.width))
            counts = np.array(image).astype(np.float64)
    except DepthError:
        raise
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise DepthError(f"{name}: is damaged ({error}); record it again") from error
    if counts.ndim != 2:
        raise DepthError(f"{name}: has several channels, expected depth")
    if message.format.startswith("16UC1"):
        return counts.astype(np.uint16), 1.0
    slope, offset = struct.unpack_from("<2f", data, 4)  # metres = slope / (count - offset)
    with np.errstate(divide="ignore", invalid="ignore"):
        metres = np.where(counts > 0, slope / (counts - offset), 0.0)
    return metres.astype(np.float32), 1000.0
