"""Frames as messages: what is sent is what is known, and nobody is waited for."""

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import pytest
from pythonosc.osc_bundle import OscBundle
from scipy.spatial.transform import Rotation
from support.sequences import CAMERA, FPS, frames
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from handopt.errors import ConfigError
from handopt.tracking.frame_estimate import FrameEstimate
from handopt.tracking.run import Run
from handopt.tracking.stream.message import line_of
from handopt.tracking.stream.open import LatencyMeter, open_stream
from handopt.tracking.stream.websocket import MOST_WAITING, WebSocketStream

NOTHING = FrameEstimate(0, "a", None, None, None, tracked=False)


@lru_cache(maxsize=1)
def estimates() -> tuple[FrameEstimate, ...]:
    run = Run(CAMERA, "right", smooth=False, fps=FPS)
    return tuple(run.push(frame) for frame in frames()[:3])


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])


@pytest.fixture
def served() -> Iterator[tuple[WebSocketStream, str]]:
    address = f"ws://127.0.0.1:{free_port()}"
    with open_stream(address) as stream:
        assert isinstance(stream, WebSocketStream)
        yield stream, address


def joined(stream: WebSocketStream, address: str) -> ClientConnection:
    """A client that the server knows."""
    before = len(stream._queues)
    client = connect(address)
    wait_until(lambda: len(stream._queues) > before)
    return client


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end, "it did not happen in 10 s"
        time.sleep(0.01)


def test_each_frame_arrives_over_udp_with_its_number(listener: socket.socket) -> None:
    delays = []
    with open_stream(f"udp://127.0.0.1:{listener.getsockname()[1]}") as stream:
        for number, estimate in enumerate(estimates()):
            started = time.process_time()  # that of a clock would tell how busy the machine is
            stream.send(estimate)
            data = listener.recv(65536)
            delays.append(1e3 * (time.process_time() - started))
            message = json.loads(data)
            assert (message["format"], message["sequence"], message["frame"]) == ("handopt.stream/1", number, number)
            assert message["hand"] == "right"
            assert abs(message["sent_s"] - time.time()) < 60
            assert np.abs(np.array(message["joints_mm"]) - estimate.joints_mm).max() < 0.001
            assert len(message["joint_visible"]) == len(message["joint_uncertainty_mm"]) == 21
            assert len(data) < 8192
        assert (stream.sent, stream.dropped) == (3, 0)
    assert np.median(delays) < 25


def test_osc_has_metres_and_a_quaternion(listener: socket.socket) -> None:
    estimate = estimates()[1]
    with open_stream(f"osc://127.0.0.1:{listener.getsockname()[1]}") as stream:
        stream.send(NOTHING)
        stream.send(estimate)
    empty = [OscBundle(listener.recv(65536)).content(0)]
    assert [each.address for each in empty] == ["/handopt/frame"]
    assert empty[0].params[:3] == [0, 0, -1.0]
    assert empty[0].params[4:] == [0, -1.0, ""]
    bundle = OscBundle(listener.recv(65536))
    messages = {each.address: each.params for each in bundle}
    assert messages["/handopt/frame"][:2] == [1, 1]
    assert messages["/handopt/frame"][2] == pytest.approx(1 / FPS)
    assert messages["/handopt/frame"][6] == "right"
    wrist, joints = np.array(messages["/handopt/wrist"]), np.array(messages["/handopt/joints"]).reshape(21, 3)
    np.testing.assert_allclose(1000 * joints, estimate.joints_mm, atol=1e-3)
    np.testing.assert_allclose(wrist[:3], joints[0], atol=1e-6)
    np.testing.assert_allclose(Rotation.from_quat(wrist[3:]).as_matrix(), estimate.rotation, atol=1e-5)


def test_each_websocket_client_gets_each_frame(served: tuple[WebSocketStream, str]) -> None:
    stream, address = served
    stream.send(NOTHING)  # nobody is there yet
    with joined(stream, address) as one, joined(stream, address) as other:
        for number, estimate in enumerate(estimates(), 1):
            stream.send(estimate)
            for client in (one, other):
                message = json.loads(client.recv(timeout=5))
                assert (message["sequence"], message["frame"]) == (number, number - 1)
                assert np.abs(np.array(message["joints_mm"]) - estimate.joints_mm).max() < 0.001
    stream.close()
    assert (stream.sent, stream.dropped) == (6, 0)


