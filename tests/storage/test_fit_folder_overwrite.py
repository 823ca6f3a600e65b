"""Old results stay until the new ones are complete, and files of others stay always."""

import errno
import json
from pathlib import Path

import pytest
from support.factories import fit_result
from support.output_folders import ALWAYS, failing, tree

from handopt.errors import OutputError
from handopt.result import FitResult
from handopt.storage import fit_folder as module
from handopt.storage import save


@pytest.fixture(scope="module")
def result() -> FitResult:
    return fit_result(iterations=3)


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
