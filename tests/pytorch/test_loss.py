"""DepthTarget and SelfSupervisedLoss: the objective of gradient descent, its gradient, compilation, and errors."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.descent_objective_cases import CONFIG, RADIUS_PX, SIGMA_MM, Case, make_case
from support.documents import PROJECT, blocks
from support.examples import FOLDER
from support.observation_factory import small_observation

import handopt
from handopt.config import DescentStage
from handopt.errors import ConfigError, ObservationError, ShapeError

torch = pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[torch]'")

from handopt.torch import DepthTarget, HandLayer, SelfSupervisedLoss  # noqa: E402
from handopt.torch import hand_terms as hand_terms_module  # noqa: E402

STAGES = (
    DescentStage(iterations=1, radius_px=6.0, sigma_mm=40.0, step=1.0, top_k_out=1),
    DescentStage(iterations=1, radius_px=RADIUS_PX, sigma_mm=SIGMA_MM, step=1.0, top_k_out=1),
)
SETTINGS = replace(CONFIG, stages=STAGES)


@pytest.fixture(scope="module")
def case() -> Case:
    return make_case(CONFIG, [small_observation(0.5), small_observation(1.1)])


class Setup:
    """The case's hands, images and loss as tensors."""

    def __init__(self, case: Case, form: Any = "euler", dtype: Any = torch.float64) -> None:
        pose = case.pose
        self.layer = HandLayer("right", form, dtype=dtype)
        self.loss = SelfSupervisedLoss(self.layer, SETTINGS)
        self.target = DepthTarget.from_fit(case.objective.targets, dtype).select(pose.image.tolist())
        tensors = (self.layer.pose_of(pose.rotation, pose.angles), pose.translation, pose.scale, case.rest)
        self.inputs = [torch.as_tensor(each).to(dtype).clone().requires_grad_() for each in tensors]

    def hand(self) -> Any:
        pose, place, scale, rest = self.inputs
        return self.layer(pose, place, scale, rest=rest)


