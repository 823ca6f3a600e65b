"""What JSON files beside an image say: camera, unit, hand and time, and which file goes before which."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handopt.errors import CameraError
from handopt.input.camera_spec import load_camera
from handopt.input.depth import read_depth
from handopt.input.reader import Reader
from handopt.input.sequence import open_source
from handopt.input.sequence.stream_info import SourceOptions
from handopt.input.sidecar import find_sidecar, find_time, read_sidecar

PLAIN: dict[str, Any] = {"fx": 500.0, "fy": 510.0, "cx": 320.0, "cy": 240.0, "width": 640, "height": 480}


def write(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


MALFORMED = [
    ("", "not valid JSON|holds no camera"),  # as a file beside an image, and as a camera's file
    ("{", "not valid JSON"),
    ("[" * 100_000, "not valid JSON"),
    ("\udcff", "not valid JSON|is no text"),
    ({"camera": "nyu"}, "camera is 'nyu'"),
    ({"camera": {"fx": 500.0}}, "no fy, cx, cy, width, height"),
    ({"fx": 500.0, "unit_mm": 1.0}, "no fy"),
    ({**PLAIN, "fx": -1}, "fx is -1"),
    ({**PLAIN, "cx": float("nan")}, "cx is nan"),
    ({**PLAIN, "unit_mm": 0}, "unit_mm is 0"),
    ({**PLAIN, "unit_mm": "1 mm"}, "unit_mm is '1 mm'"),
    ({**PLAIN, "unit": "parsec"}, "unit is 'parsec'"),
    ({**PLAIN, "hand": "third"}, "hand is 'third'"),
]


@pytest.mark.parametrize(("data", "message"), MALFORMED)
@pytest.mark.parametrize("name", ["000.json", "camera.json"])
def test_a_malformed_sidecar_is_named(tmp_path: Path, data: Any, message: str, name: str) -> None:
    if isinstance(data, str):
        (tmp_path / name).write_bytes(data.encode("utf-8", "surrogateescape"))
    else:
        write(tmp_path / name, data)
    for read in (find_sidecar, lambda image: load_camera(image.with_name(name))):
        with pytest.raises(CameraError, match=message) as caught:
            read(tmp_path / "000.png")
        assert name in str(caught.value)
        assert "camera=" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "meant"),
    [("mirored", "mirrored"), ("Hand", "hand"), ("unitmm", "unit_mm"), ("unit_m", "unit_mm"), ("kamera", "camera")],
)
def test_a_misspelt_key_of_the_folder_is_refused(tmp_path: Path, key: str, meant: str) -> None:
    write(tmp_path / "camera.json", {"camera": PLAIN, key: 1})
    with pytest.raises(CameraError, match=rf"camera.json: the key '{key}' is not known; did you mean {meant}\?"):
        find_sidecar(tmp_path / "000.png")
    write(tmp_path / "camera.json", {"camera": PLAIN, "serial": "F123", "joints": [1], "depth_scale": 0.1})
    assert find_sidecar(tmp_path / "000.png") is not None
    write(tmp_path / "000.json", {key: 1})
    (tmp_path / "camera.json").unlink()
    assert find_sidecar(tmp_path / "000.png") is None, "labels of an image may have any keys"


def test_a_misspelt_number_of_the_camera_is_named(tmp_path: Path) -> None:
    camera = {("widht" if key == "width" else key): value for key, value in PLAIN.items()}
    write(tmp_path / "camera.json", {"camera": camera})
    with pytest.raises(CameraError, match=r"no width in the camera \(misspelt: 'widht'\?\)"):
        find_sidecar(tmp_path / "000.png")


def test_nothing_beside_the_image(tmp_path: Path) -> None:
    write(tmp_path / "000.json", {"labels": [1, 2, 3]})
    write(tmp_path / "camera.json", ["of", "no", "use"])
    assert find_sidecar(tmp_path / "000.png") is None


def test_the_file_of_the_image_goes_before_that_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "camera.json", {"camera": PLAIN, "unit_mm": 0.125, "hand": "right"})
    write(tmp_path / "000.json", {"hand": "Left", "joints": []})
    found = find_sidecar(tmp_path / "000.png")
    assert found is not None
    assert (found.hand, found.unit_mm) == ("left", 0.125)
    assert found.camera is not None
    assert found.camera.source == str(tmp_path / "camera.json")
    assert found.path == tmp_path / "000.json"
    assert "000.json" in found.notes["hand"]
    assert "camera.json" in found.notes["unit"]
    other = find_sidecar(tmp_path / "001.png")
    assert other is not None
    assert other.hand == "right"


@pytest.mark.parametrize(("name", "unit_mm"), [("mm", 1.0), ("m", 1000.0), ("CM", 10.0), ("um", 0.001)])
def test_a_unit_by_name(tmp_path: Path, name: str, unit_mm: float) -> None:
    write(tmp_path / "camera.json", "\ufeff" + json.dumps({"unit": name}))
    found = find_sidecar(tmp_path / "000.png")
    assert found is not None
    assert found.unit_mm == unit_mm
    assert found.camera is None


@pytest.mark.parametrize("pattern", ["nyu/*.png", "sr305/*.png", "synthetic/*/*.png"])
def test_real_frames_come_with_camera_and_unit(shared_data: Path, pattern: str) -> None:
    frames = sorted(shared_data.glob(pattern))
    assert frames
    for frame in frames[:12]:
        found = find_sidecar(frame)
        assert found is not None
        assert found.camera is not None
        assert found.unit_mm is not None
        assert found.hand in ("right", "left")
        depth = read_depth(frame, unit=found.unit_mm)
        assert not depth.assumptions
        assert found.camera.sized(*depth.depth_mm.shape[::-1]) == found.camera
        nearest = np.sort(depth.depth_mm[depth.depth_mm > 0])[: depth.depth_mm.size // 100]
        assert 200 < np.median(nearest) < 900, frame


def test_a_silent_file_lets_the_folders_speak_for_each_fact(tmp_path: Path) -> None:
    write(tmp_path / "000.json", {"unit_mm": 0.5})
    write(tmp_path / "camera.json", {"camera": PLAIN, "unit_mm": 2.0, "hand": "left"})
    own, common = read_sidecar(tmp_path / "000.json"), read_sidecar(tmp_path / "camera.json")
    assert own is not None
    assert common is not None
    merged = own.or_else(common)
    assert (merged.unit_mm, merged.hand, merged.camera) == (0.5, "left", common.camera)
    assert merged.path == own.path
    assert set(merged.notes) == {"camera", "unit", "hand"}
    assert common.or_else(own).unit_mm == 2.0


@pytest.mark.parametrize(
    ("data", "time_s"),
    [
        ({"time_s": 1.5}, 1.5),
        ({"sequence": {"time_s": 2}}, 2.0),
        ({"time_s": 0.25, "sequence": {"time_s": 9.0}}, 0.25),
        ({"camera": "no camera at all", "time_s": 3.0}, 3.0),
        ({"time_s": "noon"}, None),
        ("{", None),
        ("\udcff", None),
    ],
)
def test_the_time_of_a_frame_needs_nothing_else_of_its_file(tmp_path: Path, data: Any, time_s: float | None) -> None:
    raw = data if isinstance(data, str) else json.dumps(data)
    (tmp_path / "000.json").write_bytes(raw.encode("utf-8", "surrogateescape"))
    assert find_time(tmp_path / "000.png") == time_s


def test_the_time_is_never_that_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "camera.json", {"time_s": 1.0})
    assert find_time(tmp_path / "000.png") is None


def test_a_single_image_and_a_sequence_hear_the_same_of_a_sidecar(tmp_path: Path) -> None:
    depth = np.full((480, 640), 1200, np.uint16)
    np.save(tmp_path / "000.npy", depth)
    write(tmp_path / "000.json", {"camera": PLAIN, "unit_mm": 0.5, "hand": "left"})
    image = Reader().read(tmp_path / "000.npy")
    sequence = open_source(tmp_path, SourceOptions())
    assert image.camera.to_dict() == sequence.camera.to_dict() == PLAIN
    assert image.hand == sequence.hand == "left"
    assert next(iter(sequence)).depth_mm[3, 4] == image.depth_mm[3, 4] == 600.0


def test_a_camera_file_with_a_hand_goes_before_the_sidecar_in_both(tmp_path: Path) -> None:
    np.save(tmp_path / "000.npy", np.full((480, 640), 1200, np.uint16))
    write(tmp_path / "000.json", {"camera": PLAIN, "unit_mm": 0.5, "hand": "left"})
    (tmp_path / "elsewhere").mkdir()
    named = str(write(tmp_path / "elsewhere" / "mine.json", {**PLAIN, "unit_mm": 0.25, "hand": "right"}))
    image = Reader(camera=named).read(tmp_path / "000.npy")
    sequence = open_source(tmp_path, SourceOptions(camera=named))
    assert image.hand == sequence.hand == "right"
    assert sequence.unit_mm == 0.25
    assert image.depth_mm[0, 0] == 300.0
    assert load_camera(named) == sequence.camera
