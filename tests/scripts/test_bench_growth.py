"""The bench of how time grows: meshes and images that are larger and the same, exponents, and its files."""

import json
from pathlib import Path
from typing import Any

import bench_growth
import numpy as np
import pytest

from handopt.rig import Rig, default_rig
from handopt.synth.generate import CAMERA


def area_and_volume(rig: Rig) -> tuple[float, float]:
    a, b, c = np.moveaxis(rig.rest_mm[rig.faces], 1, 0)
    normals = np.cross(b - a, c - a)
    return float(np.linalg.norm(normals, axis=1).sum() / 2), float((a * normals).sum() / 6)


@pytest.mark.parametrize("times", [0.5, 1.0, 1.5])
def test_a_subdivided_hand_is_the_same_hand(times: float) -> None:
    coarse = default_rig("right")
    fine = bench_growth.subdivided(coarse, times)
    assert len(fine.rest_mm) > (1 + 1.2 * times) * len(coarse.rest_mm)
    assert area_and_volume(fine) == pytest.approx(area_and_volume(coarse), rel=1e-9)
    assert len(np.unique(fine.faces)) == len(fine.rest_mm)


def test_an_enlarged_image_shows_the_same_points() -> None:
    depth = np.arange(CAMERA.width * CAMERA.height, dtype=np.float32).reshape(CAMERA.height, CAMERA.width)
    large, camera = bench_growth.enlarged(depth, CAMERA, 3.0)
    assert large.shape == (camera.height, camera.width) == (3 * CAMERA.height, 3 * CAMERA.width)
    for row, column in ((0, 0), (101, 77), (CAMERA.height - 1, CAMERA.width - 1)):
        assert large[3 * row + 1, 3 * column + 1] == depth[row, column]
        x, y = (column - CAMERA.cx) / CAMERA.fx, (row - CAMERA.cy) / CAMERA.fy
        assert ((3 * column + 1 - camera.cx) / camera.fx, (3 * row + 1 - camera.cy) / camera.fy) == pytest.approx(
            (x, y)
        )


def test_exponents_are_those_of_the_times(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = 0.0

    def run(size: int) -> None:
        nonlocal clock
        clock += 1e-3 * size**1.5

    monkeypatch.setattr("bench_growth.time.process_time", lambda: clock)
    cases: Any = [(size, lambda size=size: run(size)) for size in (1, 2, 4, 8)]
    row = bench_growth.measured(bench_growth.Growth("things", cases), 2)
    assert row["seconds"] == pytest.approx([1e-3 * size**1.5 for size in (1, 2, 4, 8)])
    assert row["exponent"] == pytest.approx({"all": 1.5, "end": 1.5})
    monkeypatch.setattr(bench_growth, "growths", lambda *_: iter([bench_growth.Growth("things", cases)]))
    assert bench_growth.main(["-o", str(tmp_path / "growth")]) == 0
    assert json.loads((tmp_path / "growth.json").read_text())["rows"]["things"]["sizes"] == [1, 2, 4, 8]
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
