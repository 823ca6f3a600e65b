"""What `handopt track` gives while it goes on: messages, lines, and a page."""

import json
import re
import socket
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from support.commands import run
from support.remembered_fits import remember_fits
from support.sequences import samples

from handopt.cli.console import Console
from handopt.input.sequence.base import SequenceFrame
from handopt.tracking.run import Run
from handopt.viewer.live import LivePage

CAMERA_ARGUMENT = "237.5,237.5,159.5,119.5"


@pytest.fixture(autouse=True)
def _each_image_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_fits(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two frames of a sequence."""
    path = tmp_path_factory.mktemp("frames")
    for index in (0, 1):
        Image.fromarray(samples()[index].counts).save(path / f"{index}.png")
    return path


def test_frames_are_streamed_and_their_latency_is_told(folder: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        address = f"udp://127.0.0.1:{listener.getsockname()[1]}"
        done = run(
            "track", folder, "-o", tmp_path / "out", "--camera", CAMERA_ARGUMENT, "--unit", "1", "--no-video",
            "--frames", "2", "--stream", address,
        )  # fmt: skip
        messages = [json.loads(listener.recv(65536)) for _ in range(2)]
    assert done.exit_code == 0, done.output
    assert [(each["sequence"], each["name"], each["tracked"]) for each in messages] == [
        (0, "0.png", True), (1, "1.png", True),
    ]  # fmt: skip
    assert f"{address}: 2 messages were sent." in done.stderr
    found = re.search(
        r"Latency from frame to message: median ([\d.]+) ms, ([\d.]+) ms of it after the fit", done.stderr
    )
    assert found is not None
    assert 0 < float(found[2]) < 25 < float(found[1])


def test_the_hand_is_shown_while_it_is_tracked(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, close = list[Any](), LivePage.close

    def asked(self: LivePage) -> None:
        for path in ("", "frame", "frame?after=1", "elsewhere"):
            try:
                with urlopen(self.url + path) as answer:
                    told.append(answer.read())
            except HTTPError as error:
                told.append(error.code)
                error.close()
        close(self)

    monkeypatch.setattr(LivePage, "close", asked)
    done = run(
        "track", folder, "-o", tmp_path / "out", "--camera", CAMERA_ARGUMENT, "--unit", "1", "--no-video",
        "--frames", "2", "--view", "--no-browser",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert re.search(r"The hand is shown at http://127.0.0.1:\d+/ until the track ends.", done.stderr)
    page, frame, nothing, elsewhere = told
    assert b"<title>out</title>" in page
    shown = json.loads(frame)
    assert (shown["number"], shown["hand"]) == (1, "right")
    joints, vertices = np.array(shown["joints"]), np.array(shown["vertices"]).reshape(-1, 3)
    assert joints.shape == (21, 3)
    assert np.abs(vertices.mean(axis=0) - joints.mean(axis=0)).max() < 60
    assert 0 <= min(shown["faces"]) < max(shown["faces"]) == len(vertices) - 1
    assert (json.loads(nothing), elsewhere) == ({}, 404)


def test_a_port_is_for_a_page_and_one_that_is_taken_is_named(folder: Path, tmp_path: Path) -> None:
    done = run("track", folder, "-o", tmp_path / "out", "--port", "8000")
    assert done.exit_code == 2
    assert "--port and --no-browser are for --view" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(
            "track", folder, "-o", tmp_path / "out", "--camera", CAMERA_ARGUMENT, "--unit", "1", "--view",
            "--no-browser", "--port", port,
        )  # fmt: skip
    assert done.exit_code == 2
    assert f"--port {port} is taken" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--no-smooth"], ["frame 0", "line 0", "frame 1", "line 1"]),
        (["--delay", "1"], ["frame 0", "frame 1", "line 0", "line 1"]),
    ],
)
def test_a_line_is_printed_before_the_next_frame_is_tracked(
    options: list[str], expected: list[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, push = list[str](), Run.push

    def told(self: Run, frame: SequenceFrame) -> Any:
        events.append(f"frame {frame.index}")
        return push(self, frame)

    monkeypatch.setattr(Run, "push", told)
    monkeypatch.setattr(Console, "result", lambda _self, line: events.append(f"line {json.loads(line)['frame']}"))
    done = run(
        "track", folder, "-o", tmp_path / "out", "--camera", CAMERA_ARGUMENT, "--unit", "1", "--no-video",
        "--frames", "2", "--json", *options,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert events == expected


def test_a_delay_is_refused_where_nothing_is_smoothed_or_hands_are_several(folder: Path, tmp_path: Path) -> None:
    for option, reason in ((["--no-smooth"], "leave out --no-smooth"), (["--max-hands", "2"], "is for one hand")):
        done = run("track", folder, "-o", tmp_path / "out", "--delay", "3", *option)
        assert done.exit_code == 2
        assert reason in done.stderr


@pytest.mark.parametrize("address", ["udp://127.0.0.1", "http://127.0.0.1:1"])
def test_streams_are_checked_before_anything_is_tracked(address: str, folder: Path, tmp_path: Path) -> None:
    done = run("track", folder, "-o", tmp_path / "out", "--stream", address)
    assert done.exit_code == 2
    assert f"--stream {address}: expected udp://, osc:// or ws://, then HOST:PORT" in done.stderr
    assert not (tmp_path / "out").exists()
