"""The benchmark of speed: its table, what it keeps, and how it compares two runs."""

import json
from pathlib import Path

import bench_speed as bench
import pytest


def row(median: float, spread: float) -> dict[str, float]:
    return {"median": median, "p10": median - spread, "p90": median + spread}


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (row(10, 1), row(20, 1), "2.00 x as fast"),
        (row(20, 1), row(10, 1), "0.50 x as fast"),
        (row(10, 5), row(12, 5), "1.20 x as fast, within the spread"),
        (row(10, 1), row(10.2, 1), "the same"),
    ],
)
def test_two_runs_are_compared_with_their_spread(now: dict[str, float], before: dict[str, float], said: str) -> None:
    assert bench.verdict(now, before) == said


def test_figures_are_kept_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "speed.json"
    assert bench.main(["--only", "unit", "--rounds", "2", "-o", str(kept)]) == 0
    facts = json.loads(kept.read_text(encoding="utf-8"))
    assert set(facts["rows"]) == {f"unit of work, B = {batch}" for batch in (1, 16, 64)}
    assert all(0 < each["p10"] <= each["median"] <= each["p90"] for each in facts["rows"].values())
    assert facts["machine"]["cores"]
    capsys.readouterr()
    assert bench.main(["--only", "unit", "--rounds", "1", "--compare", str(kept)]) == 0
    printed = capsys.readouterr().out
    assert "before" in printed
    assert len([line for line in printed.splitlines() if "as fast" in line or "the same" in line]) == 3


def test_another_file_and_another_part_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("{}", encoding="utf-8")
    for arguments in (["--compare", str(other)], ["--only", "units"]):
        with pytest.raises(SystemExit) as refused:
            bench.main(arguments)
        assert refused.value.code == 2
