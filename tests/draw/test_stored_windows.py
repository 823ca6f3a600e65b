"""The depth of long tracks: read frame by frame, whatever the file holds."""

from pathlib import Path

import numpy as np
import pytest

from handopt.draw import stored_windows as module
from handopt.draw.stored_windows import stored_windows
from handopt.files import UnreadableError


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE_BYTES", 1000)


def test_frames_are_those_of_the_array(tmp_path: Path) -> None:
    windows = np.random.default_rng(5).integers(0, 65536, (9, 16, 16)).astype(np.uint16)
    windows[[2, 7, 8]] = 0
    np.savez_compressed(tmp_path / "track.npz", window_depth_mm=windows)
    stored = stored_windows(tmp_path / "track.npz")
    assert stored is not None
    assert (stored.shape, len(stored)) == ((9, 16, 16), 9)
    for row in (8, 0, 2, 5, -1, 7):
        assert np.array_equal(stored[row], windows[row]), row
    with pytest.raises(IndexError):
        stored[9]


@pytest.mark.parametrize(
    "windows", [np.zeros((1, 16, 16), np.uint16), np.zeros((9, 16, 16), np.int64), np.zeros((9, 256), np.uint16)]
)
def test_what_is_small_or_of_another_type_is_left_to_the_usual_reader(windows: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "track.npz", window_depth_mm=windows)
    assert stored_windows(tmp_path / "track.npz") is None
    np.savez(tmp_path / "other.npz", other=windows)
    assert stored_windows(tmp_path / "other.npz") is None


def test_damage_and_endless_tracks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "track.npz"
    np.savez(path, window_depth_mm=np.ones((9, 16, 16), np.uint16))
    whole = path.read_bytes()
    path.write_bytes(whole[:1500] + b"\7" + whole[1501:])
    with pytest.raises(UnreadableError, match="is damaged or cut short"):
        stored_windows(path)
    path.write_bytes(whole[:2000])
    with pytest.raises(UnreadableError, match="is damaged or cut short"):
        stored_windows(path)
    path.write_bytes(whole)
    monkeypatch.setattr(module, "MAX_BYTES", 2000)
    with pytest.raises(UnreadableError, match="the limit is"):
        stored_windows(path)
