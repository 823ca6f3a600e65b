"""`handopt eval`: what it prints and writes, its exit codes, and what it says of bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support import label_files
from support.label_files import INTEL, hand, pixels, write_label, write_result, write_text

from handopt.cli.main import main
from handopt.evaluation.mapping import ICVL, NYU, map_keypoints

VISIBLE = [index != 8 for index in range(21)]


def evaluate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, arguments)])


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Results of two hands 5 mm and 10 mm beside their labels, one of them in each of two levels."""
    for level, away in (("easy", 5.0), ("hard", 10.0)):
        write_label(tmp_path / "truth" / level / "000.json", hand(), VISIBLE)
        write_result(tmp_path / "fits" / level / "000", hand() + np.array([0.0, away, 0.0]), f"{level}/000.png")
    return tmp_path / "fits", tmp_path / "truth"


def test_a_table_on_stdout_and_exit_code_0(folders: tuple[Path, Path]) -> None:
    done = evaluate(*folders)
    assert done.exit_code == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "21 keypoints: 2 frames, 0 without a prediction, 21 joints"
    assert [line.split()[:5] for line in lines if line.startswith(("all", "easy", "hard"))] == [
        ["all", "2", "0", "7.5", "7.5"],
        ["easy", "1", "0", "5.0", "5.0"],
        ["hard", "1", "0", "10.0", "10.0"],
    ]


def test_frames_without_a_prediction_are_named_and_exit_code_1(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write_label(tmp_path / "truth" / "easy" / "001.json", hand(), VISIBLE)
    write_result(tmp_path / "fits" / "easy" / "777", hand())
    done = evaluate(*folders)
    assert done.exit_code == 1
    assert "Without a prediction, counted as failed (1): easy/001" in done.stderr
    assert f"Predictions of no frame of TRUTH, not used (1): {tmp_path / 'fits' / 'easy' / '777'}" in done.stderr
    assert evaluate(*folders, "-q").stderr == ""
    for index in range(2, 14):
        write_label(tmp_path / "truth" / "easy" / f"{index:03d}.json", hand(), VISIBLE)
    assert "easy/011 and 2 more (-v lists all)" not in evaluate(*folders).stderr
    assert "easy/010 and 3 more (-v lists all)" in evaluate(*folders).stderr
    assert "easy/013\n" in evaluate(*folders, "-v").stderr


def test_json_and_files(folders: tuple[Path, Path], tmp_path: Path) -> None:
    done = evaluate(*folders, "--json", "-o", tmp_path / "scores")
    assert done.exit_code == 0
    summary = json.loads(done.stdout)
    assert summary["all"]["mean_joint_error_mm"] == pytest.approx(7.5)
    assert summary["all"]["worst_joint_within"]["9"] == 0.5
    assert json.loads((tmp_path / "scores" / "summary.json").read_text()) == summary
    assert (tmp_path / "scores" / "curve.png").is_file()
    again = evaluate(*folders, "-o", tmp_path / "scores")
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr
    assert evaluate(*folders, "-o", tmp_path / "scores", "--overwrite").exit_code == 0


def test_confidence_is_set_against_the_errors(folders: tuple[Path, Path]) -> None:
    write_result(folders[0] / "easy" / "000", hand(), "easy/000.png", confidence=0.8)
    done = evaluate(*folders)
    assert any(line.split() == [">=", "0.7", "50%", "100%"] for line in done.stdout.splitlines())


def test_text_files_and_what_is_assumed_of_them(tmp_path: Path) -> None:
    joints = map_keypoints(np.stack([hand(), hand(-30.0)]), NYU)
    truth = write_text(tmp_path / "truth.txt", pixels(joints, label_files.NYU))
    pred = write_text(tmp_path / "pred.txt", joints * np.array([1.0, -1.0, 1.0]))
    done = evaluate(pred, truth, "--pred-coordinates", "xyz")
    assert done.exit_code == 0
    assert "NYU Hand Pose: 2 frames" in done.stdout
    assert "u, v in pixels of preset nyu and d in mm (--coordinates changes this)" in done.stderr
    assert "pred.txt" not in done.stderr


def test_icvl_names_and_a_camera_of_its_own(tmp_path: Path) -> None:
    joints = map_keypoints(np.stack([hand(), hand(-30.0)]), ICVL)
    truth = write_text(tmp_path / "labels.txt", pixels(joints, (240.99, 240.96, 160.0, 120.0)))
    (tmp_path / "names.txt").write_text("a/image_0007.png\na/image_0009.png\n")
    for number, x in ((7, -20.0), (9, -30.0)):
        write_result(tmp_path / "fits" / f"image_{number:04d}", hand(x) + np.array([0.0, 0.0, 2.0]))
    for camera in ("240.99,240.96,160,120", label_file_camera(tmp_path)):
        done = evaluate(
            tmp_path / "fits",
            truth,
            "--names",
            tmp_path / "names.txt",
            "--camera",
            camera,
            "--format",
            "icvl",
            "--json",
        )
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["all"]["mean_joint_error_mm"] == pytest.approx(2.0, abs=1e-3)
    without = evaluate(tmp_path / "fits", write_text(tmp_path / "l.txt", pixels(joints, INTEL)))
    assert without.exit_code == 2
    assert "--names" in without.stderr


def label_file_camera(folder: Path) -> Path:
    camera = {"fx": 240.99, "fy": 240.96, "cx": 160.0, "cy": 120.0, "width": 320, "height": 240}
    (folder / "camera.json").write_text(json.dumps(camera))
    return folder / "camera.json"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fits", "nowhere"), "nowhere' does not exist"),
        (("empty", "truth"), "holds no result of handopt: PRED needs"),
        (("fits", "empty"), "holds no labels: TRUTH needs"),
        (("fits", "truth", "--format", "icvl"), "--format icvl"),
        (("fits", "truth", "--overwrite"), "--overwrite needs -o"),
        (("fits", "truth", "--camera", "sr3"), "--camera sr3 is no preset"),
        (("fits", "truth", "--camera", "1,2,3,4"), "does not say the image size"),
        (("fits", "truth", "-o", "fits"), "-o"),
        (("fits", "truth", "--names", "truth/easy/000.json"), "--names"),
    ],
)
def test_what_cannot_be_scored_is_exit_code_2(
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert folders[0].parent == tmp_path
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    done = evaluate(*arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert done.stdout == ""
