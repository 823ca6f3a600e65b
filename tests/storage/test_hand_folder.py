"""A personal hand lands complete or not at all, and never over what handopt did not write."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.shape_cases import calibrated

from handopt.errors import OutputError
from handopt.rig import load_rig
from handopt.shape import ShapeResult
from handopt.storage import hand_folder
from handopt.storage.hand_folder import check_free, save_shape


def hand() -> ShapeResult:
    """A hand with the fit of one image, since overlays take their time."""
    return replace(calibrated(), fits=calibrated().fits[:1])


CONTENT = {"measurements.json", "rest.obj", "rest.ply", "history.csv", "turntable.png", "fits"}


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of the time, and have tests of their own."""
    monkeypatch.setattr(hand_folder, "write_comparison", lambda _generic, _personal, path: path.write_bytes(b"picture"))


def test_everything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "mine.glb"
    folder = save_shape(hand(), path, renders=False)
    assert folder == tmp_path / "new" / "mine"
    assert {each.name for each in path.parent.iterdir()} == {"mine.glb", "mine"}
    assert {each.name for each in folder.iterdir()} == CONTENT
    assert {each.name for each in (folder / "fits").iterdir()} == {"0"}
    assert (folder / "fits" / "0" / "result.json").is_file()
    rig = load_rig(path)
    assert np.abs(rig.rest_mm - hand().rig.rest_mm).max() < 1e-4
    assert json.loads((folder / "measurements.json").read_text())["format"].startswith("handopt.shape/")
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(hand().history["total"])
    assert float(rows[-1]["total"]) == hand().history["total"][-1]


def test_a_hand_that_exists_is_kept_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mine.glb"
    save_shape(hand(), path, renders=False)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="overwrite=True"):
        save_shape(hand(), path, renders=False)
    assert path.read_bytes() == before
    path.write_bytes(b"old")
    save_shape(hand(), path, renders=False, overwrite=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["mine", "mine.obj", ".glb"])
def test_other_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"ends with \.glb with path="):
        check_free(tmp_path / name)


def test_what_handopt_did_not_write_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds no personal hand"):
        check_free(tmp_path / "mine.glb", overwrite=True)
    (tmp_path / "yours.glb").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        check_free(tmp_path / "yours.glb", overwrite=True)


@pytest.mark.parametrize("broken", ["write_rig", "write_columns", "save"])
def test_a_failure_leaves_nothing(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hand_folder, broken, fail)
    with pytest.raises(OutputError, match="the disk is full"):
        save_shape(hand(), tmp_path / "deep" / "mine.glb", renders=False)
    assert list(tmp_path.iterdir()) == []


def test_a_rig_that_cannot_be_put_takes_its_folder_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match="nothing was left there"):
        save_shape(hand(), tmp_path / "mine.glb", renders=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_goes_with_a_rig_is_kept_and_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    message = f"{tmp_path / 'mine'}, the folder that goes with {tmp_path / 'mine.glb'}, exists and was kept: replace it"
    with pytest.raises(OutputError, match=re.escape(message)):
        check_free(tmp_path / "mine.glb")
