"""A folder of results is complete or not there at all: full disks, interruptions, places that cannot be written."""

import errno
import shutil
from pathlib import Path

import pytest
from support.factories import fit_result
from support.output_folders import failing, tree

from handopt.errors import OutputError
from handopt.result import FitResult
from handopt.storage import fit_folder as module
from handopt.storage import save

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


def test_a_folder_that_appears_meanwhile_is_kept(
    result: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "hand"

    def intrude(result: FitResult, path: Path, *_: object) -> None:
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
