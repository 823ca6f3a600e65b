"""Bad input to `handopt track` and `handopt video`: each kind has an exit code and a line that says what to do."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from support.permissions import forbid
from support.remembered_fits import remember_fits
from support.sequences import followed, samples

from handopt.cli.main import main
from handopt.errors import OutputError, SourceError
from handopt.input import sequence
from handopt.input.sequence.base import SequenceFrame
from handopt.input.sequence.stacks import NumpySource
from handopt.storage.track_folder import save_track

FACTS = ("--camera", "237.5,237.5,159.5,119.5", "--unit", "1", "--fps", "30")


@pytest.fixture(autouse=True)
def _each_image_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_fits(monkeypatch)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def track(source: Path, out: Path, *more: str) -> Result:
    return run("track", source, "-o", out, *FACTS, "--no-video", "--no-smooth", "-q", *more)


def counts(index: int) -> np.ndarray:
    return samples()[index].counts.astype(np.uint16)


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(2):
        Image.fromarray(counts(index)).save(folder / f"{index}.png")
    return folder


# -------------------------------------------------------------------------------------- frames of a folder


def truncated(path: Path) -> None:
    Image.fromarray(counts(1)).save(path)
    path.write_bytes(path.read_bytes()[:-500])


def empty(path: Path) -> None:
    path.touch()


def mistyped(path: Path) -> None:
    path.write_text("no image")


def coarse(path: Path) -> None:
    Image.fromarray((counts(1) >> 2).astype(np.uint8)).save(path)


def smaller(path: Path) -> None:
    Image.fromarray(counts(1)[:100, :100]).save(path)


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "2.png": (truncated, "2.png: is damaged or cut short"),
    "3.png": (empty, "3.png: is empty (0 bytes)"),
    "4.png": (mistyped, "4.png: is not an image that handopt reads"),
    "5.png": (coarse, "5.png: is an 8-bit image with 1 channel"),
    "6.png": (smaller, "6.png: is 100 x 100 pixels, the first frame 320 x 240; a sequence is of one camera"),
}


def test_bad_frames_are_named_and_the_rest_is_tracked(frames: Path, tmp_path: Path) -> None:
    for name, (make, _) in BAD.items():
        make(frames / name)
    done = track(frames, tmp_path / "out")
    assert done.exit_code == 1
    assert done.stderr.endswith("5 of 7 frames could not be read.\n")
    lines = [json.loads(line) for line in (tmp_path / "out" / "track.jsonl").read_text().splitlines()]
    assert [line["tracked"] for line in lines] == [True, True, *[False] * len(BAD)]
    for line, (_, message) in zip(lines[2:], BAD.values(), strict=True):
        assert message in line["error"]
        assert message in done.stderr


def test_equal_errors_of_frames_are_one_line(frames: Path, tmp_path: Path) -> None:
    for number in (10, 2, 3, 4):
        (frames / f"{number}.png").touch()
    done = track(frames, tmp_path / "out")
    shown = ", ".join(str(frames / f"{number}.png") for number in (2, 3, 4))
    assert f"Error: 4 frames ({shown}, …) are empty (0 bytes)" in done.stderr
    assert done.stderr.count("empty") == 1


def test_a_frame_without_permission_is_named(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, frames / "1.png")
    done = track(frames, tmp_path / "out")
    assert done.exit_code == 1
    assert f"Error: {frames / '1.png'}: cannot be read (Permission denied)" in done.stderr
    assert "1 of 2 frames could not be read" in done.stderr


# ------------------------------------------------------------------------------------------------- stacks


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty (0 bytes); copy or record it again"),
        (b"no stack", "is not a sequence of frames that handopt reads; give a folder"),
        (b"\x93NUMPY\x01\x00nonsense", "has a damaged array header"),
    ],
)
def test_files_that_are_no_sequence(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "wave.npy").write_bytes(content)
    done = track(tmp_path / "wave.npy", tmp_path / "out")
    assert done.exit_code == 1
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def stack(path: Path, count: int = 3) -> Path:
    np.save(path / "wave.npy", np.stack([counts(index) for index in range(count)]))
    return path / "wave.npy"


def test_a_stack_that_is_cut_short_gives_what_it_has(tmp_path: Path) -> None:
    path = stack(tmp_path)
    path.write_bytes(path.read_bytes()[:-1000])
    done = track(path, tmp_path / "out")
    assert done.exit_code == 1
    assert "the file is cut short, it has 2 of 3 frames: copy it again" in done.stderr
    assert (tmp_path / "out" / "track.json").is_file()


def test_a_stack_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stack(tmp_path)
    forbid(monkeypatch, path)
    done = track(path, tmp_path / "out")
    assert done.exit_code == 1
    assert f"Error: {path}: cannot be read (Permission denied)" in done.stderr


def test_a_source_that_changes_ends_the_track_which_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = stack(tmp_path), NumpySource._check_unchanged

    def touched(self: NumpySource, index: int) -> None:
        if index == 2:
            os.utime(path, (1, 1))
        real(self, index)

    monkeypatch.setattr(NumpySource, "_check_unchanged", touched)
    done = track(path, tmp_path / "out")
    assert done.exit_code == 1
    assert "wave.npy changed while it was read, at frame 2: what was read before is kept; track it again" in done.stderr
    assert len((tmp_path / "out" / "track.jsonl").read_text().splitlines()) == 2


# ------------------------------------------------------------------------------------ disks and permissions


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def denied(*_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_full_disk_leaves_no_half_track(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handopt.storage.track_folder.write_arrays", full)
    done = track(frames, tmp_path / "out")
    assert done.exit_code == 1
    assert f"the disk is full: {tmp_path / 'out'} was not written, and nothing was left there; free" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["frames"]


def test_a_track_is_kept_where_its_video_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handopt.draw.video.write_mp4", full)
    with pytest.raises(OutputError, match=r"is written, but without track.mp4, .* the disk is full"):
        save_track(followed(), tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"track.json", "track.npz", "track.jsonl", "hand.glb", "hand.bvh"}


def test_an_output_without_permission_is_refused_before_any_work(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handopt.cli.outputs.tempfile.mkdtemp", denied)
    done = track(frames, tmp_path / "out")
    assert done.exit_code == 2
    assert f"-o {tmp_path / 'out'} cannot be written: Permission denied; choose another with -o" in done.stderr


class Vanishing:
    """A camera that gives two frames and disappears."""

    name, length, fps, hand, unit_mm, assumptions = "live", None, 30.0, None, 1.0, ()

    def __init__(self) -> None:
        from support.sequences import CAMERA

        self.camera = CAMERA

    def __iter__(self) -> Any:
        for index in range(2):
            yield SequenceFrame(index, f"live[{index}]", counts(index).astype(np.float32), index / 30)
        raise SourceError("--live: the camera gave no frame for 5 s; it may have been unplugged")


def test_a_full_disk_after_a_camera_disappears_says_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "live_source", lambda _options: Vanishing())
    monkeypatch.setattr("handopt.draw.video.write_mp4", full)
    done = run("track", "--live", "-o", tmp_path / "out")
    assert done.exit_code == 1
    assert "is written, but without track.mp4" in done.stderr
    assert "the camera gave no frame" in done.stderr
    assert len((tmp_path / "out" / "track.jsonl").read_text().splitlines()) == 2


# -------------------------------------------------------------------------------------------------- videos


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_track(followed(), tmp_path_factory.mktemp("tracks") / "track", video=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "is empty (0 bytes): track or fit it again"),
        (lambda data: data[:3000], "is damaged or none of handopt's (BadZipFile): track or fit it again"),
        (lambda data: b"some text", "is damaged or none of handopt's"),
        (lambda data: b"\x93NUMPY" + data[6:100], "is damaged or none of handopt's"),
    ],
    ids=["empty", "truncated", "mistyped", "other"],
)
def test_results_that_cannot_be_shown(
    change: Callable[[bytes], bytes], message: str, tracked: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(tracked, bad)
    (bad / "track.npz").write_bytes(change((bad / "track.npz").read_bytes()))
    done = run("video", bad)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: {bad / 'track.npz'} {message}")
    assert list(tmp_path.iterdir()) == [bad]


def test_arrays_that_are_missing_are_named(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    np.savez(tmp_path / "other" / "track.npz", depth=np.zeros(3))
    done = run("video", tmp_path / "other")
    assert done.exit_code == 1
    assert "is damaged or none of handopt's (it lacks 'header')" in done.stderr


def test_a_result_without_permission(tracked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, tracked / "track.npz")
    done = run("video", tracked, "-o", tmp_path / "film.gif")
    assert done.exit_code == 1
    assert "track.npz cannot be read (Permission denied): check its permission" in done.stderr


@pytest.mark.parametrize("kind", ["mp4", "gif"])
@pytest.mark.parametrize(
    ("fail", "message"),
    [
        (full, "the disk is full: {} was not written; free some space or choose another place with -o"),
        (denied, "cannot write {}: Permission denied; choose another place with -o"),
    ],
)
def test_videos_that_cannot_be_written_leave_nothing(
    kind: str, fail: Callable[..., None], message: str, tracked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = "handopt.draw.video._write_gif" if kind == "gif" else "handopt.draw.video.write_mp4"
    monkeypatch.setattr(where, fail)
    film = tmp_path / f"film.{kind}"
    done = run("video", tracked, "-o", film)
    assert done.exit_code == 1
    assert done.stderr == f"Error: {message.format(film)}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_names_the_option(tracked: Path) -> None:
    done = run("video", tracked, "-o", "/proc/film.mp4")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: cannot write /proc/film.mp4: ")
    assert "choose another place with -o" in done.stderr


def test_ffmpeg_on_a_full_disk_is_understood(tracked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import imageio.v2

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(imageio.v2, "get_writer", broken)
    done = run("video", tracked, "-o", tmp_path / "film.mp4")
    assert "Broken pipe" in done.stderr
    assert "choose another place with -o or reinstall imageio-ffmpeg" in done.stderr
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 0))
    done = run("video", tracked, "-o", tmp_path / "film.mp4")
    assert "the disk is full: the video was not written; free some space" in done.stderr
