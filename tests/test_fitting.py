"""The pipeline: what a fit finds, and that its result is consistent. Arguments are in test_fitting_arguments.py."""

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from support import reference
from support.compare import assert_close, assert_same_bits
from support.examples import QUICK, by_descent, example, fitted, with_vertices
from support.factories import raster
from support.op_check import Place
from support.recovery import CAMERA, make_problem, pose_rig

from handopt.assess.quality import measure
from handopt.config import Config
from handopt.fitting import fit
from handopt.objective.terms import GRADIENT_TERMS, LEAST_SQUARES_TERMS
from handopt.observation.observe import observe
from handopt.result import FitResult, schema
from handopt.rig import default_rig, with_proportions

FLOAT32 = "float32 positions of 500 mm are exact to 3e-5 mm, and each is a sum of some ten"


RESULTS = {
    "right": lambda: fitted("open"),
    "left": lambda: fitted("left"),
    "right, gradient": lambda: by_descent("open"),
    "left, gradient": lambda: by_descent("left"),
    "right, vertices": lambda: with_vertices("open"),
    "left, vertices": lambda: with_vertices("left"),
}


@pytest.fixture(params=RESULTS.values(), ids=list(RESULTS))
def result(request: pytest.FixtureRequest) -> FitResult:
    """Each kind of result in turn."""
    return request.param()


@pytest.mark.parametrize("name", ["open", "left"])
def test_an_open_hand_is_found(name: str) -> None:
    result = fitted(name)
    assert result.hand == result.rig.side == example(name).hand
    assert example(name).error_mm(result) < 10
    assert result.status.startswith("The fit is good: ")
    assert result.silhouette_iou > 0.85
    assert 0 < result.residual_mm["median"] < 3


@pytest.mark.parametrize("settings", [("lm", "adam"), ("gradient", "adam"), ("gradient", "momentum")])
def test_every_solver_mends_a_disturbed_pose(settings: tuple[str, str]) -> None:
    problem = make_problem(1)
    config = replace(Config(), solver=settings[0], descent=settings[1])
    result = fit(problem.depth_mm, CAMERA, start=problem.start, config=config, shape="none", device="cpu")
    before = np.linalg.norm(pose_rig(default_rig("right"), problem.start)[1] - problem.joints_mm, axis=1).mean()
    assert before > 20
    assert np.linalg.norm(result.joints_mm - problem.joints_mm, axis=1).mean() < 5
    assert (result.config["solver"], result.config["descent"]) == settings


def test_every_device(device: Place) -> None:
    result = example("open").fit(device=str(device.device))
    assert result.device == str(device.device)
    assert example("open").error_mm(result) < 15
    assert isinstance(result.joints_mm, np.ndarray)


def test_the_last_pose_makes_the_result(result: FitResult) -> None:
    """Through the rig's own kinematics; a left rig takes the same angles with side -1."""
    rig, trace = result.rig, result.trace
    if len(result.proportions):
        rig = with_proportions(rig, result.proportions)
    assert rig.side_sign == (1 if result.hand == "right" else -1)
    assert_same_bits(result.rotation, trace.rotation[-1], "rotation")
    assert_same_bits(result.translation_mm, trace.translation_mm[-1], "translation")
    assert_same_bits(result.angles_rad, trace.angles_rad[-1], "angles")
    assert result.scale == trace.scale[-1]
    transforms = reference.forward_kinematics(
        result.angles_rad[None], result.rotation[None], result.translation_mm[None], np.array([result.scale]),
        rig.parents, rig.articulated, rig.bind, rig.side_sign,
    )  # fmt: skip
    vertices = reference.skin(transforms, result.rest_mm, rig.skin_indices, rig.skin_weights)[0]
    assert_close(result.vertices_mm, vertices, atol=2e-3, reason=FLOAT32)
    origins = np.concatenate([rig.bind[:, :, 3], np.ones((25, 1))], axis=1)
    joints = np.einsum("jac,jc->ja", transforms[0], origins)[rig.keypoint_joints]
    assert_close(result.joints_mm, joints, atol=2e-3, reason=FLOAT32)
    assert_close(joints[0], result.translation_mm, atol=1e-9, reason="the translation is where the wrist is")


def test_rotations_are_rotations(result: FitResult) -> None:
    rotation = result.trace.rotation
    unit = np.broadcast_to(np.eye(3), rotation.shape)
    assert_close(rotation @ rotation.transpose(0, 2, 1), unit, atol=1e-4, reason="a float32 product per iteration")
    assert (np.linalg.det(rotation) > 0).all()


