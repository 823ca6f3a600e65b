"""The page of `handopt fit --view`: each result is in its list as soon as it is there."""

import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from handopt.cli.console import Console
from handopt.cli.local_page import open_browser, open_server

if TYPE_CHECKING:
    from typing import Self

    from handopt.batch.outcome import Outcome
    from handopt.viewer.server import PageReply, PageRequest

JOIN_S = 0.5


class FitPage:
    """A page on this machine with the results so far; to be entered with `with`, which serves until Ctrl-C at its end.

    An error or Ctrl-C inside ends it at once.
    """

    def __init__(self, root: Path, port: int, console: Console, *, browser: bool) -> None:
        """Serve the page of the results below a folder. Raises UsageError where the port is taken."""
        self._root, self._console = root, console
        self._folders: list[Path] = []
        self._server = open_server(self._reply, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()
        console.say(f"Results are shown at {self._server.url} as they come.")
        if browser:
            open_browser(self._server.url, console)

    def __enter__(self) -> "Self":
        """The page is served."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Go on until Ctrl-C where all went well, and end the server."""
        try:
            if kind is None and self._folders:
                self._console.say("All is done; Ctrl-C ends the page.")
                self._wait()
        except KeyboardInterrupt:
            self._console.say("")
        finally:
            self._server.shutdown()
            self._server.server_close()

    def _wait(self) -> None:
        while self._thread.is_alive():
            self._thread.join(JOIN_S)

    def add(self, outcome: "Outcome") -> None:
        """List the results of an image, if it has any."""
        self._folders += [each.task.folder for each in outcome.hands or (outcome,) if each.status is not None]

    def _reply(self, request: "PageRequest") -> "PageReply":
        from handopt.cli.view import scene_reply
        from handopt.viewer.page import Item, view_page
        from handopt.viewer.server import PageReply

        folders = self._folders[:]
        if request.path in ("", "index.html"):
            items = [Item(**self._named(each)) for each in folders]
            return PageReply.page(view_page(items, self._root.name, grows=True))
        if request.path == "items":
            after = request.query.removeprefix("after=")
            first = int(after) if after.isdecimal() else 0
            return PageReply.of_json([self._named(each) for each in folders[first:]])
        number = request.path.removeprefix("scene/")
        if number.isdecimal() and int(number) < len(folders):
            return scene_reply(folders[int(number)])
        return PageReply.error("there is nothing here")

    def _named(self, folder: Path) -> dict[str, Any]:
        """What the list says of a result."""
        inside = folder.relative_to(self._root) if folder.is_relative_to(self._root) else folder
        parent = inside.parent
        return {"title": inside.name, "note": "" if parent == Path() else str(parent)}
