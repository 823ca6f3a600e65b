"""The developers' scripts: examples are reproduced, benchmarks compute what they time, scores are right."""

import json
import math
import runpy
import sys
from pathlib import Path
from typing import Any

import bench_fits
import bench_unit
import imageio.v3 as iio
import numpy as np
import pytest
import render_examples
from PIL import Image
from support import reference
from support.compare import assert_close, directional_derivative_error
from support.problems_hand import random_rotations

from handopt import backend
from handopt.evaluation.mapping import NYU, map_keypoints
from handopt.rig import default_rig

SHIPPED_SEED = 1
MAX_EXAMPLES_BYTES = 400 * 1024
CPU = backend.Device("cpu")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts set what OpenMP reads when it starts, in this process and in those they start: undone after each test."""
    for name in ("GOMP_SPINCOUNT", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


# ------------------------------------------------------------------------------------------- render_examples


@pytest.mark.parametrize("name", render_examples.EXAMPLES)
def test_shipped_examples_are_reproduced_from_the_seed(name: str) -> None:
    counts, labels = render_examples.render_example(name, SHIPPED_SEED)
    shipped = iio.imread(render_examples.EXAMPLES_DIR / f"{name}.png")
    assert shipped.dtype == np.uint16
    assert np.array_equal(shipped, counts)
    assert json.loads((render_examples.EXAMPLES_DIR / f"{name}.json").read_text()) == json.loads(json.dumps(labels))


def test_the_script_writes_the_shipped_labels_to_the_byte(tmp_path: Path) -> None:
    render_examples.main(["-o", str(tmp_path)])
    for shipped in sorted(render_examples.EXAMPLES_DIR.glob("*.json")):
        assert (tmp_path / shipped.name).read_bytes() == shipped.read_bytes()
        assert np.array_equal(iio.imread(tmp_path / f"{shipped.stem}.png"), iio.imread(shipped.with_suffix(".png")))


def test_examples_are_small_and_complete() -> None:
    files = sorted(render_examples.EXAMPLES_DIR.iterdir())
    assert {path.stem for path in files} == set(render_examples.EXAMPLES)
    assert sum(path.stat().st_size for path in files) < MAX_EXAMPLES_BYTES


@pytest.mark.parametrize("name", render_examples.EXAMPLES)
def test_examples_keep_the_joint_limits_and_lie_below_the_skin(name: str) -> None:
    example = render_examples.EXAMPLES[name]
    limits, angles = default_rig(example.hand).limits, render_examples.joint_angles(example)
    assert ((limits.lower <= angles) & (angles <= limits.upper)).all()
    counts, labels = render_examples.render_example(name, SHIPPED_SEED)
    joints = np.array(labels["joints_mm"])
    columns, rows = np.rint(render_examples.CAMERA.project(joints)).astype(int).T
    measured = counts[rows, columns].astype(float)
    assert np.count_nonzero(measured) >= 18, "nearly all joints are inside the image, where something was measured"
    assert (joints[:, 2] - measured)[measured > 0].min() > 2, "no joint lies in front of the skin"


def test_main_writes_what_render_example_returns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    render_examples.main(["back", "--seed", "7", "-o", str(tmp_path)])
    counts, labels = render_examples.render_example("back", 7)
    assert np.array_equal(iio.imread(tmp_path / "back.png"), counts)
    assert json.loads((tmp_path / "back.json").read_text())["seed"] == labels["seed"] == 7
    assert "back.png" in capsys.readouterr().out
    assert not np.array_equal(counts, render_examples.render_example("back", 8)[0])


def test_unknown_example_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        render_examples.main(["fist", "-o", str(tmp_path)])


def test_noise_grows_with_the_square_of_the_distance() -> None:
    def noise_mm(distance: float) -> float:
        counts = render_examples.sense(np.full((480, 640), distance), np.random.default_rng(0)).astype(float)
        return float(counts[counts > 0].std())

    ratio = noise_mm(2000.0) / noise_mm(1000.0)
    assert 3.5 < ratio < 4.5, "the floor of 0.35 mm hardly matters here"


def test_sensor_leaves_empty_pixels_empty_and_frays_edges() -> None:
    surface = np.zeros((480, 640))
    surface[100:300, 200:400] = 500.0
    counts = render_examples.sense(surface, np.random.default_rng(0))
    far_from_edge = np.ones_like(surface, bool)
    far_from_edge[96:304, 196:404] = False
    assert not counts[far_from_edge].any()
    inside = counts[110:290, 210:390]
    assert np.count_nonzero(inside == 0) / inside.size == pytest.approx(render_examples.RANDOM_DROPOUT, rel=0.5)
    flying = np.count_nonzero(counts > 505)
    assert flying > 100, "some of the 1600 edge pixels mix hand and background"


# ------------------------------------------------------------------------------------------------------ bench


def tiny_problem(images: int = 2, points: int = 60, joints: int = 5, size: int = 24) -> dict[str, Any]:
    """A problem for the unit of work: a cloud a few cm across, five joints among them and bones between these."""
    rng = np.random.default_rng(3)
    weights = -np.sort(-rng.uniform(0.1, 1, (points, 2)), axis=1)
    turns = random_rotations(rng, images, joints) * 0.1 + 0.9 * np.eye(3)
    transforms = np.concatenate([turns, rng.normal(scale=0.002, size=(images, joints, 3, 1))], axis=3)
    return {
        "P": rng.uniform(-0.03, 0.03, (points, 3)).astype("f4"),
        "J": rng.integers(0, joints, (points, 2)).astype("i4"),
        "W": (weights / weights.sum(axis=1, keepdims=True)).astype("f4"),
        "M": transforms.astype("f4"),
        "proj": np.array([size / 0.08, size / 2, size / 0.08, size / 2, 4.0, 0.5], "f4"),
        "r": np.float64(3.0),
        "T": rng.uniform(0, 0.6, (images, size, size)).astype("f4"),
        "cidx": np.arange(joints, dtype="i4"),
        "crest": rng.uniform(-0.015, 0.015, (joints, 3)).astype("f4"),
        "pairs": np.array([[k, k + 1] for k in range(joints - 1)], "i4"),
        "rc": np.float64(0.014),
        "lam": np.float64(3e4),
    }


def unit_twin(p: dict[str, Any]) -> np.ndarray:
    """The loss (B,) of the unit of work in float64 by the slow twins of the ops."""
    f = {name: value.astype(np.float64) for name, value in p.items() if name in ("M", "P", "W", "T", "crest", "proj")}
    posed = reference.skin(f["M"], f["P"], p["J"], f["W"])
    coefficients = np.tile(f["proj"], (len(posed), 1))
    image, _ = reference.render_depth(reference.project(posed, coefficients, False), float(p["r"]), p["T"].shape[1])
    joints = reference.skin(f["M"], f["crest"], p["cidx"][:, None], np.ones((len(p["cidx"]), 1)))
    collisions = reference.collision(joints, p["pairs"], float(p["rc"]))
    assert (collisions > 0).all(), "the problem must exercise the collision term"
    return np.abs(image - f["T"]).mean(axis=(1, 2)) + float(p["lam"]) * collisions


def norm_error(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def test_bench_unit_writes_gradients_close_to_float64(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem = tiny_problem()
    np.savez(tmp_path / "problem.npz", **problem)
    assert bench_unit.main(["unit", str(tmp_path / "problem.npz"), str(tmp_path / "result.npz")]) == 0
    assert "ms per image" in capsys.readouterr().err
    loss, grad_transforms, grad_rest = bench_unit.UnitOfWork(problem, CPU, np.float64).run()
    with np.load(tmp_path / "result.npz") as result:
        assert result["ms"] > 0
        assert result["gM"].dtype == np.float32
        assert_close(result["loss"], loss, rtol=1e-5, reason="float32 sums of 576 pixels")
        assert norm_error(result["gM"], grad_transforms) <= 1e-5
        assert norm_error(result["gP"], grad_rest) <= 1e-5


def test_bench_unit_is_the_loss_of_the_twins() -> None:
    problem = tiny_problem()
    loss = bench_unit.UnitOfWork(problem, CPU, np.float64).run()[0]
    assert_close(loss, unit_twin(problem), rtol=1e-12, reason="the same sums in float64, in another order")


@pytest.mark.parametrize(("name", "gradient"), [("transforms", 1), ("rest", 2)])
def test_bench_unit_has_the_gradient_of_its_loss(name: str, gradient: int) -> None:
    unit = bench_unit.UnitOfWork(tiny_problem(), CPU, np.float64)
    start = unit.arrays[name]
    direction = np.random.default_rng(4).normal(size=start.shape)

    def total(values: np.ndarray) -> float:
        unit.arrays[name] = values
        return float(unit.run()[0].sum())

    error = directional_derivative_error(total, unit.run()[gradient], start, direction, 1e-9)
    assert error <= 1e-5, "steps of 1e-9 m cross no kink, and leave 7 digits of the difference"


def test_bench_ops_times_every_public_op(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_unit, "MIN_RUNS", 1)
    monkeypatch.setattr(bench_unit, "OP_SECONDS", 0.0)
    assert bench_unit.main(["ops", "--batch", "1,2"]) == 0
    table = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[2:]}
    assert set(table) == set(bench_unit.op_calls(bench_unit.scene(1, CPU)))
    for op, cells in table.items():
        assert len(cells) == 4
        assert all(float(cell) > 0 for cell in cells if cell != "-"), op


def test_bench_reports_a_missing_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_unit.main(["ops", "--device", "tpu"]) == 1
    assert "--device" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------ train_pixel_labels


def test_training_without_pytorch_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match=r"needs PyTorch.*: pip install '\.\[train\]'"):
        runpy.run_path(str(bench_fits.PROJECT / "scripts" / "train" / "train_pixel_labels.py"))


# --------------------------------------------------------------------------------------------------- evaluate


def test_keypoint_scores() -> None:
    truth = np.zeros((21, 3))
    joints = truth.copy()
    joints[4] = (3.0, 4.0, 0.0)
    joints[8] = (0.0, 0.0, 42.0)
    visible = np.ones(21, bool)
    visible[8] = False
    scores = bench_fits.keypoint_scores(joints, truth, visible)
    assert scores == pytest.approx({"mean": 47 / 21, "max": 42.0, "max_visible": 5.0})
    assert bench_fits.keypoint_scores(joints, truth)["max_visible"] == pytest.approx(42.0)
    assert math.isnan(bench_fits.keypoint_scores(joints, truth, np.zeros(21, bool))["max_visible"])


def test_nyu_scores_pick_labels_by_name() -> None:
    joints = np.random.default_rng(0).normal(size=(21, 3))
    mapped = dict(zip(NYU.joints, map_keypoints(joints, NYU), strict=True))
    names = ["palm_centre", "ring_tip"]
    truth = np.stack([mapped["palm_centre"], mapped["ring_tip"] + [0.0, 0.0, 6.0]])
    assert bench_fits.nyu_scores(joints, names, truth) == pytest.approx({"mean": 3.0, "max": 6.0})


def keypoint_row(mean: float, largest: float, visible: float) -> dict[str, Any]:
    scores = {"mean": mean, "max": largest, "max_visible": visible}
    return {"group": "easy", "kind": "keypoints", "residual": 1.0, "iou": 0.9, "seconds": 2.0, **scores}


def test_summary_counts_images_that_could_not_be_fitted_as_wrong() -> None:
    rows = [keypoint_row(2.0, 10.0, 8.0), keypoint_row(4.0, 45.0, 19.0), keypoint_row(5.0, 30.0, 25.0)]
    failed = {"group": "easy", "kind": "keypoints", "error": "no hand"}
    rows.append(failed | {"mean": math.inf, "max": math.inf, "max_visible": math.inf})
    totals = bench_fits.summary(rows)
    assert (totals["images"], totals["failed"]) == (4, 1)
    assert totals["median_error"] == pytest.approx(4.5)
    assert totals["visible_within_20"] == pytest.approx(0.5)
    assert totals["all_within_40"] == pytest.approx(0.5)
    assert totals["seconds"] == pytest.approx(2.0)
    assert bench_fits.finite({"rows": rows})["rows"][3]["mean"] is None
    hidden = bench_fits.summary([keypoint_row(2.0, 10.0, math.nan), keypoint_row(2.0, 10.0, 25.0)])
    assert hidden["visible_within_20"] == 0.0, "an image without a visible joint is not counted"


def test_cases_are_collected_from_every_layout(tmp_path: Path) -> None:
    for folder in ("easy", "hard", "frames"):
        (tmp_path / folder).mkdir()
        for stem in ("000", "001"):
            (tmp_path / folder / f"{stem}.png").touch()
    for level in ("easy", "hard"):
        for stem in ("000", "001"):
            (tmp_path / level / f"{stem}.json").write_text(json.dumps({"joints_mm": [stem, level]}))
    cases = bench_fits.collect_cases(tmp_path, ["easy", "medium", "hard"])
    assert [(case.group, case.image.stem) for case in cases] == [
        ("easy", "000"), ("easy", "001"), ("hard", "000"), ("hard", "001"),
    ]  # fmt: skip
    assert cases[2].labels["joints_mm"] == ["000", "hard"]
    assert {case.kind for case in cases} == {"keypoints"}
    with pytest.raises(FileNotFoundError, match=r"camera\.json"):
        bench_fits.collect_cases(tmp_path / "frames", ["easy"])
    (tmp_path / "frames" / "camera.json").write_text(json.dumps({"unit_mm": 0.125}))
    assert [case.kind for case in bench_fits.collect_cases(tmp_path / "frames", ["easy"])] == ["none", "none"]
    with pytest.raises(FileNotFoundError, match="no PNG"):
        bench_fits.collect_cases(tmp_path, ["medium"])


def test_contact_sheet_shows_every_overlay(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    assert bench_fits.contact_sheet(folder) is None
    for index in range(5):
        Image.new("RGB", (1800, 800), (50 * index, 0, 200)).save(folder / f"{index}.png")
    sheet = bench_fits.contact_sheet(folder)
    assert sheet == tmp_path / "frames-sheet.png"
    pixels = iio.imread(sheet)
    assert pixels.shape == (3 * 400, 2 * 900, 3)
    middles = pixels[200::400, 450::900].reshape(-1, 3).tolist()
    assert middles == [[50 * index, 0, 200] for index in range(5)] + [[0, 0, 0]]


def test_overlays_of_foreign_data_stay_outside_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    inside = bench_fits.PROJECT / "overlays"
    with pytest.raises(SystemExit):
        bench_fits.main([str(render_examples.EXAMPLES_DIR), "--overlays", str(inside)])
    assert "--overlays" in capsys.readouterr().err
    assert not inside.exists()


def test_evaluate_fits_scores_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--only", "open,pinch", "--jobs", "2", "--overlays", str(tmp_path)]
    arguments += ["--json", str(tmp_path / "scores.json")]
    assert bench_fits.main([str(render_examples.EXAMPLES_DIR), *arguments]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert [row["image"] for row in scores["images"]] == ["open.png", "pinch.png"]
    totals = scores["groups"]["examples"]
    assert totals["median_error"] < 7.0, "hands in plain view"
    assert totals["visible_within_20"] == 1.0
    assert {path.name for path in (tmp_path / "examples").iterdir()} == {"open.png", "pinch.png"}
    assert (tmp_path / "examples-sheet.png").is_file()
    header, line = capsys.readouterr().out.splitlines()
    assert "median_error" in header
    assert f"{totals['median_error']:.1f} mm" in line
