#!/usr/bin/env python3
"""Feed a robot hand's retargeter from a running track: wrist pose and 21 joints, in metres.

Listens to `handopt track ... --stream udp://127.0.0.1:9000`. For each frame that is sure enough it prints what a
retargeter takes: the pose of the wrist as a 4 x 4 matrix, and the joints in the frame of the wrist, so that they do not
change when the arm moves. Put the call of your own retargeter in place of print. Messages that come late or twice are
left out; a listener that is slower than the track sees the newest frame.
"""

import argparse
import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

M_PER_MM = 1e-3
FORMAT = "handopt.stream/1"


@dataclass(frozen=True)
class HandFrame:
    """A frame for a retargeter. wrist: (4, 4) wrist -> camera, metres. joints: (21, 3) metres in the wrist's frame."""

    sequence: int
    time_s: float
    hand: str
    wrist: np.ndarray[Any, np.dtype[np.float64]]
    joints: np.ndarray[Any, np.dtype[np.float64]]


def hand_frame(message: dict[str, Any], least_confidence: float = 0.5) -> HandFrame | None:
    """The hand of a message, None where there is none that is sure enough. Raises ValueError for another format."""
    if message.get("format") != FORMAT:
        raise ValueError(f"format {message.get('format')!r}, expected {FORMAT!r}")
    if not message["tracked"] or (message["confidence"] or 0.0) < least_confidence:
        return None
    wrist = np.eye(4)
    wrist[:3, :3] = message["pose"]["rotation"]
    joints = np.array(message["joints_mm"]) * M_PER_MM
    wrist[:3, 3] = joints[0]
    local = (joints - wrist[:3, 3]) @ wrist[:3, :3]  # R^T (p - wrist), of row vectors
    time_s = message["sent_s"] if message["time_s"] is None else message["time_s"]
    return HandFrame(message["sequence"], time_s, message["hand"], wrist, local)


def newest_messages(listener: socket.socket) -> Iterator[dict[str, Any]]:
    """Messages in order, always the newest that has arrived; ends after the listener's timeout."""
    last = -1
    while True:
        try:
            data = listener.recv(65536)
        except TimeoutError:
            return
        listener.setblocking(False)
        try:
            while True:
                data = listener.recv(65536)
        except BlockingIOError:
            pass
        finally:
            listener.setblocking(True)
            listener.settimeout(TIMEOUT_S)
        message = json.loads(data)
        if message["sequence"] > last or message["sequence"] == 0:  # 0: another track has begun
            last = message["sequence"]
            yield message


TIMEOUT_S = 30.0


def main(arguments: list[str] | None = None) -> int:
    """Print the frames."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9000, help="of the stream (default: 9000)")
    parser.add_argument("--frames", type=int, default=0, metavar="N", help="end after N frames (default: never)")
    options = parser.parse_args(arguments)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", options.port))
        listener.settimeout(TIMEOUT_S)
        for count, message in enumerate(newest_messages(listener), 1):
            frame = hand_frame(message)
            if frame is not None:
                x, y, z = frame.wrist[:3, 3]
                spread = np.linalg.norm(frame.joints[4] - frame.joints[8])
                print(f"{frame.sequence}\twrist {x:.3f} {y:.3f} {z:.3f} m\tthumb to index {spread:.3f} m", flush=True)
            if count == options.frames:
                break
    return 0


if __name__ == "__main__":
    sys.exit(main())
