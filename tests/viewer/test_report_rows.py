"""Rows of a report, found and handed out in parts."""

from typing import Any

import pytest

from handopt.viewer.report_rows import MOST_ROWS, ReportRows, figures
from handopt.viewer.review import ACCEPT, Decision


def row(folder: str, confidence: float | None, residual_mm: float | None = 1.0, hand: str = "right") -> list[Any]:
    outcome = "done" if confidence is not None else "failed"
    return [folder, f"{folder}.png", outcome, hand, confidence, residual_mm, 0.9, f"Status of {folder.upper()}"]


ROWS = [row("a", 0.9, 3.0), row("b", None, None), row("c", 0.2, 1.0, "left"), row("d", 0.5, 2.0)]


def found(rows: ReportRows, **wanted: str) -> list[str]:
    part = rows.part(rows.find(wanted)["number"], 0, 100)
    assert part is not None
    return [each["values"][0] for each in part]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"sort": "confidence"}, "cdab"),
        ({"sort": "-residual_mm"}, "adcb"),
        ({"sort": "-error"}, "dcab"),
        ({"sort": "folder", "hand": "left"}, "c"),
        ({"outcome": "failed"}, "b"),
        ({"low": "0.3", "high": "0.95"}, "ad"),
        ({"search": "STATUS d"}, "d"),
        ({"state": "open"}, "abd"),
        ({"state": "accept"}, "c"),
    ],
)
def test_filters_and_orders(wanted: dict[str, str], expected: str) -> None:
    rows = ReportRows(ROWS, {"c": Decision("c", None, ACCEPT, "left")}, {"c": 4.0, "d": 30.0})
    assert "".join(found(rows, **wanted)) == expected


def test_an_order_stays_while_decisions_are_made() -> None:
    rows = ReportRows(ROWS, {})
    reply = rows.find({"state": "open", "sort": "folder", "keep": "2"})
    assert (reply["total"], reply["place"]) == (4, 2)
    rows.decide(Decision("a", None, ACCEPT, "right"))
    part = rows.part(reply["number"], 0, 2)
    assert part is not None
    assert [(each["index"], each["decision"]) for each in part] == [(0, ACCEPT), (1, None)]
    assert rows.counts() == {ACCEPT: 1}
    rows.decide(Decision("a", None, None, "right"))
    assert rows.counts() == {}
    for _ in range(20):
        rows.find({})
    assert rows.part(reply["number"], 0, 2) is None, "old orders are forgotten"


def test_a_part_is_bounded_and_an_unknown_order_is_refused() -> None:
    rows = ReportRows([row(f"{number:04d}", 0.5) for number in range(2000)], {})
    part = rows.part(rows.find({})["number"], 1000, 10**9)
    assert part is not None
    assert len(part) == MOST_ROWS
    assert part[0]["values"][0] == "1000"
    with pytest.raises(ValueError, match="sort='size' is unknown"):
        rows.find({"sort": "size"})
    assert "1999" in rows
    assert "2000" not in rows


def test_figures_of_all_fits() -> None:
    made = figures([*ROWS, row("e", 1.0)], {"a": 10.0, "c": 70.0, "d": 10.5, "e": 500.0})
    assert made["bins"] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert [made["within"][limit] for limit in (9, 10, 11, 80)] == [0, 0.25, 0.5, 0.75]
    assert made["labelled"] == 4
    assert figures(ROWS, None)["within"] == []
