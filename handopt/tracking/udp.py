"""Frames of a track as UDP messages, sent as they are known; nothing waits for whoever listens."""

import json
import socket
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from handopt.errors import ConfigError

if TYPE_CHECKING:
    from typing import Self

FORMAT: Final = "handopt.stream/1"
MAX_MESSAGE_BYTES: Final = 8192
"""A message has some 2.5 KB; beyond about 64 KB UDP has none."""


class UdpStream:
    """Sends one JSON message for each frame to udp://HOST:PORT.

    A message is a line of track.jsonl with "format", "sequence" (a number that counts messages from 0, so that a
    listener notices those that were lost) and "sent_s" (the sender's clock, seconds since 1970). A listener that is
    slow or gone costs nothing: what cannot be sent at once is dropped and counted in `dropped`.
    """

    def __init__(self, address: str) -> None:
        """Raises ConfigError where the address is none, or its host has no name that is known."""
        parts = urlsplit(address)
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme != "udp" or not parts.hostname or not port or parts.path not in ("", "/"):
            raise ConfigError(f"stream={address}: expected udp://HOST:PORT, such as udp://127.0.0.1:9000")
        try:
            found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_DGRAM)
        except OSError as error:
            raise ConfigError(f"stream={address}: the host is not known ({error.strerror})") from error
        family, kind, protocol, _, place = found[0]
        self._place: Any = place
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)
        self.sent = self.dropped = 0

    def __enter__(self) -> "Self":
        """Nothing to do: the socket is open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, line: dict[str, Any]) -> None:
        """Send a frame, or drop it."""
        number = self.sent + self.dropped
        message = {"format": FORMAT, "sequence": number, "sent_s": round(time.time(), 6), **line}
        data = json.dumps(message, separators=(",", ":"), allow_nan=False).encode("utf-8")
        if len(data) > MAX_MESSAGE_BYTES:  # only a name or an error of a frame can be that long
            message |= {name: str(message.get(name))[:200] for name in ("name", "error")}
            data = json.dumps(message, separators=(",", ":"), allow_nan=False).encode("utf-8")
        try:
            self._socket.sendto(data, self._place)
            self.sent += 1
        except OSError:  # nobody listens, or the buffer is full
            self.dropped += 1