def test_the_last_messages_arrive_before_the_end(served: tuple[WebSocketStream, str]) -> None:
    stream, address = served
    with joined(stream, address) as client:
        for _ in range(MOST_WAITING):
            stream.send(NOTHING)
        stream.close()
        assert [json.loads(client.recv(timeout=5))["sequence"] for _ in range(MOST_WAITING)] == [*range(MOST_WAITING)]
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=5)


def test_a_slow_and_a_vanished_websocket_client_hold_nobody_up(served: tuple[WebSocketStream, str]) -> None:
    stream, address = served
    slow = joined(stream, address)  # never reads
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    gone = joined(stream, address)
    gone.socket.close()
    longest = 0.0
    for _ in range(3000):
        started = time.perf_counter()
        stream.send(estimates()[0])
        longest = max(longest, time.perf_counter() - started)
    with joined(stream, address) as good:
        stream.send(estimates()[1])
        assert json.loads(good.recv(timeout=10))["sequence"] == 3000
    assert stream.dropped > 0
    assert longest < 5.0, "it returns at once, also on a busy machine"
    started = time.perf_counter()
    stream.close()
    assert time.perf_counter() - started < 8, "it waits for the thread for 5 s at most"
    slow.socket.close()


def test_pages_of_other_sites_are_refused(served: tuple[WebSocketStream, str]) -> None:
    _, address = served
    with pytest.raises(InvalidStatus, match="403"):
        connect(address, origin=Origin("https://example.org"))
    with connect(address, origin=Origin("http://localhost:8000")):
        pass


def test_a_port_that_is_taken_is_named(served: tuple[WebSocketStream, str]) -> None:
    with pytest.raises(ConfigError, match=r"stream=ws://127.0.0.1:\d+ cannot be opened .*: choose another port"):
        open_stream(served[1])


@pytest.mark.parametrize(("scheme", "module"), [("ws", "websockets.asyncio.server"), ("osc", "pythonosc")])
def test_what_is_not_installed_is_named(scheme: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"is not installed: pip install '\.\[stream\]'"):
        open_stream(f"{scheme}://127.0.0.1:{free_port()}")


def test_a_frame_without_a_hand_has_nulls() -> None:
    line = line_of(NOTHING)
    assert line["tracked"] is False
    assert line["joints_mm"] is line["pose"] is line["confidence"] is None
    json.dumps(line, allow_nan=False)


def test_nobody_is_waited_for() -> None:
    with open_stream(f"udp://127.0.0.1:{free_port()}") as stream:
        started = time.perf_counter()
        for _ in range(10_000):
            stream.send(NOTHING)
        assert time.perf_counter() - started < 30
        assert stream.sent + stream.dropped == 10_000


def test_long_names_are_cut(listener: socket.socket) -> None:
    with open_stream(f"udp://127.0.0.1:{listener.getsockname()[1]}") as stream:
        stream.send(FrameEstimate(0, "x" * 100_000, None, "y" * 100_000, None, tracked=False))
        message = json.loads(listener.recv(65536))
    assert (message["name"], message["error"]) == ("x" * 200, "y" * 200)


@pytest.mark.parametrize(
    "address",
    ["tcp://a:1", "udp://127.0.0.1", "udp://127.0.0.1:99999", "ws://:9000", "127.0.0.1:9000", "ws://[::1", "osc://a:0",
     "udp://a:1/path", ""],
)  # fmt: skip
def test_addresses_are_checked(address: str) -> None:
    with pytest.raises(ConfigError, match=r"expected udp://, osc:// or ws://, then HOST:PORT"):
        open_stream(address)


def test_a_host_that_is_not_known_is_named() -> None:
    with pytest.raises(ConfigError, match="the host is not known"):
        open_stream("udp://no such host.invalid:9000")


def test_latency_is_that_of_the_median_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    meter, now = LatencyMeter(), iter([0.0, 0.010, 0.012, 1.0, 1.020, 1.021, 2.0, 2.030, 2.040])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    for _ in range(3):
        meter.frame_taken()
        meter.frame_known()
        meter.message_sent()
    assert meter.median_ms() == pytest.approx((21.0, 2.0), abs=1e-3)
    assert "median 21.0 ms, 2.00 ms of it after the fit" in meter.text()
