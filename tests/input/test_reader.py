"""What is known about an image, and what goes before what: options, files beside it, presets, guesses."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fit_cli import CAMERA, write_camera, write_depth

import handopt
from handopt import errors
from handopt.errors import CameraError
from handopt.input.reader import Reader
from handopt.input.sequence import open_source
from handopt.input.sequence.stream_info import SourceOptions


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
    assert "Nothing says which hand it is, so that both were tried (hand= changes this)." in said
    beside = write_camera(tmp_path, unit_mm=1, hand="left")
    frame = Reader().read(image)
    assert frame.hand == "left"
    assert frame.camera.to_dict() == CAMERA
    assert sum(str(beside) in sentence for sentence in frame.assumptions) == 3
    named = write_camera(tmp_path, "named.json", unit_mm=1)
    assert f"One count is 1 mm, as {named} says." in Reader(str(named)).read(image).assumptions


def test_the_hand_is_the_options_then_the_file_beside_then_the_models(image: Path, tmp_path: Path) -> None:
    write_camera(tmp_path)
    assert Reader().read(image).hand == "auto"
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
    assert Reader("150,150,80,60", unit=1.0).read(image).hand == "auto"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"unit": 0.1}, "unit=0.1 is used; {} says 0.125."),
        ({"hand": "left"}, "hand=left is used; {} says right."),
        ({"mirrored": False}, "mirrored=False is used; {} says true."),
        ({"camera": "151,150,79.5,59.5"}, "camera=151,150,79.5,59.5 is used; {} says 150,150,79.5,59.5."),
        ({"camera": "151,150,79.5,59.5", "unit": 0.1}, "unit=0.1 is used; {} says 0.125."),
    ],
)
def test_what_contradicts_the_file_beside_is_noted(
    given: dict[str, Any], said: str, image: Path, tmp_path: Path
) -> None:
    beside = write_camera(tmp_path, unit_mm=0.125, hand="right", mirrored=True)
    assert said.format(beside) in Reader(**given).read(image).assumptions
    source = open_source(tmp_path, SourceOptions(**given))
    assert said.format(beside) in source.assumptions


def test_what_agrees_with_the_file_beside_and_auto_are_no_contradiction(image: Path, tmp_path: Path) -> None:
    beside = write_camera(tmp_path, unit_mm=0.125, hand="right", mirrored=True)
    for camera in ("150,150,79.5,59.5", str(beside), handopt.Camera(300.0, 300.0, 159.5, 119.5, 320, 240)):
        for hand in ("right", "auto"):
            said = Reader(camera, 0.125, hand=hand, mirrored=True).read(image).assumptions
            assert not [each for each in said if " is used; " in each]


def test_the_file_given_as_the_camera_is_the_one_that_is_contradicted(image: Path, tmp_path: Path) -> None:
    write_camera(tmp_path, unit_mm=0.125)
    named = write_camera(tmp_path, "named.json", unit_mm=0.5)
    said = Reader(str(named), unit=0.25).read(image).assumptions
    assert [each for each in said if " is used; " in each] == [f"unit=0.25 is used; {named} says 0.5."]


def test_an_image_is_read_with_the_camera_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((120, 160), 500, np.uint16))
    camera = handopt.Camera(150.0, 150.0, 79.5, 59.5, 160, 120)
    (tmp_path / "camera.json").write_text(json.dumps({"camera": camera.to_dict(), "unit_mm": 0.5, "hand": "left"}))
    image = handopt.read_image(tmp_path / "a.npy")
    assert image.camera == replace(camera, source=image.camera.source)
    assert (image.hand, float(image.depth_mm[0, 0])) == ("left", 250.0)
    given = handopt.read_image(str(tmp_path / "a.npy"), camera=camera, unit=1.0, hand="right")
    assert given.camera == camera
    assert (given.hand, float(given.depth_mm[0, 0])) == ("right", 500.0)


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        (0.15, r"Nothing is farther than 150 mm, so the unit may be wrong; .*unit=0.25 \(250 mm\)"),
        (0.3, r"0.3 mm per count is unusual; the nearest pixels are 300 mm away with it; .*unit=1 \(1.0 m\)"),
        (4.0, r"Nothing is nearer than 4.0 m, so the unit may be wrong; .*unit=1 \(1.0 m\)"),
        (0.25, ""), (1.0, ""), (0.99995, ""),
    ],
)  # fmt: skip
def test_an_unusual_unit_is_noted_though_it_was_given(unit: float, said: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((20, 20), 1000, np.uint16))
    notes = " ".join(handopt.read_depth(tmp_path / "a.npy", unit=unit).assumptions)
    assert re.search(said, notes) if said else notes == ""


def test_every_error_and_reader_is_public() -> None:
    named = {each.__name__ for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)}
    assert named <= set(handopt.__all__)
    assert {"SourceError", "load_camera", "read_image"} <= set(handopt.__all__)
