"""`handopt track --max-hands`: a folder and a line for each hand, and what other commands make of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.commands import run
from support.output_folders import tree
from support.sequences import followed
from support.two_hands import CAMERA, two_hands

from handopt.errors import OutputError
from handopt.storage.hands_folder import read_hands
from handopt.storage.track_folder import save_track, save_tracks

OPTIONS = ("--camera", f"{CAMERA.fx},{CAMERA.fy},{CAMERA.cx},{CAMERA.cy}", "--unit", "1", "--fps", "30", "--max-hands")
FILES = {"track.json", "track.jsonl", "track.npz", "hand.glb", "hand.bvh"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames of a right and a left hand."""
    hands = two_hands((lambda _: (-100.0, 10.0, 430.0), lambda _: (100.0, 10.0, 430.0)), 3, 3)
    path = tmp_path_factory.mktemp("hands") / "both.npy"
    np.save(path, np.stack([frame.depth_mm for frame in hands.frames]).astype(np.uint16))
    return path


@pytest.fixture(scope="module")
def both(stack: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What is printed, and the folder."""
    out = tmp_path_factory.mktemp("out") / "both"
    done = run("track", stack, *OPTIONS, "2", "-o", out)
    assert done.exit_code == 0, done.output
    return done.stdout, out


def test_each_hand_has_a_track_and_a_line(both: tuple[str, Path]) -> None:
    stdout, out = both
    lines = [line.split("\t") for line in stdout.splitlines()]
    assert sorted(Path(line[0]).name for line in lines) == ["left", "right"]
    assert read_hands(out) == [Path(line[0]).name for line in lines]
    for line in lines:
        assert line[1:3] == ["3", "3"]
        assert {path.name for path in Path(line[0]).iterdir()} == FILES | {"track.mp4"}
        assert json.loads((Path(line[0]) / "track.json").read_text())["hand"] == Path(line[0]).name


def test_other_commands_take_such_a_folder_or_say_what_to_do(both: tuple[str, Path], tmp_path: Path) -> None:
    _, out = both
    done = run("video", out, "-o", tmp_path / "films", "--size", "80", "--panels", "fit", "--format", "gif")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "films").iterdir()) == ["left.gif", "right.gif"]
    done = run("view", out, "--html", tmp_path / "hands.html")
    assert done.exit_code == 0, done.output
    (tmp_path / "labels").mkdir()
    keypoints = np.full((21, 3), 400.0).tolist()
    label = {"joints_mm": keypoints, "joint_visible": [True] * 21}
    (tmp_path / "labels" / "0.json").write_text(json.dumps(label))
    done = run("eval", out, tmp_path / "labels", "--format", "synthetic")
    assert done.exit_code == 2
    assert "holds the tracks of 2 hands" in done.stderr
    assert f"such as {out / 'left'}" in done.stderr
    done = run("track", out, "-o", tmp_path / "again")
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("smooth", ["--smooth", "--no-smooth"])
def test_json_lines_say_which_hand(smooth: str, stack: Path, tmp_path: Path) -> None:
    done = run("track", stack, *OPTIONS, "2", "-o", tmp_path / "out", "--no-video", "--json", smooth, "--frames", "1")
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted((line["frame"], line["hand"]) for line in lines) == [(0, "left"), (0, "right")]
    if smooth == "--no-smooth":
        assert [line["number"] for line in lines] == [1, 2]


def test_view_shows_one_hand(stack: Path, tmp_path: Path) -> None:
    done = run("track", stack, *OPTIONS, "2", "-o", tmp_path / "out", "--view")
    assert done.exit_code == 2
    assert "--max-hands" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5", "17"])
def test_a_number_of_hands_that_makes_no_sense(number: str, stack: Path, tmp_path: Path) -> None:
    done = run("track", stack, *OPTIONS, number, "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert "--max-hands" in done.stderr
    assert not (tmp_path / "out").exists()


# -------------------------------------------------------------------------------------------------- the folder


def test_hands_of_one_side_are_numbered_and_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "walk"
    save_track(followed(), folder, video=False)
    with pytest.raises(OutputError, match="overwrite=True"):
        save_tracks([followed(), followed()], folder, video=False)
    assert list(save_tracks([followed(), followed()], folder, video=False, overwrite=True)) == ["right-1", "right-2"]
    assert read_hands(folder) == ["right-1", "right-2"]
    assert {path.name for path in (folder / "right-2").iterdir()} == FILES
    (folder / "right-2" / "mine.txt").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="not handopt's, and was kept"):
        save_track(followed(), folder, video=False, overwrite=True)
    assert tree(tmp_path) == before