@pytest.mark.parametrize("form", ["euler", "axis-angle", "6d"])
def test_the_terms_are_those_of_the_descent_objective(case: Case, form: str) -> None:
    setup = Setup(case, form)
    expected = case.objective.terms(case.pose, case.level, case.rest)
    found = setup.loss.terms(setup.hand(), setup.target)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].detach().numpy(), values, rtol=1e-9, atol=1e-12, err_msg=name)
    assert found["proportions"].tolist() == [0.0] * len(case.pose)
    total = setup.loss(setup.hand(), setup.target)
    np.testing.assert_allclose(total.detach().numpy(), sum(expected.values()), rtol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(setup.loss(setup.hand(), setup.target), total)


def test_the_gradient_is_that_of_the_descent_objective(case: Case) -> None:
    objective = case.objective
    without = replace(CONFIG, weights=replace(CONFIG.weights, collision=0.0))  # its gradient by the scale is exact here
    setup = Setup(case)
    setup.loss = SelfSupervisedLoss(setup.layer, replace(SETTINGS, weights=without.weights))
    expected = type(objective)(objective.hand, objective.targets, without, objective._laplacian)
    gradient = expected.terms_and_gradient(case.pose, case.level, case.rest)[1]
    setup.loss(setup.hand(), setup.target).sum().backward()
    pose, place, scale, rest = (each.grad.numpy() for each in setup.inputs)
    for name, found in (("angles", pose[:, 1:]), ("translation", place), ("scale", scale), ("rest", rest)):
        np.testing.assert_allclose(found, getattr(gradient, name), rtol=1e-8, atol=1e-9, err_msg=name)
    step = 1e-6 * np.random.default_rng(0).normal(size=(len(case.pose), 3))
    vectors = setup.inputs[0].detach().numpy()[:, 0]
    turned = Rotation.from_rotvec(vectors + step) * Rotation.from_rotvec(vectors).inv()
    np.testing.assert_allclose(
        (pose[:, 0] * step).sum(axis=1), (gradient.rotation * turned.as_rotvec()).sum(axis=1), rtol=1e-4
    )


def test_one_operator_gives_the_gradient_of_the_single_terms(case: Case) -> None:
    setup = Setup(case)
    weights = torch.tensor([0.3, 1.0, -2.0, 0.7], dtype=torch.float64)  # a gradient of its own for each hand
    gradients = []
    for call in (setup.loss, lambda *given: sum(setup.loss.terms(*given).values())):
        (weights * call(setup.hand(), setup.target)).sum().backward()
        gradients.append([each.grad.clone() for each in setup.inputs])
        for each in setup.inputs:
            each.grad = None
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_the_operator_of_the_loss_passes_opcheck(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup(case)
    calls = []
    real = hand_terms_module._loss

    def record(*arguments: Any) -> Any:
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(hand_terms_module, "_loss", record)
    setup.loss(setup.hand(), setup.target)
    with torch.no_grad():
        setup.loss(setup.hand(), setup.target)
    for arguments in calls:
        torch.library.opcheck(torch.ops.handopt.hand_loss.default, arguments)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # by PyTorch's own tracing
@pytest.mark.parametrize("form", ["euler", "axis-angle"])
def test_layer_and_loss_compile_as_one_graph(case: Case, form: str) -> None:
    compiled, eager = Setup(case, form), Setup(case, form)

    def total(*given: Any) -> Any:
        return compiled.loss(compiled.layer(*given[:3], rest=given[3]), compiled.target).sum()

    compiled.target.image(compiled.loss.radius_px)
    torch.compile(total, fullgraph=True, backend="aot_eager")(*compiled.inputs).backward()
    eager.loss(eager.hand(), eager.target).sum().backward()
    for one, other in zip(compiled.inputs, eager.inputs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_float32_is_kept(case: Case) -> None:
    setup, double = Setup(case, dtype=torch.float32), Setup(case)
    loss = setup.loss(setup.hand(), setup.target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), double.loss(double.hand(), double.target), rtol=1e-4, atol=0)
    loss.sum().backward()
    assert all(each.grad.dtype == torch.float32 for each in setup.inputs)


def test_proportions_have_a_prior(case: Case) -> None:
    setup = Setup(case)
    shape = torch.full((4, len(setup.layer.shape_names)), 0.1, dtype=torch.float64, requires_grad=True)
    hand = setup.layer(*setup.inputs[:3], shape=shape)
    found = setup.loss.terms(hand, setup.target)["proportions"]
    # 13 proportions that are two standard deviations of 5 % off, with weight 0.002
    np.testing.assert_allclose(found.detach().numpy(), 13 * 4 * 0.002, rtol=1e-9)
    without = setup.loss(hand, setup.target) - found
    assert (without > 0).all()


def test_a_pose_that_is_no_number_does_not_look_like_one_that_fits(case: Case) -> None:
    setup = Setup(case)
    with torch.no_grad():
        setup.inputs[1][2, 0] = torch.nan
        terms = torch.stack(list(setup.loss.terms(setup.hand(), setup.target).values()))
        for loss in (setup.loss(setup.hand(), setup.target), terms.sum(0)):
            assert loss.isnan().tolist() == [False, False, True, False]


def test_a_stage_says_how_closely_to_look(case: Case) -> None:
    setup = Setup(case)
    setup.loss.set_stage(0)
    coarse = case.objective.level(6.0, 40.0)
    expected = sum(case.objective.terms(case.pose, coarse, case.rest).values())
    np.testing.assert_allclose(setup.loss(setup.hand(), setup.target).detach().numpy(), expected, rtol=1e-9)
    with pytest.raises(ConfigError, match="stage: expected a number from -2 to 1, got 2"):
        setup.loss.set_stage(2)


def test_the_example_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    (block,) = blocks(PROJECT / "handopt" / "torch" / "README.md", "python")
    names: dict[str, Any] = {}
    exec(compile(block.text, str(block), "exec"), names)
    assert names["hand"].vertices.shape == (1, 1159, 3)
    assert names["pose"].grad.abs().sum() > 0


# --------------------------------------------------------------------------------------------------- targets


def test_targets_are_found_as_a_fit_finds_them() -> None:
    images = [handopt.read_image(str(FOLDER / f"{name}.png")) for name in ("open", "left")]
    depths = [torch.tensor(images[0].depth_mm), images[1].depth_mm]
    target = DepthTarget.of(depths, [each.camera for each in images])
    assert len(target) == 2
    for index, image in enumerate(images):
        observation = handopt.observe(image.depth_mm, image.camera)[0]
        np.testing.assert_allclose(target.centre[index], observation.center_mm, rtol=1e-5)
        crop = observation.crop()
        np.testing.assert_allclose(target.coefficients[index], crop.coefficients, rtol=1e-5)
    left = HandLayer("left", "axis-angle")
    loss = SelfSupervisedLoss(left)
    result = handopt.fit(images[1].depth_mm, images[1].camera, hand="left", shape="scale")
    chosen = target.select([1])
    pose = left.pose_of(result.rotation[None], result.angles_rad[None])
    place, size = torch.tensor(result.translation_mm[None]).float(), torch.tensor([result.scale]).float()
    fitted = loss.terms(left(pose, place, size), chosen)
    moved = loss.terms(left(pose, place + torch.tensor([0.0, 0.0, 12.0]), size), chosen)
    assert fitted["points"] < 0.2 * moved["points"]
    assert fitted["depth"] < moved["depth"]


def test_rows_of_a_target_are_selected_without_copies(case: Case) -> None:
    target = DepthTarget.from_fit(case.objective.targets)
    chosen = target.select(torch.tensor([1, 1, 0]))
    assert chosen.image_index.tolist() == [1, 1, 0]
    assert chosen.image_index.dtype == torch.int32
    assert chosen.points is target.points
    assert chosen.image(3.0) is chosen.image(3.0)
    assert target.to(torch.float64).field.dtype == torch.float64
    assert target.to(torch.float64).image_index.dtype == torch.int32


def test_wrong_targets_are_refused_by_name(case: Case) -> None:
    setup = Setup(case)
    with pytest.raises(
        ShapeError, match=re.escape("target: expected an image for each of 4 hands, got 2; see select()")
    ):
        setup.loss(setup.hand(), setup.target.select([0, 1]))
    with pytest.raises(ShapeError, match="posed: expected float32 as in the other arguments, got float64"):
        setup.loss(setup.hand(), replace(setup.target, points=setup.target.points.float()))
    wished = replace(setup.target, points=setup.target.points.clone().requires_grad_())
    with pytest.raises(ShapeError, match="target: the loss has gradients by the hand alone"):
        setup.loss(setup.hand(), wished)
    with pytest.raises(IndexError):
        setup.target.select([9])
    image = handopt.read_image(str(FOLDER / "open.png"))
    with pytest.raises(ObservationError, match=r"^image 1: "):
        DepthTarget.of([image.depth_mm, np.zeros_like(image.depth_mm)], image.camera)
    with pytest.raises(ShapeError, match="cameras: expected one for each of 2 images, got 1"):
        DepthTarget.of([image.depth_mm] * 2, [image.camera])
    with pytest.raises(ShapeError, match="depths_mm: expected at least one image"):
        DepthTarget.of([], image.camera)
