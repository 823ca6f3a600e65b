"""What all streams have alike: an address, and messages that nobody waits for."""

import json
import socket
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from handopt.errors import ConfigError
from handopt.tracking.stream.message import hand_of, line_of

if TYPE_CHECKING:
    from typing import Self

    from handopt.tracking.frame_estimate import FrameEstimate

FORMAT: Final = "handopt.stream/1"
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_TEXT_CHARACTERS: Final = 200
"""A name, or an error, of a frame is cut there, so that a message has at most 8 KB (UDP takes 64 KB at most)."""


class FrameStream(ABC):
    """Sends a message for each frame, with a number that counts messages from 0. Nothing waits for whoever listens.

    sent: messages that left. dropped: those that could not be sent at once, or that a slow client did not take.
    """

    def __init__(self) -> None:
        self.sent = self.dropped = self._number = 0

    def __enter__(self) -> "Self":
        """The stream itself, which is open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def send(self, estimate: "FrameEstimate") -> None:
        """Send a frame, or drop it; returns at once."""
        self._send(estimate, self._number, round(time.time(), 6))
        self._number += 1

    @abstractmethod
    def close(self) -> None:
        """End it."""

    @abstractmethod
    def _send(self, estimate: "FrameEstimate", number: int, sent_s: float) -> None:
        """Send a frame, and count it in `sent` or `dropped`."""


class DatagramStream(FrameStream):
    """A stream of UDP packets."""

    def __init__(self, address: str) -> None:
        """Raises ConfigError where the host is not known."""
        super().__init__()
        host, port = host_and_port(address)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            raise ConfigError(f"stream={address}: the host is not known ({error})") from error
        family, kind, protocol, _, place = found[0]
        self._place: Any = place
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _packet(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._place)
            self.sent += 1
        except OSError:  # nobody listens, or the buffer is full
            self.dropped += 1


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of SCHEME://HOST:PORT. Raises ConfigError."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = None, None, None
    if parts is None or not host or not port or parts.path not in ("", "/") or parts.query or parts.username:
        raise ConfigError(
            f"stream={address}: expected udp://, osc:// or ws://, then HOST:PORT, such as udp://127.0.0.1:9000"
        )
    return host, port


def json_message(estimate: "FrameEstimate", number: int, sent_s: float) -> str:
    """The message of a frame: its line, with format, number, the sender's clock, and which hand it is."""
    line = line_of(estimate)
    for name in ("name", "error"):
        if line[name] is not None:
            line[name] = line[name][:_TEXT_CHARACTERS]
    message = {"format": FORMAT, "sequence": number, "sent_s": sent_s, **hand_of(estimate), **line}
    return json.dumps(message, separators=(",", ":"), allow_nan=False)
