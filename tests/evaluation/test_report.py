"""The table and the files of an evaluation."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.evaluations import NONE, evaluation

from handopt.errors import OutputError
from handopt.evaluation.report import per_frame, save_evaluation, table


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_folder_holds_every_file(tmp_path: Path) -> None:
    folder = save_evaluation(evaluation(), tmp_path / "a" / "scores")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("curve.csv", "curve.png", "per_frame.csv", "per_joint.csv", "summary.json"),
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["scores"]
    frames = rows_of(folder / "per_frame.csv")
    assert [row["name"] for row in frames] == ["easy/0", "easy/1", "hard/0", "hard/1"]
    assert (frames[0]["mean_joint_error_mm"], frames[0]["worst_joint_error_mm"], frames[0]["worst_joint"]) == (
        "8.0",
        "20.0",
        "c",
    )
    assert (frames[0]["visible_joints"], frames[0]["worst_visible_joint_error_mm"]) == ("2", "3.0")
    assert frames[0]["c_error_mm"] == "20.0"
    assert (frames[0]["confidence"], frames[0]["prediction"]) == ("0.95", "p/0")
    measured = ("mean_joint_error_mm", "worst_joint_error_mm", "worst_joint", "a_error_mm")
    missing = [frames[2][key] for key in ("prediction", *measured, "confidence")]
    assert missing == [""] * 6
    curve = rows_of(folder / "curve.csv")
    assert [row["distance_mm"] for row in curve] == [str(limit) for limit in range(5, 81)]
    assert (curve[15]["worst_joint_within"], curve[15]["worst_visible_joint_within"]) == ("0.5", "0.6667")
    assert [row["joint"] for row in rows_of(folder / "per_joint.csv")] == ["a", "b", "c"]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["all"]["frames"] == 4


def test_frames_without_visibility_have_no_columns_for_it(tmp_path: Path) -> None:
    assert not [key for row in per_frame(evaluation(visible=None)) for key in row if "visible" in key]


def test_an_evaluation_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    folder = save_evaluation(evaluation(), tmp_path / "scores")
    with pytest.raises(OutputError, match="overwrite=True"):
        save_evaluation(evaluation(), folder)
    save_evaluation(evaluation(visible=None), folder, overwrite=True)
    assert "visible_joints" not in rows_of(folder / "per_frame.csv")[0]
    (folder / "mine.txt").touch()
    with pytest.raises(OutputError, match=r"holds mine\.txt"):
        save_evaluation(evaluation(), folder, overwrite=True)
    (tmp_path / "fits").mkdir()
    (tmp_path / "fits" / "result.json").write_text('{"format": "handopt.result/1"}')
    with pytest.raises(OutputError, match="no evaluation of handopt and was kept"):
        save_evaluation(evaluation(), tmp_path / "fits", overwrite=True)


def test_what_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("handopt.evaluation.report.write_curve", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_evaluation(evaluation(), tmp_path / "a" / "scores")
    assert list(tmp_path.iterdir()) == []


def test_the_table_says_what_is_needed() -> None:
    lines = list(table(evaluation()))
    assert lines[0] == "MSRA Hand Gesture: 4 frames, 1 without a prediction, 3 joints"
    everything = next(line for line in lines if line.startswith("all "))
    assert everything.split() == [
        "all",
        "4",
        "1",
        "24.7",
        "8.0",
        "4.4",
        "50.0",
        "25%",
        "50%",
        "50%",
        "50%",
        "50%",
        "50%",
    ]
    visible = lines[lines.index(everything) + 1]
    assert visible.split() == ["visible", "4.0", "67%", "67%", "67%", "67%", "67%", "67%"]
    assert any(line.split() == ["b", "33.0", "6.0", "4.5", "90.0", "1"] for line in lines)
    assert any(line.split() == [">=", "0.7", "50%", "100%"] for line in lines)
    assert max(map(len, lines)) <= 120


def test_the_table_without_visibility_or_confidence() -> None:
    plain = evaluation(visible=None, confidence=np.full(4, NONE), frames=("0", "1", "2", "3"))
    text = "\n".join(table(plain))
    assert "occluded" not in text
    assert "confidence" not in text
    assert "easy" not in text
    single = {
        "frames": ("0",),
        "errors_mm": np.ones((1, 3)),
        "visible": None,
        "confidence": np.array([NONE]),
        "predictions": ("p",),
    }
    assert next(table(evaluation(**single))).startswith("MSRA Hand Gesture: 1 frame, 0 without")
