"""What a track gives while it goes on: lines on stdout, and messages to whoever listens."""

import json
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from handopt.cli.console import Console
from handopt.cli.errors import naming_option

if TYPE_CHECKING:
    from typing import Self

    from handopt.tracking.frame_estimate import FrameEstimate
    from handopt.viewer.live import LivePage


class LiveOutput:
    """Prints and sends each frame as it is known; to be entered with `with`.

    addresses: of streams. prints: whether each frame's line goes to stdout. latency: measures how long that takes.
    """

    def __init__(self, addresses: tuple[str, ...], console: Console, *, prints: bool) -> None:
        """Open the streams. Raises UsageError."""
        from handopt.tracking.stream.open import LatencyMeter, open_stream

        self._console, self._prints = console, prints
        self._page: LivePage | None = None
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
        if self._page is not None:
            self._page.close()

    def show_in(self, page: "LivePage") -> None:
        """Show each frame in a page as well, which is closed at the end."""
        self._page = page

    def emit(self, estimate: "FrameEstimate") -> None:
        """Send and print a frame."""
        if self._page is not None:
            self._page.show(estimate.frame, lambda: _shown(estimate))
        if not self._streams and not self._prints:
            return
        from handopt.tracking.stream.message import hand_of, line_of

        self.latency.frame_known()
        for stream in self._streams.values():
            stream.send(estimate)
        if self._prints:
            which = {} if estimate.number is None else hand_of(estimate)
            self._console.result(json.dumps({**which, **line_of(estimate)}, allow_nan=False))
        self.latency.message_sent()

    def say(self, delay: int | None = None) -> None:
        """Say how many messages went out, and how soon. delay: of how many frames before the newest they are."""
        for address, stream in self._streams.items():
            lost = f", {stream.dropped} were dropped" if stream.dropped else ""
            self._console.say(f"{address}: {stream.sent} messages were sent{lost}.")
        if self._streams:
            self._console.say(self.latency.text())
        if self._streams and delay is not None:
            self._console.say(f"Each message is that of {delay} frames before.")


def _shown(estimate: "FrameEstimate") -> dict[str, Any]:
    """What the page shows of a frame; lengths in mm."""
    import numpy as np

    if not (estimate.tracked or estimate.bridged):
        return {"hand": estimate.hand, "confidence": None}
    return {
        "hand": estimate.hand,
        "confidence": round(float(estimate.confidence), 3) if np.isfinite(estimate.confidence) else None,
        "joints": estimate.joints_mm.round(2).tolist(),
        "vertices": estimate.vertices_mm().round(2).ravel().tolist(),
        "faces": estimate.faces.ravel().tolist(),
    }


def live_page(title: str, port: int, console: Console, *, browser: bool) -> "LivePage":
    """Serve the page, say its address, and open a browser. Raises UsageError where the port is taken."""
    from handopt.cli.local_page import open_browser
    from handopt.viewer.live import LivePage

    with naming_option("--port"):
        page = LivePage(title, port)
    console.say(f"The hand is shown at {page.url} until the track ends.")
    if browser:
        open_browser(page.url, console)
    return page
