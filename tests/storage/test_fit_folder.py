"""What a folder of results holds."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from support.factories import fit_result
from support.output_folders import ALWAYS

from handopt.errors import OutputError
from handopt.result import FitResult
from handopt.storage import save
from handopt.storage.fit_folder import check_free, write_history


@pytest.fixture(scope="module")
def result() -> FitResult:
    return fit_result(iterations=3)


def test_save_writes_everything(result: FitResult, tmp_path: Path) -> None:
    target = tmp_path / "out" / "deep" / "hand"
    assert save(result, target, ply=True, obj=True, masks=True, video=True) == target
    names = {path.name for path in target.iterdir()}
    assert names == ALWAYS | {"renders", "mesh.ply", "mesh.obj", "mask.png", "optimisation.mp4"}
    assert len(list((target / "renders").iterdir())) == result.iterations
    assert json.loads((target / "result.json").read_text()) == result.to_dict()
    assert [path.name for path in target.parent.iterdir()] == ["hand"]


def test_save_writes_only_what_is_asked_for(result: FitResult, tmp_path: Path) -> None:
    save(result, tmp_path / "hand", renders=False)
    assert {path.name for path in (tmp_path / "hand").iterdir()} == ALWAYS


def test_the_folder_is_as_open_as_any_other(result: FitResult, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    save(result, tmp_path / "hand", renders=False)
    assert (tmp_path / "hand").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_history_is_complete_to_the_last_digit(result: FitResult, tmp_path: Path) -> None:
    write_history(result, tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["iteration", *result.history]
    assert [row["iteration"] for row in rows] == ["0", "1", "2"]
    for name, values in result.history.items():
        read = np.array([row[name] for row in rows]).astype(values.dtype)
        np.testing.assert_array_equal(read, values)


def test_check_free_accepts_a_free_place(tmp_path: Path) -> None:
    check_free(tmp_path / "new")
    with pytest.raises(OutputError, match="overwrite=True"):
        check_free(tmp_path)


def test_every_file_that_is_written_counts_as_ours(result: FitResult, tmp_path: Path) -> None:
    folder = save(result, tmp_path / "hand", ply=True, obj=True, masks=True, video=True, provenance={})
    assert {path.name for path in folder.iterdir()} == {
        *("result.json", "provenance.json", "history.csv", "mesh.glb", "mesh.obj", "mesh.ply"),
        *("optimisation.mp4", "overlay.png", "renders", "trace.npz", "mask.png"),
    }
    save(result, folder, overwrite=True)
