"""Frames of a track for WebSocket clients, such as pages in a browser."""

import asyncio
import contextlib
import logging
import re
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from handopt.errors import ConfigError, how_to_install
from handopt.tracking.stream.base import LOOPBACK_NAMES, FrameStream, host_and_port, json_message

if TYPE_CHECKING:
    from handopt.tracking.frame_estimate import FrameEstimate

MOST_WAITING: Final = 4
"""Messages that wait for a client; of more the oldest are dropped, as the newest pose is what counts."""
MOST_CLIENTS: Final = 32
_LAST_S: Final = 0.5
"""How long clients may take for the last messages when the track ends."""
_LOCAL_PAGE: Final = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


class WebSocketStream(FrameStream):
    """Serves ws://HOST:PORT, and sends each client one JSON message for each frame from then on.

    The server is reached under the host that is named, so with 127.0.0.1 or localhost from this machine only; then
    pages of other sites are refused as well. It has a thread of its own. Each client has its own short queue: one that
    is slow misses messages, which `dropped` counts, and one that has vanished is forgotten.
    """

    def __init__(self, address: str) -> None:
        """Raises ConfigError where the port cannot be opened, or websockets is not installed."""
        super().__init__()
        try:
            from websockets.asyncio.server import serve
        except ImportError as error:
            raise ConfigError(f"stream={address}: websockets is not installed: {how_to_install('stream')}") from error
        self._serve: Any = serve
        host, port = host_and_port(address)
        self._local = host in LOOPBACK_NAMES
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self._socket = socket.create_server((host, port), family=family)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"stream={address} cannot be opened ({reason}): choose another port") from error
        self._queues: set[asyncio.Queue[str]] = set()
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="handopt-websocket", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let clients have the last messages, for half a second at most, and close."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop may have ended by itself
                self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(10 * _LAST_S)  # a daemon: what does not end must not hold up the command
        self._socket.close()

    def _send(self, estimate: "FrameEstimate", number: int, sent_s: float) -> None:
        text = json_message(estimate, number, sent_s)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._offer, text)

    def _offer(self, text: str) -> None:
        """Put a message into the queue of each client."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
                self.dropped += 1
            queue.put_nowait(text)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self._loop.close()

    async def _main(self) -> None:
        silent = logging.Logger("handopt.websocket", logging.CRITICAL + 1)  # a client that fails is no news
        origins = [None, _LOCAL_PAGE] if self._local else None
        async with self._serve(
            self._client, sock=self._socket, origins=origins, compression=None, close_timeout=_LAST_S, max_size=4096,
            logger=silent,
        ):  # fmt: skip
            await self._ended.wait()
            waited = 0.0
            while any(not queue.empty() for queue in self._queues) and waited < _LAST_S:
                await asyncio.sleep(0.01)
                waited += 0.01

    async def _client(self, client: Any) -> None:
        """Send one client what comes, until it leaves or the server ends."""
        if len(self._queues) >= MOST_CLIENTS:
            await client.close(1013, "too many clients")
            return
        queue: asyncio.Queue[str] = asyncio.Queue(MOST_WAITING)
        self._queues.add(queue)
        writing = asyncio.create_task(self._write(client, queue))
        try:
            await client.wait_closed()
        finally:
            self._queues.discard(queue)
            writing.cancel()

    async def _write(self, client: Any, queue: "asyncio.Queue[str]") -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            while True:
                await client.send(await queue.get())
                self.sent += 1
