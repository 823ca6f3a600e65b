"""A small web server for pages of this machine: bound to the loopback address, closed to pages of other sites."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from handopt.errors import OutputError

LOOPBACK: Final = "127.0.0.1"
MAX_BODY_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class PageRequest:
    """What a page asks for: method, path without the leading slash, query, and body."""

    method: str
    path: str
    query: str
    body: bytes

    def json(self) -> Any:
        """The body as JSON values. Raises ValueError."""
        return json.loads(self.body.decode("utf-8"))


@dataclass(frozen=True)
class PageReply:
    """What the server answers. kind: the media type. kept_s: how long the browser may keep it, s."""

    body: bytes
    kind: str = "application/json"
    status: int = 200
    kept_s: int = 0

    @classmethod
    def page(cls, text: str) -> "PageReply":
        """A page."""
        return cls(text.encode("utf-8"), "text/html; charset=utf-8")

    @classmethod
    def of_json(cls, value: Any) -> "PageReply":
        """JSON values."""
        return cls(json.dumps(value, allow_nan=False).encode("utf-8"))

    @classmethod
    def error(cls, text: str, status: int = 404) -> "PageReply":
        """A sentence on what is wrong."""
        return cls(text.encode("utf-8"), "text/plain; charset=utf-8", status)


class LocalServer(ThreadingHTTPServer):
    """A server on the loopback address, one thread a request."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer: Callable[[PageRequest], PageReply], port: int = 0) -> None:
        """answer: what is answered to a request, on any thread. port: 0 for one that is free. Raises OutputError."""
        self.answer = answer
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            reason = "is taken" if port else "cannot be opened"
            raise OutputError(f"port={port} {reason} ({error.strerror}): choose another, or leave it out") from error

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that was closed meanwhile is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: LocalServer

    def do_GET(self) -> None:
        self._reply(b"")

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= MAX_BODY_BYTES:
            self._send(PageReply.error(f"a body of at most {MAX_BODY_BYTES} bytes was expected", 413))
            return
        if self.headers.get("Content-Type", "").partition(";")[0] != "application/json":
            self._send(PageReply.error("JSON was expected", 415))
            return
        self._reply(self.rfile.read(length))

    def _reply(self, body: bytes) -> None:
        # Another site's page can neither read answers nor send JSON here; a name that it points here is refused, too.
        host = self.headers.get("Host", "").rpartition(":")[0]
        if host not in (LOOPBACK, "localhost"):
            self._send(PageReply.error("this server is for pages of its own machine", 403))
            return
        parts = urlsplit(self.path)
        request = PageRequest(self.command, unquote(parts.path).lstrip("/"), parts.query, body)
        try:
            answer = self.server.answer(request)
        except Exception as error:  # one request that fails must not end the others
            answer = PageReply.error(f"{type(error).__name__}: {error}", 500)
        self._send(answer)

    def _send(self, answer: PageReply) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", f"private, max-age={answer.kept_s}" if answer.kept_s else "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: stderr belongs to the command."""
