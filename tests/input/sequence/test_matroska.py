"""Depth in .mkv files, written by PyAV's own encoder."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.recordings import write_mkv

from handopt.errors import CameraError, DepthError, SourceError
from handopt.input.sequence import open_source
from handopt.input.sequence.azure_calibration import depth_camera
from handopt.input.sequence.stream_info import SourceOptions

av = pytest.importorskip("av", reason="av not found: pip install '.[mkv]' in handopt's source folder")

HEIGHT, WIDTH = 288, 320
GIVEN = SourceOptions(camera="250,250,160,144", unit=1.0)


def depths(count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.integers(300, 900, (HEIGHT, WIDTH)).astype(np.uint16) for _ in range(count)]


def test_frames_are_those_that_were_written(tmp_path: Path) -> None:
    images = depths()
    images[0][:] = 0
    source = open_source(write_mkv(tmp_path / "a.mkv", images), GIVEN)
    frames = list(source)
    assert [np.array_equal(frame.depth_mm, image) for frame, image in zip(frames, images, strict=True)] == [True] * 3
    assert [frame.time_s for frame in frames] == pytest.approx([0, 1 / 30, 2 / 30], abs=1e-3)
    assert (source.camera.fx, source.unit_mm) == (250.0, 1.0)
    assert len(list(source)) == 3, "it can be read again"


def test_the_camera_is_that_of_the_size_where_nothing_says_more(tmp_path: Path) -> None:
    source = open_source(write_mkv(tmp_path / "a.mkv", depths(1)), SourceOptions())
    assert any("assumed to be azure-kinect-binned" in note for note in source.assumptions)
    assert source.unit_mm == 1.0


def test_what_is_no_depth_is_said(tmp_path: Path) -> None:
    two = write_mkv(tmp_path / "two.mkv", depths(1), ("DEPTH", "IR"))
    assert len(list(open_source(two, GIVEN))) == 1, "the track that calls itself depth"
    with pytest.raises(SourceError, match="2 video tracks of 16-bit grey, expected one"):
        open_source(write_mkv(tmp_path / "unnamed.mkv", depths(1), ("a", "b")), GIVEN)
    with pytest.raises(SourceError, match="has 0 video tracks of 16-bit grey"):
        open_source(write_mkv(tmp_path / "colour.mkv", depths(1), ()), GIVEN)
    with pytest.raises(DepthError, match="nothing is measured in any of its frames"):
        open_source(write_mkv(tmp_path / "empty.mkv", [np.zeros((HEIGHT, WIDTH), np.uint16)]), GIVEN)
    whole = two.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[:60])
    with pytest.raises(SourceError, match="is damaged"):
        open_source(tmp_path / "cut.mkv", GIVEN)


def test_a_size_of_no_camera_asks_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handopt.input.sequence.matroska.PRESETS", {})
    with pytest.raises(CameraError, match="nothing says which camera took its 320 x 288 pixels"):
        open_source(write_mkv(tmp_path / "a.mkv", depths(1)), SourceOptions())


# A calibration with round numbers, and pixels that follow by hand: 0.5 * 512 - 96 - 0.5 and 0.51 * 512 - 90 - 0.5.
LENS = [0.5, 0.51, 0.492, 0.493, 0.5, -0.02, -0.003, 0.85, 0.08, -0.014, 0, 0, -0.00007, 0.00002]
BINNED = {"cx": 159.5, "cy": 170.62, "fx": 251.904, "fy": 252.416}


def calibration(lens: list[float] = LENS, **changed: Any) -> bytes:
    model = "CALIBRATION_LensDistortionModelBrownConrady"
    placed = {"Rotation": [1, 0, 0, 0, 1, 0, 0, 0, 1], "Translation": [0, 0, 0]}
    depth = {
        "Intrinsics": {"ModelParameterCount": 14, "ModelParameters": lens, "ModelType": model}, "Rt": placed,
        "Location": "CALIBRATION_CameraLocationD0", "SensorWidth": 1024, "SensorHeight": 1024, **changed,
    }  # fmt: skip
    return json.dumps({"CalibrationInformation": {"Cameras": [depth]}}).encode() + b"\0"


def test_the_camera_is_that_of_the_calibration_in_the_recording(tmp_path: Path) -> None:
    source = open_source(write_mkv(tmp_path / "a.mkv", depths(1), calibration=calibration()), SourceOptions())
    assert {name: getattr(source.camera, name) for name in BINNED} == pytest.approx(BINNED, abs=1e-9)
    assert "The camera's intrinsics are those of calibration.json in the recording." in source.assumptions
    assert any("lens distortion" in note for note in source.assumptions)
    (frame,) = source
    assert (frame.depth_mm[100:188, 100:220] > 0).all(), "the middle has depth after the lens was taken out"
    named = open_source(tmp_path / "a.mkv", GIVEN)
    assert named.camera.fx == 250.0, "what the user says counts"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 576), (503.808, 504.832, 319.5, 341.74)),
        ((512, 512), (251.904, 252.416, 255.5, 260.62)),
        ((1024, 1024), (503.808, 504.832, 511.5, 521.74)),
    ],
)
def test_each_mode_is_a_window_of_the_sensor(size: tuple[int, int], expected: tuple[float, ...]) -> None:
    camera = depth_camera(calibration(), *size)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx(expected, abs=1e-9)
    assert camera.distortion is not None
    assert camera.distortion.coefficients == (0.5, -0.02, 0.00002, -0.00007, -0.003, 0.85, 0.08, -0.014)
    lens = camera.lens
    assert lens is not None
    lens.check()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"[1]", "no calibration of the recorder"),
        (b"\xff{", "no calibration of the recorder"),
        (calibration(LENS[:5]), "ModelParameters has no 14 numbers"),
        (calibration([None, *LENS[1:]]), "expected a finite number"),
        (calibration([10**30, *LENS[1:]]), "expected a finite number"),
        (calibration([*LENS[:10], 0.1, *LENS[11:]]), "centre of distortion off the axis"),
        (calibration(Location="elsewhere"), "has 0 cameras"),
        (calibration(Intrinsics={"ModelType": "Theta"}), "its lens is not of the model"),
    ],
)
def test_a_calibration_that_cannot_be_used_is_said(tmp_path: Path, data: bytes, problem: str) -> None:
    source = open_source(write_mkv(tmp_path / "a.mkv", depths(1), calibration=data), SourceOptions())
    assert any("assumed to be azure-kinect-binned" in note and problem in note for note in source.assumptions)


def test_raw_depth_with_the_most_significant_byte_first_is_read(tmp_path: Path) -> None:
    # The recorder writes V_MS/VFW/FOURCC with the code b16g, which PyAV's own writer leaves out.
    images = depths(2)
    with av.open(str(tmp_path / "nameless.mkv"), "w", options={"allow_raw_vfw": "1"}) as container:
        track = container.add_stream("rawvideo", rate=30)
        track.width, track.height, track.pix_fmt = WIDTH, HEIGHT, "gray16be"
        track.metadata["title"] = "DEPTH"
        for image in images:
            frame = av.VideoFrame.from_ndarray(image, format="gray16le").reformat(format="gray16be")
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    data = (tmp_path / "nameless.mkv").read_bytes()
    header = data.find(struct.pack("<IiiHH", 40, WIDTH, -HEIGHT, 1, 16))
    assert header > 0
    assert images[0].astype(">u2").tobytes() in data
    (tmp_path / "a.mkv").write_bytes(data[: header + 16] + b"b16g" + data[header + 20 :])
    frames = list(open_source(tmp_path / "a.mkv", GIVEN))
    assert [np.array_equal(frame.depth_mm, image) for frame, image in zip(frames, images, strict=True)] == [True] * 2


def test_tracks_in_an_unknown_format_are_no_depth(tmp_path: Path) -> None:
    path = write_mkv(tmp_path / "a.mkv", depths(1))
    data = path.read_bytes()
    assert data.count(b"V_FFV1") == 2, "of the colour and of the depth"
    path.write_bytes(data.replace(b"V_FFV1", b"V_NONE"))
    with pytest.raises(SourceError, match="has 0 video tracks of 16-bit grey, "):
        open_source(path, GIVEN)
