"""A page of this machine that a command serves until Ctrl-C."""

import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from handopt.cli.console import Console
from handopt.cli.errors import naming_option
from handopt.cli.help import Command, option

if TYPE_CHECKING:
    from handopt.viewer.server import LocalServer, PageReply, PageRequest


def page_options(command: Command) -> Command:
    """--port and --no-browser."""
    command = option(
        "Page",
        "--browser/--no-browser",
        default=True,
        help="Open the page in a browser, or print its address alone.  [default: --browser]",
    )(command)
    return option(
        "Page",
        "--port",
        type=click.IntRange(0, 65535),
        default=0,
        metavar="N",
        help="Port of the page on this machine.  [default: one that is free]",
    )(command)


def open_server(answer: "Callable[[PageRequest], PageReply]", port: int) -> "LocalServer":
    """A server for a page. Raises UsageError where the port is taken."""
    from handopt.viewer.server import LocalServer

    with naming_option("--port"):
        return LocalServer(answer, port)


def show_page(server: "LocalServer", console: Console, *, browser: bool) -> None:
    """Print the address, open a browser, and serve until Ctrl-C, which is how this ends."""
    with server:
        console.result(server.url)
        if browser:
            open_browser(server.url, console)
        console.say("Ctrl-C ends this.")
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            console.say("")


def open_browser(url: str, console: Console) -> None:
    """Open a page, or say that the user has to."""
    if not _opened(url):
        console.note(f"no browser could be opened: open {url} in one yourself.")


def _opened(url: str) -> bool:
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
