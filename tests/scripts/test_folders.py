"""The example script and what it calls, and the trial of killed runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import contact_sheet
import imageio.v3 as iio
import kill_and_resume
import numpy as np
import pytest
from support.fit_cli import EXAMPLES, QUICK

SCRIPTS = Path(contact_sheet.__file__).parent


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two small images of hands and one file that is none."""
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(EXAMPLES / "open.json", folder / "camera.json")
    for name in ("a", "b c"):
        shutil.copy(EXAMPLES / "open.png", folder / f"{name}.png")
    (folder / "bad.png").write_text("no image")
    (tmp_path / "quick.toml").write_text(QUICK)
    return folder


@pytest.mark.process
def test_a_folder_becomes_results_a_table_and_a_contact_sheet(images: Path, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [SCRIPTS / "fit_folder.sh", images, tmp_path / "fits", "--config", tmp_path / "quick.toml"]
    for attempt in ("first", "again"):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path})
        assert done.returncode == 1, (attempt, done.stderr)
        assert len((tmp_path / "fits.tsv").read_text().splitlines()) == 2
        assert "1 of 3 images failed." in done.stderr
        sheet = iio.imread(tmp_path / "fits.png")
        assert sheet.shape[1] == 966  # two of 480 and a gap of 6
    assert {path.name for path in (tmp_path / "fits").iterdir()} == {"a", "b c", "summary.jsonl"}
    (images / "bad.png").unlink()
    command[-1] = tmp_path / "absent.toml"
    refused = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path})
    assert refused.returncode == 2
    assert "Usage: fit_folder.sh IMAGES OUT" in subprocess.run(command[:2], capture_output=True, text=True).stderr


def rows(folder: Path, confidences: list[float | None]) -> Path:
    """A summary with overlays of one colour each."""
    lines = []
    for number, confidence in enumerate(confidences):
        place = folder / str(number)
        place.mkdir()
        if confidence is not None:
            iio.imwrite(place / "overlay.png", np.full((40, 80, 3), 20 * number, np.uint8))
        row = {"image": f"{number}.png", "error": None if confidence else "is damaged", "confidence": confidence}
        lines.append(json.dumps({**row, "folder": str(place) if confidence else None}))
    (folder / "summary.jsonl").write_text("\n".join(lines))
    return folder / "summary.jsonl"


def test_a_sheet_shows_the_doubtful_ones_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = rows(tmp_path, [0.9, None, 0.3, 0.6])
    arguments = [str(summary), "-o", str(tmp_path / "sheet.png"), "--columns", "2", "--width", "40"]
    assert contact_sheet.main(arguments) == 0
    sheet = iio.imread(tmp_path / "sheet.png")
    assert sheet.shape == (90, 86, 3)  # two rows of a name of 22 and a picture of 20, and gaps of 6
    shown = [sheet[27, 5, 0], sheet[27, 51, 0], sheet[75, 5, 0]]
    assert shown == [40, 60, 0]
    printed = capsys.readouterr()
    assert printed.out.endswith("sheet.png\t3 of 4 images\n")
    assert printed.err == "1.png: is damaged\n"
    assert contact_sheet.main([*arguments, "--most", "1"]) == 0
    assert iio.imread(tmp_path / "sheet.png").shape[1] == 40


def test_what_makes_no_sheet_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert contact_sheet.main([str(rows(tmp_path, [None]))]) == 1
    assert "fit without --no-overlay" in capsys.readouterr().err
    for arguments in (["absent"], [str(tmp_path / "summary.jsonl"), "--columns", "0"]):
        with pytest.raises(SystemExit) as caught:
            contact_sheet.main(arguments)
        assert caught.value.code == 2


@pytest.mark.process
def test_a_killed_and_resumed_run_is_compared_with_a_whole_one(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(images), "-o", str(tmp_path / "trial"), "--kills", "1", "--"]
    assert kill_and_resume.main([*arguments, "--config", str(tmp_path / "quick.toml"), "--no-overlay"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["differences"] == []
    assert report["undisturbed"]["images"] == report["resumed"]["images"] == 3
    (tmp_path / "trial" / "disturbed" / "a" / "history.csv").write_text("other")
    found = kill_and_resume.differences(tmp_path / "trial" / "whole", tmp_path / "trial" / "disturbed")
    assert found == ["a/history.csv"]
