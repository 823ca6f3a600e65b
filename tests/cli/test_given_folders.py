"""What commands say of folders of results that they are given, and how video and synth go on in them."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from support.commands import result_in, run, tracked
from support.fit_cli import EXAMPLES, FakeFit, fake_fit, write_camera, write_depth
from support.sequences import followed

from handopt.draw.film import load_film

__all__ = ["fake_fit", "tracked"]


def test_track_says_what_a_folder_of_results_is(tracked: Path, tmp_path: Path) -> None:
    fits = tmp_path / "fits"
    one = result_in(fits / "a", tracked)
    (one / "overlay.png").write_bytes((EXAMPLES / "open.png").read_bytes())
    for folder, told in (
        (tracked, f"{tracked} is a track already: handopt video {tracked} shows it"),
        (one, f"{one} is a result of handopt fit: handopt video {one} shows it"),
        (fits, f"{fits} is a folder of results of handopt fit (a): handopt video {fits} shows them"),
    ):
        done = run("track", folder, "-o", tmp_path / "out")
        assert done.exit_code == 2
        assert told in done.stderr
        assert not (tmp_path / "out").exists()
    (tmp_path / "set" / "easy").mkdir(parents=True)
    shutil.copy(EXAMPLES / "open.png", tmp_path / "set" / "easy")
    assert f"a folder in it does, handopt track {tmp_path / 'set' / 'easy'}" in run("track", tmp_path / "set").stderr


@pytest.mark.parametrize("command", ["fit", "shape"])
def test_fit_and_shape_say_what_a_folder_of_results_is(command: str, tracked: Path, tmp_path: Path) -> None:
    fits = tmp_path / "fits"
    one = result_in(fits / "a", tracked)
    deep = result_in(tmp_path / "levels" / "easy" / "a", tracked).parents[1]
    for folder, told in (
        (tracked, f"{tracked} is a track already: handopt video {tracked} shows it"),
        (one, f"{one} is a result of handopt fit: handopt video {one} shows it"),
        (fits, f"{fits} is a folder of results of handopt fit (a): handopt video {fits} shows them"),
        (deep, f"{deep} is a folder of results of handopt fit (easy/a): handopt video {deep} shows them"),
    ):
        for more in ([], ["-r"]) if command == "fit" else ([],):
            done = run(command, folder, "-o", tmp_path / "out.glb", *more)
            assert done.exit_code == 2
            assert told in done.stderr
            assert done.stderr.endswith(f"; handopt {command} needs the depth images\n")


def test_fit_leaves_results_and_tracks_below_a_folder_out(tracked: Path, tmp_path: Path, fake_fit: FakeFit) -> None:
    write_camera(tmp_path)
    image = write_depth(tmp_path / "a.png")
    result_in(tmp_path / "fits" / "a", tracked)
    shutil.copytree(tracked, tmp_path / "walk-track")
    assert run("fit", tmp_path, "-r", "-o", tmp_path / "out").exit_code == 0
    assert [call["image"] for call in fake_fit.calls] == [str(image)]


def test_video_takes_folders_of_results_and_goes_on(tracked: Path, tmp_path: Path) -> None:
    fits = tmp_path / "fits"
    for name in ("b", "deep/c", "a"):
        result_in(fits / name, tracked)
    (fits / "notes").mkdir()
    small = ("--format", "gif", "--size", "80", "--panels", "fit", "--fps", "25")
    done = run("video", fits, "-o", tmp_path / "films", *small, "--json")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["video"] for row in rows] == [str(tmp_path / "films" / f"{name}.gif") for name in ("a", "b", "deep/c")]
    assert {row["frames"] for row in rows} == {len(followed())}
    (tmp_path / "films" / "b.gif").unlink()
    again = run("video", fits, "-o", tmp_path / "films", *small)
    assert again.exit_code == 0
    assert again.stdout == f"{tmp_path / 'films' / 'b.gif'}\n"
    assert "Note: 2 videos (" in again.stderr
    assert "exist and were kept: replace them with --overwrite" in again.stderr
    none = run("video", fits, "-o", tmp_path / "films", *small)
    assert none.exit_code == 0
    assert none.stdout == ""
    assert "Note: 3 videos (" in none.stderr
    later = time.time() + 60
    for name in ("a", "b"):
        os.utime(fits / name / "result.json", (later, later))
    old = run("video", fits, "-o", tmp_path / "films", *small)
    assert old.exit_code == 1
    films, words = tmp_path / "films", "with --overwrite or choose another with -o"
    assert old.stderr == (
        f"Skipped: 2 videos ({films / 'a.gif'}, {films / 'b.gif'}): older than their results, and kept: replace them "
        f"{words}\n"
        f"Note: {films / 'deep' / 'c.gif'} exists and was kept: replace it {words}.\n"
        "2 of 3 videos were skipped.\n"
    )


def test_video_goes_on_after_an_unforeseen_error(
    tracked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(folder: Path) -> object:
        if folder.name in ("a", "b"):
            raise ZeroDivisionError("division by zero")
        return load_film(folder)

    for name in ("a", "b", "c"):
        result_in(tmp_path / "fits" / name, tracked)
    monkeypatch.setattr("handopt.draw.film.load_film", load)
    done = run("video", tmp_path / "fits", "--format", "gif", "--size", "80", "--panels", "fit", "--fps", "25")
    assert done.exit_code == 1
    assert done.stdout == f"{tmp_path / 'fits' / 'c.gif'}\n"
    assert done.stderr.splitlines() == [
        f"Error: 2 results ({tmp_path / 'fits' / 'a'}, {tmp_path / 'fits' / 'b'}): ZeroDivisionError: division by zero "
        "(-vv shows where)",
        "2 of 3 videos failed.",
    ]


def test_a_gif_above_50_frames_a_second_is_said(tracked: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.gif"
    small = ("--size", "80", "--panels", "fit", "-o", film)
    done = run("video", tracked, *small, "--fps", "60")
    assert done.stderr == (
        f"Note: {film} leaves out some frames and keeps time: viewers slow GIFs of more than 50 frames a second down, "
        "and these are 60; --format mp4 has them all.\n"
    )
    assert run("video", tracked, *small, "--fps", "50", "--overwrite").stderr == ""
    assert run("video", tracked, *small, "--fps", "60", "--overwrite", "-q").stderr == ""


def test_synth_takes_its_folder_once(tmp_path: Path) -> None:
    for words, told in (([], "Missing argument 'OUT'"), (["out", "-o", "out"], "give one of them")):
        done = run("synth", *words)
        assert done.exit_code == 2
        assert told in done.stderr
    made = run("synth", "-o", tmp_path / "out", "--count", "1", "--level", "easy", "--json")
    assert json.loads(made.stdout) == {"folder": str(tmp_path / "out" / "easy"), "images": 1}
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208
