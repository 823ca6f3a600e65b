"""Frames as messages: what is sent is what is known, and nobody is waited for."""

import json
import socket
import time

import numpy as np
import pytest
from support.sequences import CAMERA, FPS, frames

from handopt.errors import ConfigError
from handopt.tracking.messages import line_of
from handopt.tracking.run import Run
from handopt.tracking.udp import UdpStream


def listener() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    made.settimeout(5)
    return made


def test_each_frame_arrives_with_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    run, delays = Run(CAMERA, "right", smooth=False, fps=FPS), []
    with listener() as there, UdpStream(f"udp://127.0.0.1:{there.getsockname()[1]}") as stream:
        for number, frame in enumerate(frames()[:3]):
            estimate = run.push(frame)
            started = time.perf_counter()
            stream.send(line_of(estimate))
            message = json.loads(there.recv(65536))
            delays.append(1e3 * (time.perf_counter() - started))
            assert (message["format"], message["sequence"], message["frame"]) == ("handopt.stream/1", number, number)
            assert np.abs(np.array(message["joints_mm"]) - estimate.joints_mm).max() < 0.001
            assert len(message["joint_visible"]) == len(message["joint_uncertainty_mm"]) == 21
        assert (stream.sent, stream.dropped) == (3, 0)
    with capsys.disabled():
        print(f"median {np.median(delays):.2f} ms from estimate to message")
    assert np.median(delays) < 25


def test_a_frame_without_a_hand_has_nulls() -> None:
    run = Run(CAMERA, "right", smooth=False)
    frame = frames()[0]
    frame.depth_mm[:] = 0
    line = line_of(run.push(frame))
    assert line["tracked"] is False
    assert line["joints_mm"] is line["pose"] is line["confidence"] is None
    json.dumps(line, allow_nan=False)


def test_nobody_is_waited_for() -> None:
    with listener() as there:
        port = there.getsockname()[1]
    with UdpStream(f"udp://127.0.0.1:{port}") as stream:
        started = time.perf_counter()
        for _ in range(10_000):
            stream.send({"frame": 0, "name": "a"})
        assert time.perf_counter() - started < 30
        assert stream.sent + stream.dropped == 10_000
        stream.send({"frame": 1, "name": "x" * 100_000, "error": None})
        assert stream.sent + stream.dropped == 10_001


@pytest.mark.parametrize("address", ["tcp://a:1", "udp://127.0.0.1", "udp://127.0.0.1:99999", "127.0.0.1:9000", ""])
def test_addresses_are_checked(address: str) -> None:
    with pytest.raises(ConfigError, match="expected udp://HOST:PORT"):
        UdpStream(address)
