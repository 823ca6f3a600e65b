"""Tables of assets/calibration.toml: in their form, and into their place."""

import re
import subprocess
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PROJECT = Path(__file__).resolve().parents[2]
FILE = PROJECT / "assets" / "calibration.toml"


def table(name: str, script: str, seed: int, weights: dict[str, float], text: str) -> str:
    """A table of calibrated weights, four digits each. text: the file as it is, for what the table is."""
    (what,) = re.findall(rf'^\[{name}\]\nwhat = "(.*)"$', text, re.MULTILINE)
    lines = [
        f"[{name}]", f'what = "{what}"', f'script = "scripts/calibrate/{script}"', f"seed = {seed}",
        f'commit = "{_commit()}"', f"date = {date.today().isoformat()}", "", f"[{name}.weights]",
        *(f"{key} = {value:.4g}" for key, value in weights.items()),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def replaced(text: str, name: str, new: str) -> str:
    """The file's text with another table in place of the one of this name."""
    pattern = re.compile(rf"^\[{name}\]\n.*?(?=^\[(?!{name}\.)|\Z)", re.MULTILINE | re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"{FILE.name} has not one table {name}")
    return pattern.sub(lambda _: new + "\n", text).rstrip("\n") + "\n"


def report(tables: dict[str, dict[str, float]], script: str, seed: int, *, write: bool) -> None:
    """Print tables of weights, and put them into assets/calibration.toml if asked to."""
    text = FILE.read_text(encoding="utf-8")
    for name, weights in tables.items():
        new = table(name, script, seed, weights, text)
        print(new)
        text = replaced(text, name, new)
    if write:
        FILE.write_text(text, encoding="utf-8")


def named(names: tuple[str, ...], weights: NDArray[np.float64]) -> dict[str, float]:
    """Weights by name."""
    return dict(zip(names, map(float, weights), strict=True))


def _commit() -> str:
    done = subprocess.run(
        ["git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