def test_every_iteration_is_told(result: FitResult) -> None:
    count, size = result.iterations, result.crop.size
    assert count > 10
    history, trace = result.history, result.trace
    terms = LEAST_SQUARES_TERMS if result.config["solver"] == "auto" else GRADIENT_TERMS
    assert set(history) == {*terms, "total", "stage", "radius_px", "step"}
    assert all(values.shape == (count,) for values in history.values())
    assert all(np.isfinite(values).all() for values in history.values())
    assert_close(history["total"], sum(history[name] for name in terms), rtol=1e-9, reason="a sum of the terms")
    assert (np.diff(history["stage"]) >= 0).all()
    assert (np.diff(history["radius_px"]) <= 0).all()
    assert result.terms == {name: history[name][-1] for name in (*terms, "total")}
    shapes = [trace.rotation.shape, trace.translation_mm.shape, trace.angles_rad.shape, trace.scale.shape]
    assert shapes == [(count, 3, 3), (count, 3), (count, 15, 3), (count,)]
    assert (trace.rest_mm is None) == (result.shape_kind != "vertices")
    assert result.renders.shape == (count, size, size)
    assert result.target.shape == (size, size)
    moves = np.linalg.norm(np.diff(trace.translation_mm, axis=0), axis=1)
    assert moves[:-1].max() > 0.1


def test_renders_are_of_the_result_in_its_own_image(result: FitResult) -> None:
    points = reference.project(result.vertices_mm[None], result.crop.coefficients[None])
    last = float(result.history["radius_px"][-1])
    expected, _ = reference.render_depth(points, last, result.crop.size)
    assert_close(result.renders[-1], expected[0], atol=1e-3, reason="closeness of float32 columns of some 100 px")
    grid = result.observation.grid(result.crop)
    lit = result.target > 0
    assert (lit & grid.hand).sum() > 0.95 * grid.hand.sum(), "the target lies on the observed hand"
    assert np.abs(result.renders[-1] - result.target).mean() < np.abs(result.renders[0] - result.target).mean()


def test_the_measures_are_those_of_the_vertices(result: FitResult) -> None:
    expected = raster(result.vertices_mm, result.rig, result.camera)
    other = (result.fitted_depth_mm > 0) != (expected > 0)
    assert other.mean() < 1e-4, "but for pixel centres on an edge"
    both = (result.fitted_depth_mm > 0) & (expected > 0)
    assert np.percentile(np.abs(result.fitted_depth_mm - expected)[both], 99) < 0.01
    quality = measure(result.vertices_mm, result.observation, result.rig.faces)
    assert quality.residual_mm == result.residual_mm
    assert quality.silhouette_iou == result.silhouette_iou


def test_the_document_follows_the_schema_and_repeats_the_settings(result: FitResult) -> None:
    document = json.loads(result.to_json())
    jsonschema.Draft202012Validator(schema()).validate(document)
    assert document["iterations"] == result.iterations
    assert Config.from_dict(document["config"]).to_dict() == result.config
    assert all(value >= 0 for value in document["seconds"].values())
    search = "tournament" if result.config["solver"] == "auto" else "descend"
    assert {"observe", search, "measure"} <= set(document["seconds"])
    assert ("vertices" in document["seconds"]) == (result.shape_kind == "vertices")
    assert {"python", "handopt", "numpy"} <= set(document["versions"])
    assert set(result.observation.notes) <= set(document["notes"])


def test_what_is_said_of_the_image_is_kept() -> None:
    result = example("open").fit(image="a/b.png", notes=("One.", "Two."), seed=5)
    assert (result.image, result.seed) == ("a/b.png", 5)
    assert result.notes[:2] == ("One.", "Two.")
    assert result.camera is example("open").camera


def test_the_crop_is_as_large_as_it_is_set() -> None:
    result = example("open").fit(config=replace(QUICK, crop_px=50, crop_half_mm=140.0))
    assert (result.crop.size, result.crop.half_mm) == (50, 140.0)
    assert result.renders.shape[1:] == result.target.shape == (50, 50)


def test_progress_is_told() -> None:
    told: list[tuple[int, int, float]] = []
    result = example("open").fit(progress=lambda *values: told.append(values))
    assert len(told) == len(QUICK.stages)
    assert {planned for _, planned, _ in told} == {26}
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert told[-1][0] <= 26
    assert told[-1][2] == pytest.approx(result.terms["total"], rel=1e-6)


def test_a_mask_is_taken_at_its_word() -> None:
    one = example("open")
    seen = observe(one.depth_mm, one.camera)[0]
    result = one.fit(config=None, mask=seen.mask)
    assert result.confidence > 0.9
