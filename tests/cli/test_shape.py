"""`handopt shape`: what it writes and prints, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from support.fit_cli import FakeFit, fake_fit, fit, write_camera, write_depth
from support.rig_files import HandFile
from support.shape_cases import calibrated

import handopt.shape
from handopt.cli.main import main
from handopt.errors import ObservationError
from handopt.export.rig_gltf import write_rig
from handopt.rig import default_rig
from handopt.shape import RejectedImage, ShapeResult
from handopt.storage import hand_folder

__all__ = ["fake_fit"]


def shape(*arguments: str | Path) -> Result:
    """Run `handopt shape` in this process."""
    return CliRunner().invoke(main, ["shape", *map(str, arguments)])


class FakeShape:
    """Stands in for fit_shape where the fit is not the point; remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.rejected_images: tuple[RejectedImage, ...] = ()

    def __call__(self, frames: Any, **arguments: Any) -> ShapeResult:
        self.calls.append({"frames": frames, **arguments})
        return ShapeResult(
            **{**vars(calibrated()), "fits": calibrated().fits[:1], "rejected_images": self.rejected_images}
        )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeShape:
    stand_in = FakeShape()
    monkeypatch.setattr(handopt.shape, "fit_shape", stand_in)
    monkeypatch.setattr(hand_folder, "write_comparison", lambda _generic, _personal, path: path.write_bytes(b"picture"))
    return stand_in


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of two images and a camera."""
    folder = tmp_path / "images"
    folder.mkdir()
    write_camera(folder, unit_mm=1.0, hand="right")
    for name in ("a", "b"):
        write_depth(folder / f"{name}.png")
    return folder


def test_it_writes_the_hand_and_prints_its_measurements(images: Path, tmp_path: Path, fake: FakeShape) -> None:
    out = tmp_path / "mine.glb"
    printed = shape(images, "-o", out, "--no-renders")
    assert printed.exit_code == 0, printed.stderr
    assert out.is_file()
    assert (tmp_path / "mine" / "measurements.json").is_file()
    rows = [line.split("\t") for line in printed.stdout.splitlines()]
    assert rows[0][0] == "hand_length"
    assert float(rows[0][1]) == pytest.approx(calibrated().measurements[0].value_mm, abs=0.051)
    assert len(rows) == len(calibrated().measurements)
    assert all(len(row) == 4 for row in rows)
    assert "A right hand from 1 image: median residual" in printed.stderr
    assert [Path(frame.name).name for frame in fake.calls[0]["frames"]] == ["a.png", "b.png"]
    assert fake.calls[0]["hand"] == "right"


def test_json_and_quiet(images: Path, tmp_path: Path, fake: FakeShape) -> None:
    printed = shape(images, "-o", tmp_path / "mine.glb", "--no-renders", "--json", "-q")
    assert json.loads(printed.stdout)["hand"] == "right"
    assert printed.stderr == ""


def test_what_holds_for_all_images_is_said_once(images: Path, tmp_path: Path, fake: FakeShape) -> None:
    count = len(list(images.glob("*.png")))
    assert count == 2
    printed = shape(images, "-o", tmp_path / "mine.glb", "--no-renders")
    about = [line for line in printed.stderr.splitlines() if "intrinsics" in line]
    assert about == [
        f"Note: {count} images ({images / 'a.png'}, {images / 'b.png'}): The camera's intrinsics are from "
        f"{images / 'camera.json'}."
    ]


def test_images_with_a_json_each_are_one_note(images: Path, tmp_path: Path, fake: FakeShape) -> None:
    for name in ("a", "b"):
        write_camera(images, f"{name}.json", unit_mm=1.0, hand="right")
    printed = shape(images, "-o", tmp_path / "mine.glb", "--no-renders")
    about = [line for line in printed.stderr.splitlines() if "intrinsics" in line]
    assert len(about) == 1, about
    assert f"2 images ({images / 'a.png'}, {images / 'b.png'})" in about[0]
    assert "NAME.json" in about[0]


def test_what_is_left_out_is_named_even_when_quiet(images: Path, tmp_path: Path, fake: FakeShape) -> None:
    fake.rejected_images = (RejectedImage("b.png", "its pose does not fit in"),)
    (images / "c.png").write_bytes((images / "a.png").read_bytes()[:60])
    printed = shape(images, "-o", tmp_path / "mine.glb", "--no-renders", "-q")
    assert printed.exit_code == 1, "an image could not be read"
    lines = printed.stderr.splitlines()
    assert lines[0].startswith(f"Left out: {images / 'c.png'}: ")
    assert lines[1] == "Left out: b.png: its pose does not fit in"
    document = json.loads((tmp_path / "mine" / "measurements.json").read_text())
    assert len(document["rejected_images"]) == 2


def test_images_of_both_hands_are_refused_before_any_work(images: Path, tmp_path: Path, fake: FakeShape) -> None:
    write_camera(images, "b.json", unit_mm=1.0, hand="left")
    printed = shape(images, "-o", tmp_path / "mine.glb")
    assert printed.exit_code == 2
    assert "1 of a left hand" in printed.stderr
    assert "b.png" in printed.stderr
    assert "--hand" in printed.stderr
    assert fake.calls == []
    assert {each.name for each in tmp_path.iterdir()} == {"images"}
    assert shape(images, "-o", tmp_path / "mine.glb", "--hand", "left", "--no-renders").exit_code == 0


def test_no_readable_image_is_an_error(images: Path, tmp_path: Path, fake: FakeShape) -> None:
    for name in ("a", "b"):
        (images / f"{name}.png").write_bytes(b"no image")
    printed = shape(images, "-o", tmp_path / "mine.glb")
    assert printed.exit_code == 1
    assert "none of the images can be used" in printed.stderr
    assert {each.name for each in tmp_path.iterdir()} == {"images"}


def test_a_config_without_proportions_is_refused(images: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('solver = "gradient"\n')
    refused = shape(images, "-o", tmp_path / "mine.glb", "--config", config)
    assert refused.exit_code == 1
    assert "leaves out proportions, which a personal hand begins with; use solver 'auto' or 'lm'" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "images"]


def test_a_fit_that_fails_leaves_nothing(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ObservationError("the images do not show one hand: 160 mm in a, 200 mm in b")

    monkeypatch.setattr(handopt.shape, "fit_shape", fail)
    printed = shape(images, "-o", tmp_path / "deep" / "mine.glb")
    assert printed.exit_code == 1
    assert "do not show one hand" in printed.stderr
    assert {each.name for each in tmp_path.iterdir()} == {"images"}


@pytest.mark.parametrize("name", ["mine", "mine.ply"])
def test_a_result_that_is_no_glb_is_refused(name: str, images: Path, tmp_path: Path, fake: FakeShape) -> None:
    printed = shape(images, "-o", tmp_path / name)
    assert printed.exit_code == 2
    assert ".glb" in printed.stderr
    assert fake.calls == []


def test_a_rig_without_weights_is_refused(images: Path, tmp_path: Path, fake: FakeShape) -> None:
    file = HandFile.default()
    file.with_weights = False
    printed = shape(images, "-o", tmp_path / "mine.glb", "--model", file.write(tmp_path / "bare.glb"))
    assert printed.exit_code == 2
    assert "no skinning weights" in printed.stderr
    assert fake.calls == []


def test_an_empty_image_is_said_to_show_no_hand(images: Path, tmp_path: Path) -> None:
    write_depth(images / "a.png", np.zeros((120, 160)))
    printed = shape(images, "-o", tmp_path / "mine.glb")
    assert printed.exit_code == 1
    assert "a.png" in printed.stderr
    assert {each.name for each in tmp_path.iterdir()} == {"images"}


def test_the_hand_is_a_model_for_the_other_commands(tmp_path: Path, fake: FakeShape, images: Path) -> None:
    out = tmp_path / "mine.glb"
    assert shape(images, "-o", out, "--no-renders", "-q").exit_code == 0
    shown = CliRunner().invoke(main, ["model", "show", str(out), "-o", str(tmp_path / "mine.png"), "-q"])
    assert shown.exit_code == 0
    assert shown.stdout.startswith("mine: a right hand")
    made = CliRunner().invoke(
        main, ["synth", str(tmp_path / "synth"), "--count", "1", "--level", "easy", "--model", str(out), "-q"]
    )
    assert made.exit_code == 0, made.stderr
    again = shape(images, "-o", tmp_path / "again.glb", "--model", out, "--no-renders", "-q")
    assert again.exit_code == 0
    assert fake.calls[-1]["rig"].name == "mine"


@pytest.mark.parametrize(
    ("rig", "options", "kind"),
    [("mine", (), "none"), ("mine", ("--shape", "scale"), "scale"), ("plain", (), "proportions")],
)
def test_fit_leaves_a_personal_hand_its_shape(
    rig: str, options: tuple[str, ...], kind: str, images: Path, tmp_path: Path, fake_fit: FakeFit
) -> None:
    write_rig(calibrated().rig if rig == "mine" else default_rig(), tmp_path / f"{rig}.glb")
    printed = fit(images / "a.png", "-o", tmp_path / "out", "--model", tmp_path / f"{rig}.glb", *options)
    assert printed.exit_code == 0, printed.stderr
    assert fake_fit.calls[0]["shape"] == kind
