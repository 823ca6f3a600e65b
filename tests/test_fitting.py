"""The pipeline: what a fit finds, and that its result is consistent. Arguments are in test_fitting_arguments.py."""

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray
from support import reference
from support.compare import assert_close, assert_same_bits
from support.examples import QUICK, by_descent, example, fitted, with_vertices
from support.factories import raster
from support.observation_factory import mirrored
from support.op_check import Place
from support.recovery import CAMERA, make_problem, pose_rig

from handopt import backend
from handopt.assess.quality import measure
from handopt.config import Config, DescentStage, Steps, VertexStage
from handopt.fitting import Start, fit
from handopt.objective.terms import GRADIENT_TERMS, LEAST_SQUARES_TERMS
from handopt.observation.observe import observe
from handopt.result import FitResult, schema
from handopt.rig import PROPORTION_NAMES, default_rig, with_proportions
from handopt.rig.anatomy import MIRROR

Floats = NDArray[np.float64]

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


# ------------------------------------------------------------------------------------------------ what it finds


@pytest.mark.parametrize("name", ["open", "left"])
def test_an_open_hand_is_found(name: str) -> None:
    result = fitted(name)
    assert result.hand == result.rig.side == example(name).hand
    assert example(name).error_mm(result) < 10
    assert result.status.startswith("The fit is good: ")
    assert result.silhouette_iou > 0.85
    assert 0 < result.residual_mm["median"] < 3


@pytest.mark.parametrize("name", ["open", "left"])
def test_auto_takes_the_side_that_fits(name: str) -> None:
    result = fitted(name, "auto")
    assert result.hand == example(name).hand


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


# ------------------------------------------------------------------------------------------------- the result


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


