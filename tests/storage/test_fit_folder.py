"""Folders of results: complete or not at all."""

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.factories import fit_result

from handopt import atomic_folder
from handopt.errors import OutputError
from handopt.result import FitResult
from handopt.storage import fit_folder as module
from handopt.storage import result_folders, save
from handopt.storage.fit_folder import OUR_NAMES, check_free, write_history

ALWAYS = {"trace.npz", "result.json", "mesh.glb", "history.csv", "overlay.png"}
WRITERS = [
    "write_glb",
    "write_ply",
    "write_obj",
    "write_history",
    "write_overlay",
    "write_renders",
    "write_optimisation",
]


@pytest.fixture(scope="module")
def result() -> FitResult:
    return fit_result(iterations=3)


def tree(root: Path) -> dict[str, bytes]:
    """Everything below a folder, hidden or not: relative name -> contents (folders: empty)."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b"" for path in sorted(root.rglob("*"))
    }


def failing(error: BaseException) -> Callable[..., None]:
    """A writer that starts a file and then fails."""

    def write(result: FitResult, path: Path) -> None:
        (path / "0000.png" if path.is_dir() else path).write_bytes(b"half")
        raise error

    return write


def test_save_writes_everything(result: FitResult, tmp_path: Path) -> None:
    target = tmp_path / "out" / "deep" / "hand"
    assert save(result, target, ply=True, obj=True, video=True) == target
    names = {path.name for path in target.iterdir()}
    assert names == ALWAYS | {"renders", "mesh.ply", "mesh.obj", "optimisation.mp4"}
    assert len(list((target / "renders").iterdir())) == result.iterations
    assert json.loads((target / "result.json").read_text()) == result.to_dict()
    assert [path.name for path in target.parent.iterdir()] == ["hand"]


def test_save_writes_only_what_is_asked_for(result: FitResult, tmp_path: Path) -> None:
    save(result, tmp_path / "hand", renders=False)
    assert {path.name for path in (tmp_path / "hand").iterdir()} == ALWAYS


def test_the_folder_is_as_open_as_any_other(result: FitResult, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    save(result, tmp_path / "hand", renders=False)
    assert (tmp_path / "hand").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_history_is_complete_to_the_last_digit(result: FitResult, tmp_path: Path) -> None:
    write_history(result, tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["iteration", *result.history]
    assert [row["iteration"] for row in rows] == ["0", "1", "2"]
    for name, values in result.history.items():
        read = np.array([row[name] for row in rows]).astype(values.dtype)
        np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_no_trace(
    writer: str, code: int, result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, writer, failing(OSError(code, "No space left on device")))
    target = tmp_path / "new" / "parents" / "hand"
    with pytest.raises(OutputError, match="disk is full") as caught:
        save(result, target, ply=True, obj=True, video=True)
    assert str(target) in str(caught.value)
    assert "nothing was left" in str(caught.value)
    assert "folder=" in str(caught.value)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug"), SystemExit(3)], ids=lambda e: repr(e))
@pytest.mark.parametrize("writer", ["write_glb", "write_renders"])
def test_an_interruption_leaves_no_trace(
    writer: str, error: BaseException, result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, writer, failing(error))
    with pytest.raises(type(error)):
        save(result, tmp_path / "out" / "hand")
    assert tree(tmp_path) == {}


def test_an_interrupted_clean_up_is_finished(
    result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree
    calls: list[Path] = []

    def interrupted(path: Path, ignore_errors: bool) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise KeyboardInterrupt
        remove(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    monkeypatch.setattr(module, "write_overlay", failing(OSError(errno.ENOSPC, "full")))
    with pytest.raises(KeyboardInterrupt):
        save(result, tmp_path / "hand")
    assert tree(tmp_path) == {}


def test_what_cannot_be_cleaned_up_is_named(result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_glb", failing(OSError(errno.EIO, "Input/output error")))
    monkeypatch.setattr(shutil, "rmtree", lambda path, ignore_errors: None)
    with pytest.raises(OutputError, match=r"Input/output error.*\.partial could not be removed"):
        save(result, tmp_path / "hand")


def test_an_error_of_the_video_is_passed_on(result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_optimisation", failing(OutputError("no ffmpeg: leave out video=")))
    with pytest.raises(OutputError, match=r"hand was not written.*leave out video="):
        save(result, tmp_path / "hand", video=True)
    assert tree(tmp_path) == {}


def test_an_existing_folder_is_kept(result: FitResult, tmp_path: Path) -> None:
    save(result, tmp_path / "hand", renders=False)
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="overwrite=True"):
        save(fit_result("left"), tmp_path / "hand")
    assert tree(tmp_path) == before


def test_overwrite_replaces_the_whole_folder(result: FitResult, tmp_path: Path) -> None:
    save(result, tmp_path / "hand", ply=True)
    save(fit_result("left"), tmp_path / "hand", renders=False, overwrite=True)
    assert {path.name for path in (tmp_path / "hand").iterdir()} == ALWAYS
    assert json.loads((tmp_path / "hand" / "result.json").read_text())["hand"] == "left"
    assert [path.name for path in tmp_path.iterdir()] == ["hand"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full")], ids=["ctrl-c", "disk"])
def test_overwrite_keeps_the_old_folder_until_the_new_one_is_complete(
    error: BaseException, result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(result, tmp_path / "hand", renders=False)
    before = tree(tmp_path)
    monkeypatch.setattr(module, "write_overlay", failing(error))
    with pytest.raises((KeyboardInterrupt, OutputError), match="kept" if isinstance(error, OSError) else None):
        save(fit_result("left"), tmp_path / "hand", overwrite=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("failing_call", [1, 2])
def test_overwrite_puts_the_old_folder_back_if_a_rename_fails(
    failing_call: int, result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(result, tmp_path / "hand", renders=False)
    before = tree(tmp_path)
    rename, calls = Path.rename, []

    def broken(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == failing_call:
            raise PermissionError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(OutputError, match="Permission denied"):
        save(fit_result("left"), tmp_path / "hand", renders=False, overwrite=True)
    assert tree(tmp_path) == before


def test_ctrl_c_right_after_the_new_folder_is_in_place_leaves_only_that(
    result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(result, tmp_path / "hand", renders=False)
    rename, calls = Path.rename, []

    def interrupted(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return moved

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(fit_result("left"), tmp_path / "hand", renders=False, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["hand"]
    assert json.loads((tmp_path / "hand" / "result.json").read_text())["hand"] == "left"


def test_overwrite_spares_what_handopt_did_not_write(result: FitResult, tmp_path: Path) -> None:
    for name, content in (("photos", "x"), ("json", '{"format": "other/1"}'), ("list", "[1]")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(content)
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    before = tree(tmp_path)
    for name in ("photos", "json", "list", "file", "link"):
        with pytest.raises(OutputError, match="folder="):
            save(result, tmp_path / name, overwrite=True)
    assert tree(tmp_path) == before


def test_overwrite_takes_an_empty_folder(result: FitResult, tmp_path: Path) -> None:
    (tmp_path / "hand").mkdir()
    save(result, tmp_path / "hand", renders=False, overwrite=True)
    assert {path.name for path in (tmp_path / "hand").iterdir()} == ALWAYS


def test_a_folder_that_appears_meanwhile_is_kept(
    result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "hand"

    def intrude(result: FitResult, path: Path) -> None:
        target.mkdir()
        (target / "mine").write_text("x")

    monkeypatch.setattr(module, "write_overlay", intrude)
    with pytest.raises(OutputError, match="folder="):
        save(result, target, renders=False)
    assert tree(tmp_path) == {"hand": b"", "hand/mine": b"x"}


def test_a_place_that_cannot_be_written_names_the_option(result: FitResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = tree(tmp_path)
    for target in (tmp_path / "file" / "hand", tmp_path / "file" / "deep" / "hand", tmp_path / ("x" * 300) / "hand"):
        with pytest.raises(OutputError, match="folder="):
            save(result, target)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("call", ["exists", "mkdir"])
def test_a_place_without_permission_names_the_option(
    call: str, result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path, *args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, call, denied)
    with pytest.raises(OutputError, match=r"Permission denied.*folder="):
        save(result, tmp_path / "out" / "hand")
    assert tree(tmp_path) == {}


def test_check_free_accepts_a_free_place(tmp_path: Path) -> None:
    check_free(tmp_path / "new")
    with pytest.raises(OutputError, match="overwrite=True"):
        check_free(tmp_path)


def folders(images: list[str], tmp_path: Path) -> list[str]:
    """Where results go, relative to the root."""
    root = tmp_path / "out"
    chosen = result_folders([tmp_path / image for image in images], root)
    assert list(chosen) == list(dict.fromkeys(tmp_path / image for image in images))
    return [str(chosen[tmp_path / image].relative_to(root)) for image in images]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([], []),
        (["a/000.png", "b/001.png"], ["000", "001"]),
        (["a/000.png", "b/000.png", "b/001.png"], ["a/000", "b/000", "001"]),
        (["x/a/depth/000.png", "x/b/depth/000.png"], ["a/depth/000", "b/depth/000"]),
        (["000.png", "a/000.png"], ["000", "a/000"]),
        (["a/000.png", "a/000.npy", "a/001.npy"], ["000_png", "000_npy", "001"]),
        (["a/000.png", "a/000.npy", "b/000.png"], ["a/000_png", "a/000_npy", "b/000"]),
        (["a/000.png", "a/000.png"], ["000", "000"]),
        (["a/000.png", "a/../a/000.png"], ["000", "000"]),
        (["hand.depth.png", "hand.png"], ["hand.depth", "hand"]),
        (["a.png", "a/000.png", "b/000.png"], ["a_png", "a/000", "b/000"]),
        (["000.png", "000.npy", "000_png.tif"], ["000_png_2", "000_npy", "000_png"]),
    ],
)
def test_equal_stems_keep_their_folders(images: list[str], expected: list[str], tmp_path: Path) -> None:
    assert folders(images, tmp_path) == expected
    assert folders(images[::-1], tmp_path) == expected[::-1]


def test_no_folder_lies_in_another(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    parts = ["a", "b", "000", "a_png"]
    images = [
        "/".join([*rng.choice(parts, rng.integers(0, 3)), rng.choice(parts) + rng.choice([".png", ".npy"])])
        for _ in range(60)
    ]
    chosen = {image: Path(place) for image, place in zip(images, folders(images, tmp_path), strict=True)}
    for image, place in chosen.items():
        for other, other_place in chosen.items():
            assert image == other or (place != other_place and place not in other_place.parents)


def test_links_to_one_folder_are_one_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert folders(["a/000.png", "b/000.png"], tmp_path) == ["000", "000"]


def test_stems_of_dots_stay_inside(tmp_path: Path) -> None:
    images = [tmp_path / "...png", tmp_path / "..png", tmp_path / "p.png"]
    folders = result_folders(images, Path("out"))
    assert len(set(folders.values())) == 3
    assert all(".." not in folder.parts and folder.name.strip(".") for folder in folders.values())


def test_old_results_survive_when_nothing_can_be_renamed(
    result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(result, tmp_path / "hand", renders=False)
    rename, calls = Path.rename, []

    def broken(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) > 1:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(OutputError, match=r"old results are now in .*\.old"):
        save(result, tmp_path / "hand", renders=False, overwrite=True)
    (kept,) = tmp_path.iterdir()
    assert (kept / "result.json").is_file()


def test_files_of_others_are_never_replaced(result: FitResult, tmp_path: Path) -> None:
    folder = save(result, tmp_path / "hand", renders=False)
    (folder / "labels.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"labels\.txt, which is not handopt's"):
        save(result, folder, renders=False, overwrite=True)
    assert (folder / "labels.txt").read_text() == "mine"


def test_every_file_that_is_written_counts_as_ours(result: FitResult, tmp_path: Path) -> None:
    folder = save(result, tmp_path / "hand", ply=True, obj=True, video=True, provenance="{}")
    assert {path.name for path in folder.iterdir()} == OUR_NAMES


# ------------------------------------------------------------------------------------- after a kill


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    host, dead, alive = atomic_folder._host(), 2**22 + 1, os.getppid()
    names = {
        f".handopt-{host}-{dead}-0a.partial": True,
        f".handopt-{host}-{dead}-0b.old": True,
        f".handopt-{host}-{alive}-0c.partial": False,
        f".handopt-{host}-{os.getpid()}-0d.partial": False,
        f".handopt-00000000-{dead}-0e.partial": False,
        f".handopt-{host}-x-0f.partial": False,
        "hand": False,
    }
    for name in names:
        (tmp_path / name / "renders").mkdir(parents=True)
    assert atomic_folder.remove_stale(tmp_path) == 2
    assert {path.name for path in tmp_path.iterdir()} == {name for name, stale in names.items() if not stale}
    for name in names:
        if (tmp_path / name).is_dir():
            os.utime(tmp_path / name, (1, 1))
    assert atomic_folder.remove_stale(tmp_path) == 3, (
        "another machine's, and those whose number another process has now"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"hand", f".handopt-{host}-x-0f.partial"}
    assert atomic_folder.remove_stale(tmp_path / "missing") == 0


@pytest.mark.process
def test_what_a_killed_process_left_is_removed_before_its_parent_has_noticed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        (tmp_path / f".handopt-{atomic_folder._host()}-{child.pid}-0a.partial").mkdir()
        assert atomic_folder.remove_stale(tmp_path) == 0
        child.kill()
        deadline = time.monotonic() + 10
        while atomic_folder.remove_stale(tmp_path) == 0:
            assert time.monotonic() < deadline
        assert child.wait() == -signal.SIGKILL
