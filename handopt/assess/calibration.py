"""The weights of assets/calibration.toml, which the scripts in scripts/calibrate find."""

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from handopt.assets import asset
from handopt.errors import HandoptError

FILE_NAME = "calibration.toml"


@dataclass(frozen=True)
class Calibration:
    """Weights by name, and how they were found: script, seed, commit of the version that was measured, and date."""

    what: str
    script: str
    seed: int
    commit: str
    date: date
    weights: dict[str, float]


@cache
def calibration(table: str) -> Calibration:
    """A table of assets/calibration.toml. Raises HandoptError where the file or the table is missing or damaged."""
    path = asset(FILE_NAME)
    try:
        return Calibration(**_tables(path)[table])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise HandoptError(f"the table {table} cannot be read from {path} ({error}): install handopt again") from error


@cache
def _tables(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@cache
def weights(table: str, *names: str) -> tuple[float, ...]:
    """The weights of a table in the order of their names, which must be all of them. Raises HandoptError."""
    found = calibration(table).weights
    if found.keys() != set(names):
        raise HandoptError(f"{FILE_NAME}: {table} has weights of {', '.join(found)}; expected {', '.join(names)}")
    return tuple(float(found[name]) for name in names)
