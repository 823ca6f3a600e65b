"""Tables and arrays of joints, read by pandas and NumPy."""

import csv
import math
from pathlib import Path

import numpy as np
import pandas
import pytest
from support.exports import Fits, pinhole

from handopt.errors import OutputError
from handopt.export.labels import export_labels
from handopt.rig import KEYPOINT_NAMES

PLACE, PIXEL = ["x_mm", "y_mm", "z_mm"], ["u_px", "v_px"]


def test_a_row_for_each_image_and_joint(fits: Fits, tmp_path: Path) -> None:
    export_labels([fits.folder], tmp_path / "labels.csv")
    table = pandas.read_csv(tmp_path / "labels.csv")
    assert list(table.columns) == [
        *("name", "image", "frame", "time_s", "hand", "joint", *PLACE, *PIXEL),
        *("joint_visible", "joint_uncertainty_mm", "confidence"),
    ]
    assert len(table) == 42
    for name, result in fits.results.items():
        rows = table[table["name"] == name]
        assert list(rows["joint"]) == list(KEYPOINT_NAMES)
        assert set(rows["hand"]) == {result.hand}
        assert set(rows["image"]) == {result.image}
        np.testing.assert_allclose(rows[PLACE], result.joints_mm, atol=1e-4)
        np.testing.assert_allclose(rows[PIXEL], pinhole(result), atol=1e-3)
        assert list(rows["joint_visible"]) == result.joint_visible.tolist()
        np.testing.assert_allclose(rows["joint_uncertainty_mm"], result.joint_uncertainty_mm, atol=0.01)
        assert set(rows["confidence"]) == {result.confidence}


def test_parquet_holds_the_same(track: Path, tmp_path: Path) -> None:
    for suffix in ("csv", "parquet"):
        export_labels([track], tmp_path / f"labels.{suffix}")
    rows, columns = pandas.read_csv(tmp_path / "labels.csv"), pandas.read_parquet(tmp_path / "labels.parquet")
    assert list(rows.columns) == list(columns.columns)
    assert columns["frame"].dtype == "int64"
    assert columns["joint_visible"].dtype == bool
    for name in rows.columns:
        if rows[name].dtype == float:
            np.testing.assert_allclose(rows[name], columns[name], atol=1e-3)
        elif name != "name":
            assert list(rows[name]) == list(columns[name])


def test_what_nobody_knows_is_empty(track: Path, tmp_path: Path) -> None:
    export_labels([track], tmp_path / "labels.csv")
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    bridged = [row for row in rows if row["confidence"] == ""]
    assert bridged
    assert all(row["joint_uncertainty_mm"] == "" for row in bridged)
    assert not {"nan", "NaN", "inf", "None"} & {value for row in rows for value in row.values()}


def test_joints_relative_to_the_wrist(fits: Fits, tmp_path: Path) -> None:
    export_labels([fits.folder], tmp_path / "labels.csv", root_relative=True)
    table = pandas.read_csv(tmp_path / "labels.csv")
    for name, result in fits.results.items():
        rows = table[table["name"] == name]
        np.testing.assert_allclose(rows[PLACE], result.joints_mm - result.joints_mm[0], atol=2e-4)
        np.testing.assert_allclose(rows[[f"root_{axis}" for axis in PLACE]].iloc[5], result.joints_mm[0], atol=1e-4)


def test_arrays(fits: Fits, tmp_path: Path) -> None:
    export_labels([fits.folder], tmp_path / "labels.npz")
    with np.load(tmp_path / "labels.npz", allow_pickle=False) as arrays:
        assert list(arrays["keypoints"]) == list(KEYPOINT_NAMES)
        for row, name in enumerate(arrays["names"]):
            result = fits.results[str(name)]
            camera = result.camera
            assert arrays["hand"][row] == result.hand
            assert arrays["camera"][row].tolist() == [camera.fx, camera.fy, camera.cx, camera.cy, 320, 240]
            np.testing.assert_allclose(arrays["joints_mm"][row], result.joints_mm, rtol=1e-12)
            np.testing.assert_allclose(arrays["joints_px"][row], pinhole(result), rtol=1e-9)
            np.testing.assert_allclose(arrays["rotation"][row], result.rotation, rtol=1e-12)
            np.testing.assert_allclose(arrays["angles_rad"][row], result.angles_rad, rtol=1e-12)
            assert math.isnan(arrays["time_s"][row])


def test_parquet_says_what_to_install(
    fits: Fits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(OutputError, match=r"needs pyarrow, which is not installed: pip install '\.\[tables\]'"):
        export_labels([fits.folder], tmp_path / "labels.parquet")
    assert list(tmp_path.iterdir()) == []
