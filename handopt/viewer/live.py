"""The page of a track that goes on: it shows the newest frame, which its server holds for it."""

import html
import threading
from collections.abc import Callable, Mapping
from typing import Any

from handopt.viewer.page import filled, static, three
from handopt.viewer.server import LocalServer, PageReply, PageRequest


class LivePage:
    """A page on this machine with the newest frame; a page that is slow, or none, costs the track nothing.

    url: where it is. Frames are turned into JSON when a page asks for them, on a thread of the server.
    """

    def __init__(self, title: str, port: int = 0) -> None:
        """port: 0 for one that is free. Raises OutputError where it is taken."""
        self._page = PageReply.page(
            filled("live.html", title=html.escape(title), three=three(), script=static("live.js"))
        )
        self._newest: tuple[int, Callable[[], Mapping[str, Any]]] | None = None
        self._server = LocalServer(self._reply, port)
        self.url = self._server.url
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="handopt-page", daemon=True
        )
        self._thread.start()

    def show(self, number: int, frame: Callable[[], Mapping[str, Any]]) -> None:
        """Show a frame from now on. frame: makes what the page needs of it, if a page asks."""
        self._newest = number, frame

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _reply(self, request: PageRequest) -> PageReply:
        if request.path in ("", "index.html"):
            return self._page
        if request.path != "frame":
            return PageReply.error("there is nothing here")
        newest = self._newest
        if newest is None or request.query == f"after={newest[0]}":
            return PageReply.of_json({})
        return PageReply.of_json({"number": newest[0], **newest[1]()})
