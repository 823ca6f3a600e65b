"""Depth in .mkv files, written by PyAV's own encoder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handopt.errors import CameraError, DepthError, SourceError
from handopt.input.sequence import open_source
from handopt.input.sequence.stream_info import SourceOptions

av = pytest.importorskip("av", reason="av not found: pip install '.[mkv]' in handopt's source folder")

HEIGHT, WIDTH = 288, 320
GIVEN = SourceOptions(camera="250,250,160,144", unit=1.0)


def depths(count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.integers(300, 900, (HEIGHT, WIDTH)).astype(np.uint16) for _ in range(count)]


def write(path: Path, images: list[np.ndarray], titles: tuple[str, ...] = ("DEPTH",), colour: bool = True) -> Path:
    """A recording with one grey track for each title, all of the images, and perhaps a colour track before them."""
    with av.open(str(path), "w") as container:
        tracks: list[Any] = []
        if colour:
            first = container.add_stream("ffv1", rate=30)
            first.width, first.height, first.pix_fmt = 64, 48, "yuv420p"
            tracks.append(first)
        for title in titles:
            track = container.add_stream("ffv1", rate=30)
            track.width, track.height, track.pix_fmt = WIDTH, HEIGHT, "gray16le"
            track.metadata["title"] = title
            tracks.append(track)
        for image in images:
            for track in tracks:
                grey = track.pix_fmt == "gray16le"
                shown = image if grey else np.zeros((48, 64, 3), np.uint8)
                frame = av.VideoFrame.from_ndarray(shown, format="gray16le" if grey else "rgb24")
                container.mux(track.encode(frame if grey else frame.reformat(format="yuv420p")))
        for track in tracks:
            container.mux(track.encode(None))
    return path


def test_frames_are_those_that_were_written(tmp_path: Path) -> None:
    images = depths()
    images[0][:] = 0
    source = open_source(write(tmp_path / "a.mkv", images), GIVEN)
    frames = list(source)
    assert [np.array_equal(frame.depth_mm, image) for frame, image in zip(frames, images, strict=True)] == [True] * 3
    assert [frame.time_s for frame in frames] == pytest.approx([0, 1 / 30, 2 / 30], abs=1e-3)
    assert (source.camera.fx, source.unit_mm) == (250.0, 1.0)
    assert len(list(source)) == 3, "it can be read again"


def test_the_camera_is_that_of_the_size_where_nothing_says_more(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.mkv", depths(1)), SourceOptions())
    assert any("assumed to be azure-kinect-binned" in note for note in source.assumptions)
    assert source.unit_mm == 1.0


def test_what_is_no_depth_is_said(tmp_path: Path) -> None:
    two = write(tmp_path / "two.mkv", depths(1), ("DEPTH", "IR"))
    assert len(list(open_source(two, GIVEN))) == 1, "the track that calls itself depth"
    with pytest.raises(SourceError, match="2 video tracks of 16-bit grey, expected one"):
        open_source(write(tmp_path / "unnamed.mkv", depths(1), ("a", "b")), GIVEN)
    with pytest.raises(SourceError, match="has 0 video tracks of 16-bit grey"):
        open_source(write(tmp_path / "colour.mkv", depths(1), ()), GIVEN)
    with pytest.raises(DepthError, match="nothing is measured in any of its frames"):
        open_source(write(tmp_path / "empty.mkv", [np.zeros((HEIGHT, WIDTH), np.uint16)]), GIVEN)
    whole = two.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[:60])
    with pytest.raises(SourceError, match="is damaged"):
        open_source(tmp_path / "cut.mkv", GIVEN)


def test_a_size_of_no_camera_asks_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handopt.input.sequence.matroska.PRESETS", {})
    with pytest.raises(CameraError, match="nothing says which camera took its 320 x 288 pixels"):
        open_source(write(tmp_path / "a.mkv", depths(1)), SourceOptions())
