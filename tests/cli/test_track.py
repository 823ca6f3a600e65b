"""`handopt track` and `handopt video`, and `handopt synth --sequence`."""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from support.character_files import character, names_of
from support.remembered_fits import remember_fits
from support.sequences import CAMERA, frames, samples

from handopt.cli.main import main
from handopt.input import sequence
from handopt.input.sequence import SourceError
from handopt.input.sequence.base import SequenceFrame
from handopt.tracking.run import Run

CAMERA_ARGUMENT = "237.5,237.5,159.5,119.5"


@pytest.fixture(autouse=True)
def _each_image_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_fits(monkeypatch)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames of a sequence and a file that is none."""
    path = tmp_path_factory.mktemp("frames")
    for index in (0, 1, 2):
        Image.fromarray(samples()[index].counts).save(path / f"{index}.png")
    (path / "10.png").write_text("no image")
    return path


@pytest.fixture(scope="module")
def tracked(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("out") / "track"
    done = run("track", folder, "-o", out, "--camera", CAMERA_ARGUMENT, "--unit", "1", "--no-video", "--fps", "30")
    return done, out


def test_bad_frames_are_named_and_the_rest_is_tracked(tracked: tuple[Result, Path]) -> None:
    done, out = tracked
    assert done.exit_code == 1, done.output
    assert "10.png: is not an image" in done.stderr
    assert "1 of 4 frames could not be read" in done.stderr
    place, count, known, again, rate = done.stdout.split("\t")
    assert (place, count, known) == (str(out), "4", "3")
    assert int(again) >= 1
    assert rate.endswith("frames/s\n")
    assert json.loads((out / "track.json").read_text())["errors"].keys() == {"3"}


def test_what_was_concluded_of_a_rig_is_said_once_and_kept(folder: Path, tmp_path: Path) -> None:
    body = character({"right": names_of("mixamo", "right")}).write(tmp_path / "body.glb")
    done = run(
        "track", folder, "-o", tmp_path / "out", "--camera", CAMERA_ARGUMENT, "--unit", "1", "--no-video",
        "--frames", "1", "--model", body,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    said = "the joints were found by their names, wrist 'mixamorig:RightHand'"
    assert done.stderr.count(said) == 1
    assert said in json.loads((tmp_path / "out" / "track.json").read_text())["notes"]


def test_it_prints_frames_as_json_and_refuses_to_replace(
    folder: Path, tracked: tuple[Result, Path], tmp_path: Path
) -> None:
    done = run(
        "track", folder, "-o", tmp_path / "out", "--camera", CAMERA_ARGUMENT, "--unit", "1", "--no-video", "--json",
        "--frames", "2", "--no-smooth", "-q",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["name"] for line in lines] == ["0.png", "1.png"]
    assert done.stderr == ""
    again = run("track", folder, "-o", tracked[1])
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def test_a_pipe_is_told_now_and_then(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handopt.cli.console.LINE_EVERY_S", 0.0)
    options = ("--camera", CAMERA_ARGUMENT, "--unit", "1", "--no-video", "--frames", "3")
    done = run("track", folder, "-o", tmp_path / "out", *options)
    assert re.search(r"^1 of 3 frames, \d+\.\d+ a second, \d+ s left\n2 of 3 frames, ", done.stderr, re.MULTILINE)
    assert "3 of 3 frames" not in done.stderr
    assert "a second" not in run("track", folder, "-o", tmp_path / "quiet", *options, "-q").stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_tracked_before_it_was_stopped_is_kept(
    number: signal.Signals, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = Run.push

    def stopped(self: Run, frame: SequenceFrame) -> Any:
        if frame.index == 1:
            os.kill(os.getpid(), number)
        return push(self, frame)

    monkeypatch.setattr(Run, "push", stopped)
    done = run("track", folder, "-o", tmp_path / "out", "--camera", CAMERA_ARGUMENT, "--unit", "1", "--no-video")
    assert done.exit_code == 128 + number
    assert "Stopped after 2 frames, which are written now." in done.stderr
    assert len((tmp_path / "out" / "track.jsonl").read_text().splitlines()) == 2
    assert "Stopped after 2 frames; what follows is not in it." in (tmp_path / "out" / "track.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a SOURCE, or --live"),
        (["{folder}", "--live"], "not both"),
        (["{folder}/nothing"], "does not exist"),
        (["{folder}"], "--camera"),
        (["{folder}/10.png"], "not a sequence"),
        (["{folder}", "--joint-map", "{folder}/10.png"], "--model"),
        (["{folder}", "--keypoints", "default"], "--model"),
    ],
)
def test_what_cannot_be_tracked_says_what_to_change(
    arguments: list[str], message: str, folder: Path, tmp_path: Path
) -> None:
    done = run("track", *(each.format(folder=folder) for each in arguments), "-o", tmp_path / "out")
    assert done.exit_code in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_frames_without_a_hand_fail(tmp_path: Path) -> None:
    np.save(tmp_path / "wall.npy", np.full((2, 60, 80), 900, np.uint16))
    done = run("track", tmp_path / "wall.npy", "--camera", "60,60,40,30", "--unit", "1", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "no hand was found in any of 2 frames" in done.stderr
    assert not (tmp_path / "out").exists()


class Live:
    """A camera that ends as it is told after two frames."""

    name, camera, length, fps, hand, unit_mm, assumptions = "live", CAMERA, None, 30.0, None, 1.0, ()

    def __init__(self, ending: BaseException) -> None:
        self._ending = ending

    def __iter__(self) -> Iterator[SequenceFrame]:
        yield from frames()[:2]
        raise self._ending


@pytest.mark.parametrize(
    ("ending", "code", "message"),
    [
        (SourceError("--live: gave no frame for 5 s; it may have been unplugged"), 1, "unplugged"),
        (KeyboardInterrupt(), 0, ""),
    ],
)
def test_live_tracks_are_saved_when_the_camera_ends(
    ending: BaseException, code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence, "live_source", lambda _options: Live(ending))
    monkeypatch.setattr("handopt.cli.track_frames.RATE_EVERY_S", 0.0)
    done = run("track", "--live", "-o", tmp_path / "out", "--no-video")
    assert done.exit_code == code, done.output
    assert message in done.stderr
    assert "frames/s" in done.stderr
    assert len((tmp_path / "out" / "track.jsonl").read_text().splitlines()) == 2
    assert not json.loads((tmp_path / "out" / "track.json").read_text())["smoothed"], "off for live use"


def test_video_turns_a_track_into_what_is_asked_for(tracked: tuple[Result, Path], tmp_path: Path) -> None:
    done = run("video", tracked[1], "-o", tmp_path / "film.gif", "--panels", "depth,fit", "--turntable", "--size", "90")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{tmp_path / 'film.gif'}\n"
    with Image.open(tmp_path / "film.gif") as image:
        assert getattr(image, "n_frames", 1) == 4
        assert image.width in range(3 * 90, 3 * 90 + 40)
    again = run("video", tracked[1], "-o", tmp_path / "film.gif")
    assert again.exit_code == 2
    assert f"{tmp_path / 'film.gif'} exists and was kept: replace it with --overwrite or choose another" in again.stderr


def test_video_goes_on_after_a_result_that_cannot_be_shown(tracked: tuple[Result, Path], tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "result.json").write_text("{}")
    done = run("video", tmp_path / "plain", tracked[1], "-o", tmp_path / "films", "--size", "80", "--format", "gif")
    assert done.exit_code == 1
    assert "holds neither track.npz nor trace.npz" in done.stderr
    assert "1 of 2 videos failed" in done.stderr
    assert done.stdout == f"{tmp_path / 'films' / 'track.gif'}\n"


def test_a_pattern_takes_results_only(
    tracked: tuple[Result, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    shutil.copytree(tracked[1], results / "wave")
    (results / "renders").mkdir()
    (results / "summary.jsonl").write_text("{}\n")
    (results / "overlay.png").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    names = ["results/overlay.png", "results/renders", "results/summary.jsonl", "results/wave"]
    done = run("video", *names, "results/wave/track.npz", "--size", "80", "--panels", "fit", "--format", "gif")
    assert done.exit_code == 0, done.output
    assert done.stdout == "results/wave.gif\n", "once, and as the user named it"
    assert done.stderr == "Note: results/overlay.png and 2 more were skipped.\n"
    again = run("video", *names, "results/wave.gif", "--size", "80", "--format", "gif")
    assert again.exit_code == 0
    assert again.stdout == ""
    assert "results/wave.gif exists and was kept: replace it with --overwrite" in again.stderr
    monkeypatch.chdir(results / "wave")
    done = run("video", ".", "--size", "80", "--panels", "fit", "--format", "gif", "--overwrite")
    assert done.stdout == "../wave.gif\n"
    done = run("video", "../summary.jsonl", "../overlay.png")
    assert done.exit_code == 2
    assert "give folders that handopt track or handopt fit wrote" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--panels", "depth,colour"], "colour is not a panel"),
        (["--size", "5"], "--size"),
        (["--fps", "0"], "--fps"),
        (["{out}", "-o", "one.mp4"], "give a folder"),
        (["{out}"], "two results would be"),
        (["-o", "one.avi"], "only .mp4 and .gif can be written"),
        (["-o", "one.gif", "--format", "mp4"], "one.gif does not end in .mp4: leave out --format or name it .mp4"),
    ],
)
def test_videos_that_make_no_sense_are_refused(
    arguments: list[str], message: str, tracked: tuple[Result, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other" / "track"
    shutil.copytree(tracked[1], other)
    done = run("video", tracked[1], *(each.format(out=other) for each in arguments))
    if message.startswith("two"):
        done = run("video", tracked[1], other, "-o", "films")
    assert done.exit_code == 2
    assert message in done.stderr


def test_synth_writes_sequences(tmp_path: Path) -> None:
    done = run(
        "synth", tmp_path / "out", "--sequence", "--count", "2", "--level", "easy", "--dropout", "1,1", "--speed", "2"
    )
    assert done.exit_code == 0, done.output
    info = json.loads((tmp_path / "out" / "synth.json").read_text())
    assert info["sequence"] == {"fps": 30.0, "speed": 2.0, "dropout": [1, 1]}
    with Image.open(tmp_path / "out" / "easy" / "001.png") as image:
        assert not np.asarray(image).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dropout", "3,2"], "give --sequence as well"),
        (["--sequence", "--dropout", "1.5,2"], "whole numbers"),
        (["--sequence", "--speed", "-1"], "--speed"),
    ],
)
def test_synth_refuses_sequences_that_make_no_sense(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run("synth", tmp_path / "out", "--count", "1", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_place_that_cannot_be_written_is_refused_before_any_work(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run("track", folder, "--camera", CAMERA_ARGUMENT, "--unit", "1", "-o", tmp_path / "file" / "out")
    assert done.exit_code == 2
    assert "-o" in done.stderr
    assert (tmp_path / "file").read_text() == "in the way"


def test_ctrl_c_before_the_first_frame_has_its_exit_code(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(self: Any) -> Iterator[SequenceFrame]:
        os.kill(os.getpid(), signal.SIGINT)
        yield from ()

    monkeypatch.setattr("handopt.cli.track.Stoppable.__iter__", lambda self: self._until.frames(stopped(self)))
    done = run("track", folder, "-o", tmp_path / "out", "--camera", CAMERA_ARGUMENT, "--unit", "1")
    assert done.exit_code == 130, done.output
    assert "no hand was found" not in done.stderr
    assert "Interrupted" in done.stderr
    assert not (tmp_path / "out").exists()
