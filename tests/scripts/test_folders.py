"""The example script and what it calls, and the trial of killed runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import imageio.v3 as iio
import kill_and_resume
import pytest
from support.fit_cli import EXAMPLES, QUICK

SCRIPTS = Path(__file__).parents[2] / "scripts" / "examples"


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
