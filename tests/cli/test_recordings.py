"""Recordings and RGB-D folders through `handopt fit` and `handopt track`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import run
from support.fit_cli import FakeFit, fake_fit, fit, write_camera, write_depth

__all__ = ["fake_fit"]


def tum(folder: Path, count: int = 3) -> Path:
    """A TUM folder whose last image is gone."""
    (folder / "depth").mkdir(parents=True)
    lines = ["# depth maps"]
    for index in range(count):
        if index < count - 1:
            write_depth(folder / "depth" / f"{index}.png", np.full((120, 160), 2500 + index))
        lines.append(f"{index / 30:.4f} depth/{index}.png")
    (folder / "depth.txt").write_text("\n".join(lines))
    write_camera(folder)
    return folder


def test_the_frames_of_a_folder_are_fitted_with_its_camera_and_unit(fake_fit: FakeFit, tmp_path: Path) -> None:
    source, out = tum(tmp_path / "walk"), tmp_path / "out"
    done = fit(source, "-o", out, "--hand", "right")
    assert done.exit_code == 0, done.output
    assert "2 frames are in" in done.stderr
    assert "Skipped: 2.png" in done.stderr
    frames = out / "walk-frames"
    assert sorted(path.name for path in frames.glob("*.png")) == ["000000.png", "000001.png"]
    assert np.array_equal(np.asarray(Image.open(frames / "000001.png")), np.full((120, 160), 2501))
    facts = json.loads((frames / "camera.json").read_text())
    assert (facts["unit_mm"], facts["camera"]["fx"]) == (0.2, 150.0)
    result = json.loads((out / "000001" / "result.json").read_text())
    assert result["image"].endswith("000001.png")
    assert len((out / "summary.jsonl").read_text().splitlines()) == 2
    calls = len(fake_fit.calls)
    written = (frames / "000000.png").stat().st_mtime_ns
    again = fit(source, "-o", out, "--hand", "right")
    assert "2 of 2 images were done before" in again.stderr
    assert (len(fake_fit.calls), (frames / "000000.png").stat().st_mtime_ns) == (calls, written)


def test_a_recording_is_fitted_on_its_own(fake_fit: FakeFit, tmp_path: Path) -> None:
    source = tum(tmp_path / "walk")
    image = source / "depth" / "0.png"
    assert "is a recording: fit it on its own" in fit(source, image, "-o", tmp_path / "out").stderr
    assert "--topic is for a ROS bag" in fit(image, "-o", tmp_path / "out", "--topic", "/depth").stderr
    (tmp_path / "empty.mkv").write_bytes(b"\x1a\x45\xdf\xa3" + bytes(40))
    done = fit(tmp_path / "empty.mkv", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "is damaged" in done.stderr
    assert not list(tmp_path.glob("out/*-frames"))


@pytest.mark.parametrize("layout", ["tum", "open3d"])
def test_track_takes_folders_whose_images_lie_in_depth(layout: str, tmp_path: Path) -> None:
    source = tum(tmp_path / "walk", 2)
    if layout == "open3d":
        (source / "depth.txt").unlink()
        (source / "color").mkdir()
    done = run("track", source, "-o", tmp_path / "out", "--hand", "right", "--no-video")
    assert "holds no depth images" not in done.stderr
    assert "no hand was found" in done.stderr, "a wall"


def test_colour_stands_in_the_overlay(fake_fit: FakeFit, tmp_path: Path) -> None:
    source, out = tum(tmp_path / "walk"), tmp_path / "out"
    refused = fit(source, "-o", out, "--hand", "right", "--colour")
    assert refused.exit_code == 1
    assert "rgb.txt" in refused.stderr
    (source / "rgb").mkdir()
    Image.fromarray(np.full((120, 160, 3), (0, 200, 0), np.uint8)).save(source / "rgb" / "a.png")
    (source / "rgb.txt").write_text("0.001 rgb/a.png\n")
    done = fit(source, "-o", out, "--hand", "right", "--colour")
    assert done.exit_code == 0, done.output
    assert "1 of 2 images have no colour picture: their overlays show the depth" in done.stderr
    green = [
        (np.asarray(Image.open(out / name / "overlay.png")) == (0, 200, 0)).all(axis=-1).mean()
        for name in ("000000", "000001")
    ]
    assert green[0] > 0.02
    assert green[1] == 0
    image = write_depth(tmp_path / "alone.png")
    write_camera(tmp_path)
    done = fit(image, "-o", tmp_path / "alone", "--colour")
    assert done.exit_code == 2
    assert "--colour: " in done.stderr
    assert "has no colour picture, which would have its name and lie in the folder colour beside it" in done.stderr
