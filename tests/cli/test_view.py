"""`handopt view`: what it writes and serves, and what it refuses."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from support.commands import run, tracked
from support.fitted import fit_folder

from handopt.viewer.server import LocalServer, PageReply

__all__ = ["fit_folder", "tracked"]


def test_the_page_of_several_results_is_one_file(fit_folder: Path, tracked: Path, tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    done = run("view", fit_folder, tracked, fit_folder / "mesh.glb", "--html", page)
    assert (done.exit_code, done.stdout) == (0, f"{page}\n")
    text = page.read_text(encoding="utf-8")
    assert [text.count(f'id="item-{index}"') for index in range(4)] == [1, 1, 1, 0]


def test_a_file_that_exists_is_kept(fit_folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    done = run("view", fit_folder, "--html", page)
    assert done.exit_code == 2
    assert f"--html {page} exists and was kept: replace it with --overwrite" in done.stderr
    assert page.read_text() == "mine"
    assert run("view", fit_folder, "--html", page, "--overwrite").exit_code == 0
    assert len(page.read_text(encoding="utf-8")) > 100_000
    for wrong, told in ((tmp_path / "page.png", "give a name that ends in .html"), (tmp_path, "give a name")):
        done = run("view", fit_folder, "--html", wrong)
        assert done.exit_code == 2
        assert told in done.stderr


def test_what_is_no_result_is_named(tmp_path: Path) -> None:
    done = run("view", tmp_path)
    assert done.exit_code == 2
    assert f"{tmp_path} is not a result: give folders that handopt track or handopt fit wrote" in done.stderr


def test_a_damaged_result_is_named_and_the_others_are_shown(fit_folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "result.json").write_text('{"format": "handopt.result/0"}')
    alone = run("view", bad, "--html", tmp_path / "bad.html")
    assert alone.exit_code == 1
    assert "has the format 'handopt.result/0', and 'handopt.result/1' is needed: fit it again" in alone.stderr
    assert not (tmp_path / "bad.html").exists()
    served = run("view", bad, "--no-browser")
    assert served.exit_code == 1
    assert "is needed: fit it again" in served.stderr
    both = run("view", bad, fit_folder, "--html", tmp_path / "both.html")
    assert both.exit_code == 1
    assert "is needed: fit it again" in both.stderr
    assert 'id="item-0"' in (tmp_path / "both.html").read_text(encoding="utf-8")


def test_a_port_that_is_taken_is_a_usage_error(fit_folder: Path) -> None:
    with LocalServer(lambda request: PageReply.page("")) as other:
        done = run("view", fit_folder, "--no-browser", "--port", str(other.server_port))
    assert done.exit_code == 2
    assert f"--port {other.server_port} is taken" in done.stderr


@pytest.mark.process
def test_the_page_is_served_until_ctrl_c_also_without_a_browser(fit_folder: Path) -> None:
    environment = {**os.environ, "BROWSER": "no-such-browser", "DISPLAY": "", "PATH": ""}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "handopt", "view", str(fit_folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        with urllib.request.urlopen(url, timeout=20) as reply:
            assert b"handopt view" in reply.read()
        with urllib.request.urlopen(f"{url}scene/0", timeout=20) as reply:
            assert reply.headers["Content-Type"] == "application/json"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert f"no browser could be opened: open {url} in one yourself" in said
    assert "Traceback" not in said
