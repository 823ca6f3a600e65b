"""review.jsonl: decisions are kept whatever happens, and the last one counts."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from handopt.errors import ConfigError, OutputError
from handopt.viewer.review import ACCEPT, OTHER_HAND, PALM, REJECT, Decision, add_decision, read_review


def test_the_last_decision_on_a_fit_counts(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"
    for decision in (
        Decision("a", "a.png", ACCEPT, "right"), Decision("b", "b.png", REJECT, "left"),
        Decision("a", "a.png", OTHER_HAND, "right"), Decision("c/d", None, PALM, "left", (12.5, 30.0)),
        Decision("b", "b.png", None, "left"),
    ):  # fmt: skip
        add_decision(path, decision)
    found = read_review(path)
    assert list(found) == ["a", "c/d"], "what was taken back is gone"
    assert (found["a"].decision, found["a"].corrected_hand) == ("other_hand", "left")
    assert (found["c/d"].center_px, found["c/d"].corrected_hand) == ((12.5, 30.0), "left")


def test_a_line_has_a_format_and_a_time() -> None:
    line = Decision("a", None, ACCEPT, "right").to_json(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert json.loads(line) == {
        "format": "handopt.review/1", "folder": "a", "image": None, "decision": "accept", "hand": "right",
        "center_px": None, "time": "2026-01-02T03:04:05+00:00",
    }  # fmt: skip


def test_a_line_that_was_cut_off_is_repaired_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"
    add_decision(path, Decision("a", None, ACCEPT, "right"))
    with path.open("a") as file:
        file.write('{"format": "handopt.rev')
    assert list(read_review(path)) == ["a"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{}", "line 1: expected a line of the format handopt.review/1"),
        ('{"format": "handopt.review/1"}', "line 1: folder is None"),
        ('{"format": "handopt.review/1", "folder": "a", "hand": "both"}', "hand is 'both', expected right or left"),
        ('{"format": "handopt.review/1", "folder": "a", "decision": "yes", "hand": "left"}', "decision is 'yes'"),
        (
            '{"format": "handopt.review/1", "folder": "a", "decision": "palm", "hand": "left", "center_px": [1]}',
            r"center_px is \[1\], expected a column and a row",
        ),
        ("nonsense}", "line 1: .*; correct it or remove it"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "review.jsonl").write_text(line + "\n")
    with pytest.raises(ConfigError, match=problem):
        read_review(tmp_path / "review.jsonl")


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_review(tmp_path / "none.jsonl")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\0")
    with pytest.raises(ConfigError, match="cannot be read as a review: it is no text"):
        read_review(tmp_path / "bytes")
    with pytest.raises(OutputError, match="cannot be written"):
        add_decision(tmp_path / "nowhere" / "review.jsonl", Decision("a", None, ACCEPT, "right"))
