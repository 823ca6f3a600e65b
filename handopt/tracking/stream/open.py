"""Open a stream by its address, and measure how long frames take to become messages."""

import time
from array import array

import numpy as np

from handopt.errors import ConfigError
from handopt.tracking.stream.base import FrameStream, host_and_port


def open_stream(address: str) -> FrameStream:
    """A stream for frames of a track, to be closed, or entered with `with`.

    >>> with handopt.open_stream("ws://127.0.0.1:9001") as stream:
    ...     for estimate in handopt.track("frames/", smooth=False):
    ...         stream.send(estimate)

    address: udp://HOST:PORT and osc://HOST:PORT are sent to, ws://HOST:PORT is served. Raises ConfigError.
    """
    scheme = address.partition("://")[0].lower()
    host_and_port(address)
    if scheme == "udp":
        from handopt.tracking.stream.udp import UdpStream

        return UdpStream(address)
    if scheme == "osc":
        from handopt.tracking.stream.osc import OscStream

        return OscStream(address)
    if scheme == "ws":
        from handopt.tracking.stream.websocket import WebSocketStream

        return WebSocketStream(address)
    raise ConfigError(f"stream={address}: expected udp://, osc:// or ws://, then HOST:PORT")


class LatencyMeter:
    """How long frames take from the moment when the tracker has them until their messages have left."""

    def __init__(self) -> None:
        self._taken = self._known = 0.0
        self._whole, self._after = array("f"), array("f")

    def frame_taken(self) -> None:
        """The tracker gets a frame."""
        self._taken = time.perf_counter()

    def frame_known(self) -> None:
        """The hand in it is known."""
        self._known = time.perf_counter()

    def message_sent(self) -> None:
        """Its message has left."""
        now = time.perf_counter()
        self._whole.append(now - self._taken)
        self._after.append(now - self._known)

    def median_ms(self) -> tuple[float, float]:
        """From frame to message, and of it what comes after the fit, ms; NaN without a frame."""
        if not self._whole:
            return np.nan, np.nan
        return 1e3 * float(np.median(self._whole)), 1e3 * float(np.median(self._after))

    def text(self) -> str:
        """What was measured, as a sentence."""
        whole, after = self.median_ms()
        worst = 1e3 * float(np.percentile(self._whole, 95)) if self._whole else np.nan
        return (
            f"Latency from frame to message: median {whole:.1f} ms, {after:.2f} ms of it after the fit; "
            f"95 % within {worst:.1f} ms."
        )
