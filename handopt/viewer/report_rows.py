"""The rows of a report, filtered and sorted for a page that asks for a part at a time."""

import threading
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from handopt.viewer.review import Decision

FIELDS: Final = ("folder", "image", "outcome", "hand", "confidence", "residual_mm", "iou", "status")
"""What a row holds, in this order."""
BINS: Final = 20
CURVE_MM: Final = 80
"""Largest error of the curve, mm."""
MOST_ROWS: Final = 500
"""Rows of one answer."""
_ORDERS_KEPT = 8
_FOLDER, _OUTCOME, _HAND, _CONFIDENCE, _STATUS = (
    FIELDS.index(x) for x in ["folder", "outcome", "hand", "confidence", "status"]
)
_SORTED_BY = ("confidence", "residual_mm", "iou")
OPEN: Final = "open"


def figures(rows: Sequence[Sequence[Any]], errors_mm: Mapping[str, float] | None) -> dict[str, Any]:
    """What the page draws of all fits: a histogram of confidence, and the share of errors within 0 to CURVE_MM mm."""
    confidences = (row[_CONFIDENCE] for row in rows)
    bins = Counter(min(int(each * BINS), BINS - 1) for each in confidences if each is not None)
    errors = sorted((errors_mm or {}).values())
    within = [bisect_right(errors, limit) / len(errors) for limit in range(CURVE_MM + 1)] if errors else []
    return {"bins": [bins[number] for number in range(BINS)], "within": within, "labelled": len(errors)}


class ReportRows:
    """Rows of fits and what was decided on them. Several threads may ask at once.

    Orders are kept under numbers, so that a page scrolls through the same list while decisions change what a filter
    would find; the oldest are forgotten.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[Any]],
        decisions: Mapping[str, Decision],
        errors_mm: Mapping[str, float] | None = None,
    ) -> None:
        """rows: as FIELDS. decisions, errors_mm: by folder."""
        self._rows, self._errors = rows, dict(errors_mm or {})
        self._decisions = dict(decisions)
        self._folders = frozenset(row[_FOLDER] for row in rows)
        self._texts = [f"{row[_FOLDER]} {row[_STATUS]}".lower() for row in rows]
        self._orders: OrderedDict[int, list[int]] = OrderedDict()
        self._made, self._lock = 0, threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, folder: object) -> bool:
        return folder in self._folders

    def counts(self) -> dict[str, int]:
        """How many fits were accepted, rejected and so on."""
        with self._lock:
            return dict(Counter(str(each.decision) for each in self._decisions.values() if each.decision is not None))

    def decide(self, decision: Decision) -> None:
        """Take a decision over, also one that takes another back."""
        with self._lock:
            self._decisions[decision.folder] = decision

    def find(self, wanted: Mapping[str, str]) -> dict[str, Any]:
        """Sort what passes a filter: the number of the order, its length, and the place of the row `keep` in it.

        wanted: as the fields of the page: search, sort, hand, outcome, state, low, high, and keep. Raises ValueError.
        """
        order = self._passing(wanted)
        self._sort(order, wanted.get("sort", "folder"))
        keep = int(wanted.get("keep", -1))
        with self._lock:
            self._made += 1
            self._orders[self._made] = order
            while len(self._orders) > _ORDERS_KEPT:
                self._orders.popitem(last=False)
            number = self._made
        return {"number": number, "total": len(order), "place": order.index(keep) if keep in order else 0}

    def part(self, number: int, start: int, count: int) -> list[dict[str, Any]] | None:
        """Rows of an order from a place on, MOST_ROWS at most; None where the order was forgotten."""
        with self._lock:
            order = self._orders.get(number)
            if order is None:
                return None
            self._orders.move_to_end(number)
            start = max(start, 0)
            return [self._row(index) for index in order[start : start + min(max(count, 0), MOST_ROWS)]]

    def _row(self, index: int) -> dict[str, Any]:
        values = self._rows[index]
        folder = values[_FOLDER]
        made = self._decisions.get(folder)
        return {
            "index": index, "values": values, "error": self._errors.get(folder),
            "decision": None if made is None else made.decision,
        }  # fmt: skip

    def _passing(self, wanted: Mapping[str, str]) -> list[int]:
        """The rows that pass a filter."""
        hand, outcome, state = (wanted.get(name, "") for name in ("hand", "outcome", "state"))
        low, high = float(wanted.get("low", 0)), float(wanted.get("high", 1))
        words = wanted.get("search", "").lower().split()

        def passes(row: Sequence[Any], text: str) -> bool:
            return (
                hand in ("", row[_HAND])
                and outcome in ("", row[_OUTCOME])
                and low <= (row[_CONFIDENCE] or 0.0) <= high
                and (not state or state == self._state(row[_FOLDER]))
                and all(word in text for word in words)
            )

        return [index for index, row in enumerate(self._rows) if passes(row, self._texts[index])]

    def _state(self, folder: str) -> str:
        made = self._decisions.get(folder)
        return (made.decision if made is not None else None) or OPEN

    def _sort(self, order: list[int], by: str) -> None:
        """Sort in place; rows without the figure come last, rows with the same one stay in the order of names."""
        name, sign = by.removeprefix("-"), -1.0 if by.startswith("-") else 1.0
        if name == "folder":
            order.sort(key=lambda index: self._rows[index][_FOLDER])
        elif name == "error":
            known = {index: self._errors.get(self._rows[index][_FOLDER]) for index in order}
            order.sort(key=lambda index: _last_if_none(known[index], sign))
        elif name in _SORTED_BY:
            place = FIELDS.index(name)
            order.sort(key=lambda index: _last_if_none(self._rows[index][place], sign))
        else:
            raise ValueError(f"sort={by!r} is unknown")


def _last_if_none(value: float | None, sign: float) -> tuple[bool, float]:
    return (value is None, 0.0 if value is None else sign * value)
