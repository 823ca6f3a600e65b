"""Colour of .mkv recordings, registered to their depth by the calibration in them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handopt.errors import SourceError
from handopt.input.sequence import open_source
from handopt.input.sequence.stream_info import SourceOptions

av = pytest.importorskip("av", reason="av not found: pip install '.[mkv]' in handopt's source folder")

COLOUR = SourceOptions(colour=True)
DEPTH_MM = 640


def camera(location: str, lens: tuple[float, ...], shift_m: float, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "Location": location, "SensorWidth": size[0], "SensorHeight": size[1],
        "Intrinsics": {
            "ModelType": "CALIBRATION_LensDistortionModelBrownConrady", "ModelParameters": [*lens, *[0.0] * 10],
        },
        "Rt": {"Rotation": [1, 0, 0, 0, 1, 0, 0, 0, 1], "Translation": [shift_m, 0, 0]},
    }  # fmt: skip


CALIBRATION = {
    "CalibrationInformation": {
        "Cameras": [
            camera("CALIBRATION_CameraLocationD0", (0.5, 0.5, 0.5, 0.5), 0.0, (1024, 1024)),
            camera("CALIBRATION_CameraLocationPV0", (0.5, 0.5, 1.0, 4 / 3), 0.025, (4096, 3072)),
        ]
    }
}


def write(path: Path, calibration: Any = CALIBRATION, colour: bool = True) -> Path:
    """Two frames of a wall, and pictures of 64 x 48 pixels whose red counts columns, and green rows."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[..., 1], picture[..., 0] = np.indices((48, 64)) * 3
    with av.open(str(path), "w") as container:
        tracks = []
        for name, width, height, kind in (("COLOR", 64, 48, "bgr0"), ("DEPTH", 320, 288, "gray16le")):
            if name == "DEPTH" or colour:
                track = container.add_stream("ffv1", rate=30)
                track.width, track.height, track.pix_fmt = width, height, kind
                track.metadata["title"] = name
                tracks.append(track)
        if calibration is not None:
            container.add_attachment("calibration.json", "application/octet-stream", json.dumps(calibration).encode())
        for number in range(2):
            for track in tracks:
                if track.pix_fmt == "gray16le":
                    frame = av.VideoFrame.from_ndarray(np.full((288, 320), DEPTH_MM, np.uint16), format="gray16le")
                else:
                    shown = picture + np.array([0, 0, number], np.uint8)
                    frame = av.VideoFrame.from_ndarray(shown, format="rgb24").reformat(format="bgr0")
                container.mux(track.encode(frame))
        for track in tracks:
            container.mux(track.encode(None))
    return path


def test_each_pixel_has_the_colour_of_its_point(tmp_path: Path) -> None:
    frames = list(open_source(write(tmp_path / "a.mkv"), COLOUR))
    assert len(frames) == 2
    for number, frame in enumerate(frames):
        # Column 223, row 229 lies at 63.5 / 256 * 640 = 158.75 mm in x and y, for the colour camera at 183.75 in x:
        # column 183.75 / 640 * 64 + 31.5 = 49.9, row 158.75 / 640 * 64 + 23.5 = 39.4.
        assert frame.colour is not None
        assert frame.colour[229, 223].tolist() == [150, 117, number]
        assert frame.colour[229, 319].tolist() == [0, 0, 0], "beyond the picture"
    assert [frame.colour for frame in open_source(tmp_path / "a.mkv")] == [None, None], "nobody asked for it"


def test_what_has_no_colour_to_register_is_said(tmp_path: Path) -> None:
    given = SourceOptions(camera="256,256,159.5,165.5", unit=1.0, colour=True)
    with pytest.raises(SourceError, match=r"has no calibration\.json, which says where the colour camera stands"):
        open_source(write(tmp_path / "a.mkv", None), given)
    with pytest.raises(SourceError, match="has no colour track; leave colour out"):
        open_source(write(tmp_path / "b.mkv", colour=False), given)
    alone = {"CalibrationInformation": {"Cameras": CALIBRATION["CalibrationInformation"]["Cameras"][:1]}}
    with pytest.raises(SourceError, match="has 0 cameras CALIBRATION_CameraLocationPV0, expected one"):
        open_source(write(tmp_path / "c.mkv", alone), given)
    np.save(tmp_path / "d.npy", np.full((2, 288, 320), DEPTH_MM, np.uint16))
    with pytest.raises(SourceError, match="no colour of the depth camera's view is read from such files"):
        open_source(tmp_path / "d.npy", given)
