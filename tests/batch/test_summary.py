"""summary.jsonl: one line for each image, whatever ended earlier runs, and however many write at once."""

import errno
import fcntl
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from handopt.batch.outcome import DONE, FAILED, SKIPPED, Outcome, Task
from handopt.batch.summary import SUMMARY_NAME, Summary
from handopt.errors import OutputError


def outcome(name: str, kind: str = DONE, error: str | None = None) -> Outcome:
    return Outcome(Task(Path(name), Path("out") / Path(name).stem), kind, error=error, total_seconds=1.23456)


def rows(output: Path) -> list[tuple[str, str]]:
    lines = (output / SUMMARY_NAME).read_text().splitlines()
    return [(row["image"], row["outcome"]) for row in map(json.loads, lines)]


def images(*names: str) -> list[Path]:
    return [Path(name) for name in names]


def test_lines_stand_in_the_order_of_the_images(tmp_path: Path) -> None:
    with Summary(tmp_path / "new" / "out", images("a", "b", "c")) as summary:
        for name, status in (("c", DONE), ("a", FAILED), ("b", SKIPPED)):
            summary.add(outcome(name, status))
            assert rows(tmp_path / "new" / "out")[-1] == (name, status), "it is there at once"
    assert rows(tmp_path / "new" / "out") == [("a", FAILED), ("b", SKIPPED), ("c", DONE)]
    assert [path.name for path in (tmp_path / "new" / "out").iterdir()] == [SUMMARY_NAME]


def test_a_line_says_how_an_image_ended(tmp_path: Path) -> None:
    failed = outcome("ä\udcff.png", FAILED, "is damaged")
    with Summary(tmp_path, images("ä\udcff.png")) as summary:
        summary.add(failed)
    (line,) = (tmp_path / SUMMARY_NAME).read_bytes().splitlines()
    assert json.loads(line) == {
        **{"image": "ä\udcff.png", "outcome": "failed", "error": "is damaged", "folder": None, "total_seconds": 1.235},
        **dict.fromkeys(
            ("status", "hand", "hand_margin", "confidence", "residual_mm", "silhouette_iou", "unexplained_fraction")
        ),
    }


def test_another_run_replaces_the_lines_of_its_images_and_keeps_the_others(tmp_path: Path) -> None:
    with Summary(tmp_path, images("a", "b", "x")) as summary:
        for name in ("a", "b", "x"):
            summary.add(outcome(name, FAILED))
    with Summary(tmp_path, images("b", "a")) as summary:
        assert rows(tmp_path) == [("x", FAILED)], "what will be tried again does not count as failed"
        summary.add(outcome("a"))
        summary.add(outcome("b"))
    assert rows(tmp_path) == [("b", DONE), ("a", DONE), ("x", FAILED)]
    with Summary(tmp_path, images("a", "b")) as summary:
        summary.add(replace(outcome("a"), before=True))
        assert len(rows(tmp_path)) == 3, "it has its line"
        summary.add(replace(outcome("y"), before=True))
    assert rows(tmp_path) == [("a", DONE), ("b", DONE), ("x", FAILED), ("y", DONE)]


def test_what_a_kill_cut_off_goes_and_what_was_done_stays(tmp_path: Path) -> None:
    whole = outcome("a").to_json() + "\n"
    (tmp_path / SUMMARY_NAME).write_text(whole + "no json\n" + outcome("b").to_json() + "\n" + whole[:30])
    with Summary(tmp_path, images("a", "b", "c")) as summary:
        assert rows(tmp_path) == [("a", DONE), ("b", DONE)]
        summary.add(outcome("c"))
        summary.add(outcome("a"))
    assert rows(tmp_path) == [("a", DONE), ("b", DONE), ("c", DONE)]


def test_two_runs_at_once_lose_no_line_and_the_last_puts_them_in_order(tmp_path: Path) -> None:
    with Summary(tmp_path, images("a", "b")) as first:
        assert first.alone
        first.add(outcome("b"))
        with Summary(tmp_path, images("c", "b")) as second:
            assert not second.alone
            second.add(outcome("c"))
            first.add(outcome("a"))
            second.add(outcome("b", FAILED))
        assert rows(tmp_path) == [("b", DONE), ("c", DONE), ("a", DONE), ("b", FAILED)]
    assert rows(tmp_path) == [("a", DONE), ("b", FAILED), ("c", DONE)]


def test_folders_that_cannot_be_locked_are_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_file: int, _kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with Summary(tmp_path, images("a")) as summary:
        summary.add(outcome("a"))
    assert rows(tmp_path) == [("a", DONE)]


def test_a_full_disk_and_a_place_that_is_no_folder_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*choose another output="):
        Summary(tmp_path / "file", [])

    def fill(_file: int, _line: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with Summary(tmp_path / "out", images("a")) as summary:
        monkeypatch.setattr(os, "write", fill)
        with pytest.raises(OutputError, match=r"disk is full: .*summary\.jsonl.*run the same command again"):
            summary.add(outcome("a"))
        monkeypatch.undo()
