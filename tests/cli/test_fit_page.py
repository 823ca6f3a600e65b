"""`handopt fit --view`: a page to which results come, and which lives until Ctrl-C."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import click
import pytest
from support.browser import chromium, complaints, pixels, require_chromium, wait_for
from support.fit_cli import FakeFit, fake_fit, fit, write_camera, write_depth
from support.fitted import fit_folder

from handopt.cli.console import Console
from handopt.cli.fit_page import FitPage

__all__ = ["fake_fit", "fit_folder"]


def outcome(*folders: Path) -> Any:
    each = [SimpleNamespace(status="ok", task=SimpleNamespace(folder=folder)) for folder in folders]
    return SimpleNamespace(hands=tuple(each[1:]) and tuple(each), status="ok", task=each[0].task)


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is said, and Ctrl-C as soon as the page waits for it."""
    said: list[str] = []
    monkeypatch.setattr(Console, "say", lambda _self, line, level=0: said.append(line))

    def pressed(_self: FitPage) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FitPage, "_wait", pressed)
    with click.Context(click.Command("fit")):
        yield said


def asked(page: FitPage, path: str) -> Any:
    with urlopen(page._server.url + path) as reply:
        return json.loads(reply.read())


def test_results_are_listed_as_they_come(fit_folder: Path, told: list[str]) -> None:
    root = fit_folder.parent
    with FitPage(root, 0, Console(), browser=False) as page:
        assert asked(page, "items?after=0") == []
        page.add(outcome(fit_folder))
        page.add(SimpleNamespace(hands=(), status=None, task=None))
        assert asked(page, "items?after=0") == [{"title": fit_folder.name, "note": ""}]
        page.add(outcome(root / "b" / "right", root / "b" / "left"))
        assert asked(page, "items?after=1") == [{"title": "right", "note": "b"}, {"title": "left", "note": "b"}]
        assert asked(page, "scene/0")["kind"] == "fit"
    assert [line.partition(" at http")[0] for line in told[:2]] == [
        "Results are shown", "All is done; Ctrl-C ends the page.",
    ]  # fmt: skip
    with pytest.raises(OSError, match="refused"):
        asked(page, "items?after=0")


def test_the_newest_result_is_on_the_screen(fit_folder: Path, tmp_path: Path) -> None:
    require_chromium()
    with chromium(tmp_path) as driver, FitPage(fit_folder.parent, 0, Console(), browser=False) as page:
        driver.get(page._server.url)
        wait_for(driver, "document.getElementById('message').textContent === 'Waiting for the first result.'")
        page.add(outcome(fit_folder))
        wait_for(driver, "window.handopt.ready")
        picture = pixels(driver)
        skin = (picture[..., 0] > picture[..., 2] + 40) & (picture[..., 0] > 120)
        assert skin.mean() > 0.01, "the hand is on the screen"
        page.add(outcome(fit_folder))
        wait_for(driver, "document.querySelectorAll('#items a').length === 2")
        wait_for(driver, "document.querySelectorAll('#items a')[1].hasAttribute('aria-current')")
        assert complaints(driver) == []


def test_the_command_serves_until_ctrl_c_and_then_says_how_it_ended(
    fake_fit: FakeFit, tmp_path: Path, told: list[str]
) -> None:
    write_depth(tmp_path / "a.png")
    write_camera(tmp_path)
    done = fit(tmp_path / "a.png", "-o", tmp_path / "out", "--view", "--no-browser")
    assert done.exit_code == 0, done.output
    assert "All is done; Ctrl-C ends the page." in told
    assert (tmp_path / "out" / "a" / "result.json").is_file()


def test_options_of_the_page_are_checked(tmp_path: Path) -> None:
    write_depth(tmp_path / "a.png")
    write_camera(tmp_path)
    given = (tmp_path / "a.png", "-o", tmp_path / "out")
    assert "are for --view" in fit(*given, "--no-browser").stderr
    assert "leave it out with --verify" in fit(*given, "--view", "--verify").stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = fit(*given, "--view", "--no-browser", "--port", port)
    assert done.exit_code == 2
    assert f"--port {port} is taken" in done.stderr
