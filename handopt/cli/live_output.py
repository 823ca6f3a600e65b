"""What a track gives while it goes on: lines on stdout, and messages to whoever listens."""

import json
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from handopt.cli.console import Console
from handopt.cli.errors import naming_option

if TYPE_CHECKING:
    from typing import Self

    from handopt.tracking.frame_estimate import FrameEstimate


class LiveOutput:
    """Prints and sends each frame as it is known; to be entered with `with`.

    addresses: of streams. prints: whether each frame's line goes to stdout. latency: measures how long that takes.
    """

    def __init__(self, addresses: tuple[str, ...], console: Console, *, prints: bool) -> None:
        """Open the streams. Raises UsageError."""
        from handopt.tracking.stream.open import LatencyMeter, open_stream

        self._console, self._prints = console, prints
        self.latency = LatencyMeter()
        with naming_option("--stream"), ExitStack() as opened:
            self._streams = {address: opened.enter_context(open_stream(address)) for address in addresses}
            self._closing = opened.pop_all()

    def __enter__(self) -> "Self":
        """The streams are open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the streams."""
        self._closing.close()

    def emit(self, estimate: "FrameEstimate") -> None:
        """Send and print a frame."""
        if not self._streams and not self._prints:
            return
        from handopt.tracking.stream.message import line_of

        self.latency.frame_known()
        for stream in self._streams.values():
            stream.send(estimate)
        if self._prints:
            self._console.result(json.dumps(line_of(estimate), allow_nan=False))
        self.latency.message_sent()

    def say(self) -> None:
        """Say how many messages went out, and how soon."""
        for address, stream in self._streams.items():
            lost = f", {stream.dropped} were dropped" if stream.dropped else ""
            self._console.say(f"{address}: {stream.sent} messages were sent{lost}.")
        if self._streams:
            self._console.say(self.latency.text())
