"""ROS 1 and ROS 2 bags, written by rosbags."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

SIZE = (12, 16)
TOPIC, INFO = "/camera/depth/image_raw", "/camera/depth/camera_info"
K = (20.5, 0.0, 7.25, 0.0, 21.5, 5.75, 0.0, 0.0, 1.0)


class Bag:
    """Writes messages with either of the two writers."""

    def __init__(self, path: Path, version: int) -> None:
        self.version, self.path = version, path
        self.store = get_typestore(Stores.ROS1_NOETIC if version == 1 else Stores.ROS2_HUMBLE)
        self.writer: Any = Writer1(path) if version == 1 else Writer2(path, version=8)
        self.connections: dict[str, Any] = {}

    def __enter__(self) -> "Bag":
        self.writer.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def type(self, name: str) -> Any:
        return self.store.types[name]

    def header(self, sec: float, frame: str = "depth") -> Any:
        stamp = self.type("builtin_interfaces/msg/Time")(sec=int(sec), nanosec=round(sec % 1 * 1e9))
        extra = {"seq": 0} if self.version == 1 else {}
        return self.type("std_msgs/msg/Header")(stamp=stamp, frame_id=frame, **extra)

    def write(self, topic: str, message: Any, sec: float) -> None:
        kind = message.__msgtype__
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(topic, kind, typestore=self.store)
        serialize = self.store.serialize_ros1 if self.version == 1 else self.store.serialize_cdr
        self.writer.write(self.connections[topic], round(sec * 1e9), serialize(message, kind))

    def damaged(self, topic: str, kind: str, sec: float) -> None:
        """A message that ends where it begins."""
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(topic, kind, typestore=self.store)
        self.writer.write(self.connections[topic], round(sec * 1e9), b"\0")

    def image(self, counts: np.ndarray, sec: float, encoding: str = "16UC1", topic: str = TOPIC, pad: int = 0) -> None:
        padded = np.pad(counts, ((0, 0), (0, pad)))
        data = np.frombuffer(padded.tobytes(), np.uint8)
        message = self.type("sensor_msgs/msg/Image")(
            self.header(sec), *counts.shape, encoding, int(counts.dtype.byteorder == ">"),
            padded.shape[1] * counts.itemsize, data,
        )  # fmt: skip
        self.write(topic, message, sec + 100)

    def picture(self, rgb: np.ndarray, sec: float, topic: str, encoding: str = "rgb8", frame: str = "depth") -> None:
        """A colour picture (H, W, C), whose rows have two bytes more than they need."""
        rows = np.pad(rgb.reshape(len(rgb), -1), ((0, 0), (0, 2)))
        message = self.type("sensor_msgs/msg/Image")(
            self.header(sec, frame), *rgb.shape[:2], encoding, 0, rows.shape[1], rows.ravel()
        )
        self.write(topic, message, sec + 100)

    def jpeg(self, rgb: np.ndarray, sec: float, topic: str) -> None:
        out = io.BytesIO()
        Image.fromarray(rgb).save(out, "jpeg", quality=95)
        data = np.frombuffer(out.getvalue(), np.uint8)
        message = self.type("sensor_msgs/msg/CompressedImage")(self.header(sec), "rgb8; jpeg compressed bgr8", data)
        self.write(topic, message, sec + 100)

    def compressed(self, counts: np.ndarray, sec: float, form: str, quantum: tuple[float, float] = (0.0, 0.0)) -> None:
        out = io.BytesIO()
        Image.fromarray(counts).save(out, "png")
        data = np.frombuffer(struct.pack("<i2f", 0, *quantum) + out.getvalue(), np.uint8)
        self.write(TOPIC, self.type("sensor_msgs/msg/CompressedImage")(self.header(sec), form, data), sec)

    def info(self, topic: str = INFO, model: str = "plumb_bob", lens: tuple[float, ...] = (0.0,) * 5) -> None:
        roi = self.type("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False)
        case = str.upper if self.version == 1 else str.lower
        matrices = {"d": lens, "k": K, "r": np.eye(3).ravel(), "p": np.eye(3, 4).ravel()}
        message = self.type("sensor_msgs/msg/CameraInfo")(
            header=self.header(1), height=SIZE[0], width=SIZE[1], distortion_model=model, binning_x=0, binning_y=0,
            roi=roi, **{case(key): np.array(value, np.float64) for key, value in matrices.items()},
        )  # fmt: skip
        self.write(topic, message, 1)


def bag(folder: Path, version: int) -> Bag:
    return Bag(folder / ("take.bag" if version == 1 else "take"), version)
