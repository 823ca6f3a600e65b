"""When a frame was taken, as JSON beside it says."""

import math
from typing import Any


def time_of(document: Any) -> float | None:
    """The number "time_s" of a JSON object, s, at its top or under "sequence"; None where there is none."""
    for each in (document, document.get("sequence") if isinstance(document, dict) else None):
        value = each.get("time_s") if isinstance(each, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None
