"""`handopt track --live` on librealsense's software device, from the camera's frames to the files."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.fake_realsense import FPS, SoftCamera, librealsense
from support.sequences import CAMERA, samples, truth

from handopt.assets import asset
from handopt.cli.main import main
from handopt.cli.stop_signal import StopOnSignal
from handopt.input import sequence
from handopt.input.sequence.realsense import open_camera
from handopt.proposals.model_file import ASSET, default_model

UNIT_MM = 0.25
SHOWN, HELD = 10, 4


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> SoftCamera:
    """A camera that `--live` opens, and which may be silent for 1.5 s."""
    rs = librealsense()
    camera = SoftCamera(rs, (CAMERA.width, CAMERA.height), UNIT_MM, (CAMERA.fx, CAMERA.fy))
    monkeypatch.setattr(sequence, "live_source", lambda asked: open_camera(asked, 1.5, camera.device))
    return camera


def images() -> list[Any]:
    """The first image is held for a while, in which the hand is found."""
    counts = [np.round(sample.counts / UNIT_MM).astype(np.uint16) for sample in samples()[: SHOWN - HELD]]
    return [counts[0]] * HELD + counts


def live(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["track", "--live", *map(str, arguments)])


def test_a_camera_that_is_unplugged_leaves_what_was_tracked(camera: SoftCamera, tmp_path: Path) -> None:
    feeder = camera.film(images(), every_s=0.25)
    done = live("-o", tmp_path / "now")
    feeder.join()
    assert done.exit_code == 1, done.output
    assert "it may have been unplugged: what was tracked before is kept; check its cable" in done.stderr
    assert "frames/s   hand followed" in done.stderr
    facts = json.loads((tmp_path / "now" / "track.json").read_text())
    lines = [json.loads(line) for line in (tmp_path / "now" / "track.jsonl").read_text().splitlines()]
    shown = [round(line["time_s"] * FPS) for line in lines]
    assert 2 <= len(lines) <= SHOWN
    assert shown == sorted(set(shown))
    assert facts["camera"]["fx"] == CAMERA.fx
    assert facts["fps"] == pytest.approx((len(lines) - 1) / lines[-1]["time_s"], rel=1e-3)
    assert {each.name for each in (tmp_path / "now").iterdir()} >= {"track.npz", "hand.glb", "hand.bvh", "track.mp4"}
    off = np.linalg.norm(np.array(lines[-1]["joints_mm"]) - truth()[SHOWN - HELD - 1], axis=1)
    assert np.median(off) < 6.0, "the last frame is the newest"


def test_a_model_proposes_poses_of_a_camera(camera: SoftCamera, tmp_path: Path) -> None:
    shutil.copy(asset(ASSET), tmp_path / "base.npz")
    feeder = camera.film(images(), every_s=0.25)
    done = live("-o", tmp_path / "now", "--no-video", "--proposals", tmp_path / "base.npz", "--frames", "1")
    feeder.join()
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "now" / "track.json").read_text())["proposals"] == default_model().describe()


def test_a_network_alone_predicts_what_a_camera_sees(camera: SoftCamera, tmp_path: Path) -> None:
    feeder = camera.film(images() * 2, every_s=0.25)
    given = ("predict", "--live", "--hand", "right", "-o", tmp_path / "now", "--json", "--frames", "5")
    done = CliRunner().invoke(main, list(map(str, given)))
    feeder.join()
    assert done.exit_code == 0, done.output
    assert "frames/s   hand followed" in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 5
    assert [line["refitted"] for line in lines[1:]] == [False] * 4, "only the first image is observed as a whole"
    kept = [json.loads(line) for line in (tmp_path / "now" / "track.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in kept] == [line["frame"] for line in lines]


def test_ctrl_c_ends_it_with_everything_written(camera: SoftCamera, tmp_path: Path) -> None:
    def press() -> None:
        if getattr(signal.getsignal(signal.SIGINT), "__self__", None).__class__ is StopOnSignal:
            os.kill(os.getpid(), signal.SIGINT)

    feeder = camera.film(images()[:5], every_s=0.12, then=press)
    done = live("-o", tmp_path / "now", "--no-video")
    feeder.join()
    assert done.exit_code == 0, done.output
    count = len((tmp_path / "now" / "track.jsonl").read_text().splitlines())
    assert f"Stopped after {count} frames" in done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'now'}\t{count}\t")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_frames_can_be_counted_and_no_hand_is_said(camera: SoftCamera, tmp_path: Path) -> None:
    feeder = camera.film([np.zeros((CAMERA.height, CAMERA.width), np.uint16)] * 8, every_s=0.05)
    done = live("-o", tmp_path / "now", "--frames", "3")
    feeder.join()
    assert done.exit_code == 1
    assert "no hand was found in any of 3 frames of live" in done.stderr
    assert not (tmp_path / "now").exists()


def test_a_camera_that_gives_nothing_at_all_is_what_is_said(camera: SoftCamera, tmp_path: Path) -> None:
    done = live("-o", tmp_path / "now")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error: --live: the camera gave no frame for 1.6 s")
    assert not (tmp_path / "now").exists()


def test_a_frame_in_hand_is_finished_and_a_second_ctrl_c_is_an_ordinary_one() -> None:
    with StopOnSignal() as until:
        taken = []
        for number in until.frames(range(9)):
            if number == 2:
                signal.raise_signal(signal.SIGINT)
            taken.append(number)
        assert taken == [0, 1, 2]
        assert until.stopped
        assert until.count == 3
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
