"""The local server: for pages of this machine alone."""

import http.client
import json
import threading
from collections.abc import Iterator

import pytest

from handopt.errors import OutputError
from handopt.viewer.server import MAX_BODY_BYTES, LocalServer, PageReply, PageRequest


def answer(request: PageRequest) -> PageReply:
    if request.path == "broken":
        raise KeyError("no such thing")
    if request.method == "POST":
        return PageReply.of_json({"got": request.json()})
    return PageReply.of_json({"path": request.path, "query": request.query})


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer(answer) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(server: LocalServer, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, text


def test_it_answers_on_the_loopback_address_alone(server: LocalServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    status, text = ask(server, "GET", "/a%20b/c?d=1")
    assert (status, json.loads(text)) == (200, {"path": "a b/c", "query": "d=1"})


def test_other_sites_are_kept_out(server: LocalServer) -> None:
    assert ask(server, "GET", "/", Host=f"evil.example:{server.server_port}")[0] == 403
    assert ask(server, "POST", "/", b"{}", Content_Type="text/plain")[0] == 415
    assert ask(server, "POST", "/", b'{"a": 1}', Content_Type="application/json") == (200, '{"got": {"a": 1}}')


def test_a_huge_body_and_a_broken_request_end_nothing(server: LocalServer) -> None:
    assert ask(server, "POST", "/", Content_Length=str(MAX_BODY_BYTES + 1), Content_Type="application/json")[0] == 413
    assert ask(server, "GET", "/broken") == (500, "KeyError: 'no such thing'")
    assert ask(server, "GET", "/")[0] == 200


def test_a_port_that_is_taken_is_named(server: LocalServer) -> None:
    with pytest.raises(OutputError, match=rf"port={server.server_port} is taken .*: choose another, or leave it out"):
        LocalServer(answer, server.server_port)
