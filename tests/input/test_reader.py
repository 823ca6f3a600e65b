"""What is known about an image, and what goes before what: options, files beside it, presets, guesses."""

from pathlib import Path

import numpy as np
import pytest
from support.fit_cli import CAMERA, write_camera, write_depth

from handopt.errors import CameraError
from handopt.input.reader import Reader


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_depth(tmp_path / "a.png")


def unit_of(reader: Reader, image: Path) -> float:
    return float(reader.read(image).depth_mm[0, 0]) / 500


def test_the_unit_is_the_options_then_the_camera_files_then_the_one_beside_then_the_presets(
    image: Path, tmp_path: Path
) -> None:
    named = write_camera(tmp_path, "named.json", unit_mm=0.5)
    assert unit_of(Reader("sr305"), image) == 0.125
    write_camera(tmp_path, unit_mm=0.25)
    assert unit_of(Reader("sr305"), image) == 0.25
    assert unit_of(Reader(), image) == 0.25
    assert unit_of(Reader(str(named)), image) == 0.5
    assert unit_of(Reader(str(named), unit=2.0), image) == 2.0


def test_a_presets_unit_is_for_the_sensors_own_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((480, 640), 0.5, np.float32))
    frame = Reader("sr305").read(tmp_path / "a.npy")
    assert frame.depth_mm[0, 0] == 500
    assert any("metres" in sentence for sentence in frame.assumptions)


def test_every_source_is_told(image: Path, tmp_path: Path) -> None:
    said = " ".join(Reader("SR300").read(image).assumptions)
    assert "One count was assumed to be 0.125 mm, as usual for SR300 (unit= changes this)." in said
    assert "preset sr300" in said
    assert "The hand was assumed to be a right hand (hand= changes this)." in said
    beside = write_camera(tmp_path, unit_mm=1, hand="left")
    frame = Reader().read(image)
    assert frame.hand == "left"
    assert frame.camera.to_dict() == CAMERA
    assert sum(str(beside) in sentence for sentence in frame.assumptions) == 3
    named = write_camera(tmp_path, "named.json", unit_mm=1)
    assert f"One count is 1 mm, as {named} says." in Reader(str(named)).read(image).assumptions


def test_the_hand_is_the_options_then_the_file_beside_then_the_models(image: Path, tmp_path: Path) -> None:
    write_camera(tmp_path)
    assert Reader().read(image).hand == "right"
    frame = Reader(model_side="left").read(image)
    assert frame.hand == "left"
    assert "The hand was assumed to be a left hand, like that of rig= (hand= changes this)." in frame.assumptions
    write_camera(tmp_path, hand="right")
    assert Reader(model_side="left").read(image).hand == "right"
    assert Reader(hand="auto", model_side="left").read(image).hand == "auto"


def test_a_broken_file_beside_the_image_does_not_matter_where_the_options_say_it_all(
    image: Path, tmp_path: Path
) -> None:
    (tmp_path / "camera.json").write_text("{")
    with pytest.raises(CameraError, match="not valid JSON"):
        Reader("150,150,80,60").read(image)
    assert Reader("150,150,80,60", unit=1.0).read(image).hand == "right"
