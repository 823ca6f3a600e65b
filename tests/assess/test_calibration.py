"""The calibrated weights: where they come from, and how the scripts write them."""

import subprocess
import tomllib
from datetime import date
from pathlib import Path

import calibration_tables
import pytest

from handopt.assess import calibration
from handopt.errors import HandoptError
from handopt.tracking.confidence import FEATURES, RADIUS_WEIGHT_NAMES

PROJECT = Path(__file__).parents[2]
TABLES = ("fit_confidence", "fit_uncertainty", "prediction_confidence", "track_confidence", "track_uncertainty")


@pytest.mark.parametrize("name", TABLES)
def test_every_table_says_where_it_comes_from(name: str) -> None:
    found = calibration.calibration(name)
    assert (PROJECT / found.script).is_file()
    assert found.seed > 0
    assert len(found.commit) == 7
    assert date(2026, 11, 1) < found.date <= date.today()
    assert found.what


def test_weights_come_in_the_order_that_is_asked_for() -> None:
    table = calibration.calibration("track_uncertainty").weights
    for names in (("best_mm2", "visible", "hidden_per_mm"), ("hidden_per_mm", "best_mm2", "visible")):
        assert calibration.weights("track_uncertainty", *names) == tuple(table[name] for name in names)
    assert calibration.calibration("track_confidence").weights.keys() == {"constant", *FEATURES}
    assert set(RADIUS_WEIGHT_NAMES) == {"best_mm2", "visible", "hidden_per_mm"}


def test_features_that_were_not_calibrated_are_refused() -> None:
    with pytest.raises(
        HandoptError, match="track_uncertainty has weights of best_mm2, visible, hidden_per_mm; expected best"
    ):
        calibration.weights("track_uncertainty", "best")


@pytest.mark.parametrize("text", ["", "[fit_confidence]\nseed = 1\n", "[fit_confidence\n"])
def test_a_damaged_file_is_named(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "calibration.toml").write_text(text)
    monkeypatch.setattr(calibration, "asset", lambda name: tmp_path / name)
    with pytest.raises(HandoptError, match=r"fit_confidence cannot be read from .*calibration.toml"):
        calibration.calibration.__wrapped__("fit_confidence")


def test_scripts_put_a_table_into_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "calibration.toml"
    before = calibration_tables.FILE.read_text(encoding="utf-8")
    file.write_text(before, encoding="utf-8")
    monkeypatch.setattr(calibration_tables, "FILE", file)
    new = {"fit_uncertainty": {"best_mm2": 1.23456, "visible_per_mm": 5e-5, "hidden_per_mm": 2.0, "doubt_mm2": 3.0}}
    calibration_tables.report(new, "calibrate_fits.py", 12, write=False)
    assert file.read_text(encoding="utf-8") == before
    calibration_tables.report(new, "calibrate_fits.py", 12, write=True)
    assert "best_mm2 = 1.235" in capsys.readouterr().out
    old, now = tomllib.loads(before), tomllib.loads(file.read_text(encoding="utf-8"))
    assert list(now) == list(TABLES)
    assert {name: now[name] for name in TABLES if name != "fit_uncertainty"} == {
        name: old[name] for name in TABLES if name != "fit_uncertainty"
    }
    changed = now["fit_uncertainty"]
    assert changed["weights"] == {"best_mm2": 1.235, "visible_per_mm": 5e-5, "hidden_per_mm": 2.0, "doubt_mm2": 3.0}
    assert (changed["seed"], changed["date"], changed["what"]) == (12, date.today(), old["fit_uncertainty"]["what"])
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert head.startswith(changed["commit"])


def test_a_table_that_is_not_there_is_not_written() -> None:
    with pytest.raises(ValueError, match="has not one table other"):
        calibration_tables.replaced("[fit]\n", "other", "[other]\n")