@pytest.mark.parametrize("shape", ["scale", "vertices"])
def test_the_chosen_row_is_the_one_that_is_told(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hand that is tried as a right and as a left one, also where the choice falls on the second best."""
    best = example("open").fit(hand="auto", shape=shape)
    monkeypatch.setattr("handopt.optimise.search.most_plausible", lambda *_: 1)
    second = example("open").fit(hand="auto", shape=shape)
    assert {best.hand, second.hand} == {"right", "left"}
    assert second.terms["total"] > best.terms["total"]


def test_progress_is_told() -> None:
    told: list[tuple[int, int, float]] = []
    result = example("open").fit(progress=lambda *values: told.append(values))
    assert len(told) == len(QUICK.stages)
    assert {planned for _, planned, _ in told} == {26}
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert told[-1][0] <= 26
    assert told[-1][2] == pytest.approx(result.terms["total"], rel=1e-6)


# ----------------------------------------------------------------------------------------- size and surface


def scaled_problem(scale: float) -> tuple[NDArray[np.float32], Start]:
    """The depth image of a larger or smaller hand, and its pose with the scale left out."""
    truth = make_problem(3).truth
    rig = default_rig("right")
    vertices, _ = pose_rig(rig, replace(truth, scale=scale))
    return raster(vertices, rig, CAMERA), truth


@pytest.mark.parametrize("scale", [0.88, 1.12])
def test_the_size_is_found(scale: float) -> None:
    depth, start = scaled_problem(scale)
    result = fit(depth, CAMERA, start=start, shape="scale", device="cpu")
    assert result.shape_kind == "scale"
    assert abs(result.scale - scale) < 0.05
    assert_same_bits(result.rest_mm, result.rig.rest_mm, "rest vertices")


@pytest.mark.parametrize("scale", [0.88, 1.12])
def test_size_and_proportions_are_found_together(scale: float) -> None:
    """The palm's length tells of both: a scale and proportions may share the difference."""
    depth, start = scaled_problem(scale)
    result = fit(depth, CAMERA, start=start, device="cpu")
    assert result.shape_kind == "proportions"
    palm = with_proportions(result.rig, result.proportions).keypoints_mm
    own = result.rig.keypoints_mm
    lengths = [np.linalg.norm(keypoints[9] - keypoints[0]) for keypoints in (palm, own)]
    assert result.scale * lengths[0] / lengths[1] == pytest.approx(scale, rel=0.04)
    assert set(result.to_dict()["shape"]["proportions"]) == set(PROPORTION_NAMES)


@pytest.mark.parametrize("scale", [1.0, 1.1])
def test_without_shape_the_size_stays_as_it_was(scale: float) -> None:
    depth, start = scaled_problem(1.12)
    result = fit(depth, CAMERA, start=replace(start, scale=scale), shape="none", config=QUICK, device="cpu")
    assert (result.trace.scale == np.float32(scale)).all()
    assert result.scale == np.float32(scale)
    assert result.to_dict()["shape"]["vertex_offset_mm"] == {"mean": 0.0, "max": 0.0}
    assert not any(stage["scale"] for stage in result.config["stages"])


def face_normals(vertices: Floats, faces: NDArray[np.int32]) -> Floats:
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    normals = np.cross(b - a, c - a)
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


@pytest.mark.parametrize("name", ["open", "left"])
def test_vertices_move_and_the_hand_stays_a_hand(name: str) -> None:
    result = with_vertices(name)
    last = result.history["stage"] == result.history["stage"].max()
    totals = result.history["total"][last]
    assert last.sum() > 5
    assert totals[-1] == totals.min()
    assert totals[-1] < 0.95 * totals[0]
    offsets = np.linalg.norm(result.rest_mm - result.rig.rest_mm, axis=1)
    assert 0.1 < offsets.max() < 15
    rest, fit_now = (face_normals(v, result.rig.faces) for v in (result.rig.rest_mm, result.rest_mm))
    assert (rest * fit_now).sum(axis=1).min() > 0, "no triangle is turned over"
    assert result.trace.rest_mm is not None
    assert_same_bits(result.rest_mm, result.trace.rest_mm[-1], "rest vertices")
    without = example(name).fit(config=Config(solver="gradient", stages=QUICK.stages[2:]), start=example(name).truth)
    # The median: the mean hangs on few pixels at the rim, which another surface covers for the first time.
    assert result.residual_mm["median"] < without.residual_mm["median"]


def test_vertices_follow_a_bump() -> None:
    """On a hand with a swelling of 6 mm where it is seen best, the vertices there move out, the others hardly."""
    rig, truth = default_rig("right"), make_problem(3).truth
    posed, joints = pose_rig(rig, truth)
    facing = (posed * (rig.normals @ np.asarray(truth.rotation).T)).sum(axis=1) < -0.9 * np.linalg.norm(posed, axis=1)
    knuckles = joints[[5, 9, 13, 17]].mean(axis=0)
    top = np.flatnonzero(facing)[np.argmin(np.linalg.norm(posed[facing] - knuckles, axis=1))]
    distance = np.linalg.norm(rig.rest_mm - rig.rest_mm[top], axis=1)
    bump = 6.0 * np.exp(-0.5 * (distance / 12.0) ** 2)
    vertices, _ = pose_rig(replace(rig, rest_mm=rig.rest_mm + bump[:, None] * rig.normals), truth)
    config = Config(
        solver="gradient",
        stages=(DescentStage(iterations=2, radius_px=3.5, sigma_mm=8.0, step=0.01, top_k_out=1),),
        steps=Steps(vertices_mm=0.15),
        vertices=VertexStage(iterations=60, radius_px=3.0, sigma_mm=6.0, step=0.5),
    )
    result = fit(raster(vertices, rig, CAMERA), CAMERA, start=truth, shape="vertices", config=config, device="cpu")
    outward = ((result.rest_mm - rig.rest_mm) * rig.normals).sum(axis=1)
    near, far = facing & (distance < 8), facing & (distance > 40)
    assert near.sum() >= 3
    assert outward[near].mean() > 1.0
    assert abs(outward[far].mean()) < 0.4 * outward[near].mean()


# ------------------------------------------------------------------------------------------- sides and mirrors


@pytest.mark.parametrize(("name", "shape"), [("open", "scale"), ("left", "scale"), ("open", "vertices")])
def test_the_other_hand_in_a_mirror_is_fitted_alike(name: str, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To float precision, where the observation is mirrored to the pixel."""
    result = example(name).fit(shape=shape)
    seen = [mirrored(observation) for observation in observe(example(name).depth_mm, example(name).camera)]
    monkeypatch.setattr("handopt.fitting.observe", lambda *_, **__: seen)
    camera = seen[0].camera
    other = {"right": "left", "left": "right"}[result.hand]
    depth = np.ascontiguousarray(example(name).depth_mm[:, ::-1])
    image = fit(depth, camera, hand=other, shape=shape, config=QUICK, device="cpu")
    assert image.hand == image.rig.side == other
    assert image.iterations == result.iterations
    assert_close(image.joints_mm * MIRROR, result.joints_mm, atol=1e-3, reason="columns S - 1 - x, rounded once more")
    assert_close(image.vertices_mm * MIRROR, result.vertices_mm, atol=1e-3, reason="columns, rounded once more")
    assert_close(image.angles_rad, result.angles_rad, atol=1e-5, reason="angles mean the same on both sides")
    assert_close(image.rest_mm * MIRROR, result.rest_mm, atol=1e-3, reason="the rest mesh is mirrored as well")
    flip = np.diag(MIRROR)
    assert_close(image.rotation, flip @ result.rotation @ flip, atol=1e-5, reason="conjugated by the mirror")
    assert image.scale == pytest.approx(result.scale, abs=1e-6)
    assert image.silhouette_iou == pytest.approx(result.silhouette_iou, abs=1e-3)
    assert_close(image.renders[:, :, ::-1], result.renders, atol=1e-3, reason="the same pixels, turned over")


def test_a_mirrored_image_is_found_as_well() -> None:
    """Through the observation of the mirrored image, which is the mirror image but for details."""
    first = example("open")
    camera = replace(first.camera, cx=first.camera.width - 1 - first.camera.cx)
    depth = np.ascontiguousarray(first.depth_mm[:, ::-1])
    result = fit(depth, camera, hand="left", config=QUICK, device="cpu")
    assert np.linalg.norm(result.joints_mm * MIRROR - first.joints_mm, axis=1).mean() < 10


def test_a_start_is_told_in_the_frame_of_its_own_hand() -> None:
    """From the true pose of a left hand, without steps to speak of, comes the true pose."""
    stages = (DescentStage(iterations=1, radius_px=4.0, sigma_mm=10.0, step=1e-6, top_k_out=1),)
    still = Config(solver="gradient", stages=stages, crop_px=64)
    for name in ("open", "left"):
        truth = example(name).truth
        result = example(name).fit(start=truth, config=still)
        assert_close(result.joints_mm, example(name).joints_mm, atol=0.02, reason="the file rounds to 0.01 mm")
        assert_close(result.rotation, np.array(truth.rotation), atol=1e-5, reason="float32")
        assert_close(result.translation_mm, np.array(truth.translation_mm), atol=1e-3, reason="float32")


# ------------------------------------------------------------------------------------------------ determinism


def same(first: FitResult, second: FitResult) -> None:
    for name in ("joints_mm", "vertices_mm", "angles_rad", "rotation", "rest_mm", "renders", "target"):
        assert_same_bits(getattr(first, name), getattr(second, name), name)
    for name, values in first.history.items():
        assert_same_bits(values, second.history[name], name)
    assert first.terms == second.terms


def test_the_seed_decides_everything() -> None:
    first, second = (example("left").fit(seed=4, shape="vertices") for _ in range(2))
    same(first, second)
    other = example("left").fit(seed=5, shape="vertices")
    assert np.abs(other.joints_mm - first.joints_mm).max() > 0


def test_the_number_of_threads_does_not_matter() -> None:
    threads = backend.cpu_threads()
    if threads == 0:
        pytest.skip("the kernels were built without OpenMP")
    try:
        results = []
        for count in (1, 2):
            backend.set_cpu_threads(count)
            assert backend.cpu_threads() == count
            results.append(example("open").fit(shape="vertices"))
    finally:
        backend.set_cpu_threads(threads)
    same(*results)


def test_without_shape_and_start_the_hand_has_the_rigs_size() -> None:
    result = example("open").fit(config=None, shape="none")
    assert (result.trace.scale == 1).all()
    assert not np.asarray(result.proportions).any()
    assert_same_bits(result.rest_mm, result.rig.rest_mm, "rest vertices")


def test_the_surface_starts_from_the_proportions() -> None:
    """Vertices that are freed after the tournament move away from the fitted proportions, not from the rig's own."""
    config = replace(Config(), vertices=VertexStage(iterations=2))
    result = example("pinch").fit(config=config, shape="vertices")
    assert result.trace.rest_mm is not None
    shaped = with_proportions(result.rig, result.proportions).rest_mm
    assert np.linalg.norm(result.trace.rest_mm[-1] - shaped, axis=1).max() < 1.0
    assert np.abs(shaped - result.rig.rest_mm).max() > 0.5


def test_a_mask_is_taken_at_its_word() -> None:
    one = example("open")
    seen = observe(one.depth_mm, one.camera)[0]
    result = one.fit(config=None, mask=seen.mask)
    assert result.confidence > 0.9
