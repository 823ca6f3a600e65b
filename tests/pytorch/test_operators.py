"""Every operator: the array op's values, its gradient by finite differences in double, its registration, its errors."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from support import problems_hand, problems_image, reference
from support.op_check import Problem

from handopt.errors import DeviceError, ShapeError
from handopt.ops import projection

torch = pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[torch]'")

from handopt import torch as handopt_torch  # noqa: E402
from handopt.torch import arrays, registration  # noqa: E402
from handopt.torch.arrays import on_arrays  # noqa: E402

RADIUS_PX, SIGMA_MM, BONE_MM = problems_image.RADIUS_PX, 20.0, 18.0


@dataclass(frozen=True)
class Case:
    """An operator on the inputs of a problem. call: the inputs by name, as tensors, to one or several tensors."""

    name: str
    problem: Problem
    call: Callable[[dict[str, Any]], Any]
    differentiable: tuple[str, ...]
    operator: Callable[[dict[str, Any]], tuple[Any, ...]]
    """The inputs to the arguments of torch.ops.handopt.NAME."""

    def tensors(self, dtype: Any = torch.float64, *, grad: bool = True) -> dict[str, Any]:
        """The problem's inputs; those that have a gradient ask for it."""
        found = {}
        for name, array in self.problem.arrays.items():
            real = array.dtype == np.float64
            found[name] = torch.tensor(array, dtype=dtype if real else torch.int32)
            if real and grad and name in self.differentiable:
                found[name].requires_grad_()
        return found


def in_order(*settings: Any) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    return lambda a: (*a.values(), *settings)


def first(found: Any) -> Any:
    return found[0] if isinstance(found, tuple) else found


def case(name: str, problem: Problem, differentiable: tuple[str, ...], *settings: Any, suffix: str = "") -> Any:
    arguments = in_order(*settings)
    function = getattr(handopt_torch, name)
    made = Case(name, problem, lambda a: function(*arguments(a)), differentiable, arguments)
    return pytest.param(made, id=name + suffix)


def camera_case() -> Any:
    camera = problems_image.CAMERA
    made = Case(
        "rasterise",
        problems_image.rasterise_problem(2),
        lambda a: handopt_torch.rasterise(a["points"], a["faces"], camera),
        (),
        lambda a: (*a.values(), *camera),
    )
    return pytest.param(made, id="rasterise")


POSE = ("angles", "rotation", "translation", "scale", "bind")
CASES = [
    *(
        case("forward_kinematics", problems_hand.kinematics_problem(side, 2, own), POSE, side, suffix=f" {side} {own}")
        for side, own in ((1, False), (-1, False), (1, True))
    ),
    case("skin", problems_hand.skin_problem(2), ("transforms", "rest")),
    case("skin", problems_hand.skin_problem(2, own_rest=True), ("transforms", "rest"), suffix=" own rest"),
    case("project", problems_image.project_problem(batch=2), ("points",), True),
    case("project", problems_image.project_problem(False, batch=2), ("points",), False, suffix=" orthographic"),
    case("render_depth", problems_image.render_problem(size=12, vertices=12, batch=2), ("points",), RADIUS_PX, 12),
    case("silhouette_loss", problems_image.silhouette_problem(2), ("points",)),
    case("closest_points", problems_image.closest_problem(batch=2), ("posed",), SIGMA_MM, 0.8),
    case("collision", problems_hand.collision_problem(2), ("joints",), BONE_MM, False),
    case("joint_limits", problems_hand.limits_problem(2), ("angles",)),
]
FORWARD_ONLY = [case("skin_normals", problems_hand.skin_normals_problem(2), ()), camera_case()]


def image_case(name: str, delta: float, weighted: bool) -> Any:
    """depth_loss, or splat_loss of the points that the problem renders."""
    radius: tuple[float, ...] = ()
    if name == "depth_loss":
        problem, moved = problems_image.depth_loss_problem(delta, weighted, batch=2), "image"
    else:
        problem, moved = problems_image.depth_term_problem(delta, weighted, batch=2), "points"
        radius = (RADIUS_PX,)

    def arguments(a: dict[str, Any]) -> tuple[Any, ...]:
        return a[moved], a["target"], a["image_index"], *radius, delta, a.get("weight")

    function = getattr(handopt_torch, name)
    made = Case(name, problem, lambda a: function(*arguments(a)), (moved,), arguments)
    return pytest.param(made, id=f"{name} {delta} {weighted}")


CASES += [
    image_case(name, *settings) for name in ("depth_loss", "splat_loss") for settings in ((0, False), (0.1, True))
]


@pytest.mark.parametrize("op", [*CASES, *FORWARD_ONLY])
def test_an_operator_gives_what_the_array_op_gives(op: Case) -> None:
    found = first(op.call(op.tensors(grad=False)))
    np.testing.assert_array_equal(found.numpy(), op.problem.forward(op.problem.arrays))


@pytest.mark.parametrize("op", [*CASES, *FORWARD_ONLY])
def test_float32_stays_float32(op: Case) -> None:
    found = first(op.call(op.tensors(torch.float32)))
    assert found.dtype == torch.float32
    expected = op.problem.forward(op.problem.inputs(np.float32))
    np.testing.assert_array_equal(found.detach().numpy(), expected)


@pytest.mark.parametrize("op", CASES)
def test_gradients_are_those_of_finite_differences(op: Case) -> None:
    tensors = op.tensors()
    moved = [name for name in tensors if tensors[name].requires_grad]
    assert set(moved) == set(op.differentiable)
    if op.name == "depth_loss":  # where image and target are equal the loss has a kink, and the gradient is 0 by choice
        tensors["image"] = (tensors["image"] + 0.01 * (tensors["image"] == 0)).detach().requires_grad_()

    def call(*values: Any) -> Any:
        return first(op.call(tensors | dict(zip(moved, values, strict=True))))

    large = sum(tensors[name].numel() for name in moved) > 200  # then along random directions
    assert torch.autograd.gradcheck(
        call, [tensors[name] for name in moved], eps=1e-6, atol=1e-5, rtol=1e-4, fast_mode=large
    )


def by_name(cases: list[Any]) -> list[Any]:
    """One case of each operator, the last one."""
    return list({each.values[0].name: each for each in cases}.values())


@pytest.mark.parametrize("op", by_name([*CASES, *FORWARD_ONLY]))
def test_the_registration_passes_opcheck(op: Case) -> None:
    torch.library.opcheck(getattr(torch.ops.handopt, op.name).default, op.operator(op.tensors()))


def last_arguments(call: Callable[[], Any]) -> tuple[Any, ...]:
    """The arguments of the last operator that computes while something is called."""
    calls: list[tuple[Any, ...]] = []
    real = arrays.on_arrays

    def record(run: Any, arguments: tuple[Any, ...]) -> Any:
        calls.append(arguments)
        return real(run, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "on_arrays", record)
        call()
    return calls[-1]


@pytest.mark.parametrize("op", [each for each in by_name(CASES) if each.values[0].name != "splat_loss"])
def test_the_registration_of_a_gradient_passes_opcheck(op: Case) -> None:
    found = first(op.call(op.tensors()))
    arguments = last_arguments(lambda: found.sum().backward())
    arguments = tuple(each.detach() if isinstance(each, torch.Tensor) else each for each in arguments)
    torch.library.opcheck(getattr(torch.ops.handopt, f"{op.name}_backward").default, arguments)


def test_every_registration_is_checked() -> None:
    names = {each.values[0].name for each in [*CASES, *FORWARD_ONLY]}
    with_gradient = {each.values[0].name for each in CASES} - {"splat_loss"}
    fused = {"posed_hand", "posed_hand_backward", "hand_loss"}  # in test_hand_layer.py and test_loss.py
    assert set(registration.NAMES) == names | {f"{name}_backward" for name in with_gradient} | fused


def test_a_rotation_may_be_an_axis_angle() -> None:
    problem = problems_hand.kinematics_problem(batch=3)
    tensors = {name: torch.tensor(array) for name, array in problem.arrays.items()}
    vectors = torch.tensor([[0.4, -1.1, 2.0], [1e-5, 2e-5, -1e-5], [0.0, 0.0, 0.0]], dtype=torch.float64)

    def call(given: Any) -> Any:
        return handopt_torch.forward_kinematics(*(tensors | {"rotation": given}).values())

    assert torch.autograd.gradcheck(call, vectors.requires_grad_(), atol=1e-5, rtol=1e-4, fast_mode=True)
    expected = [np.array(reference.exponential(vector)) for vector in vectors.detach().numpy()]
    as_matrices = call(torch.tensor(np.array(expected)))
    np.testing.assert_allclose(call(vectors).detach().numpy(), as_matrices.numpy(), atol=1e-9)


def test_nothing_is_copied_on_the_cpu() -> None:
    given: list[Any] = []
    real = projection.project

    def look(points: Any, coefficients: Any, perspective: bool) -> Any:
        given.extend([points, coefficients, real(points, coefficients, perspective)])
        return given[-1]

    points, coefficients = torch.rand(2, 9, 3) + 300, torch.ones(2, 6)
    found = on_arrays(look, (points, coefficients, True))
    assert given[0].ctypes.data == points.data_ptr()
    assert given[1].ctypes.data == coefficients.data_ptr()
    assert given[2].ctypes.data == found.data_ptr()
    found[0, 0, 0] = -5.0
    assert given[2][0, 0, 0] == -5.0


def test_a_tensor_that_is_not_contiguous_is_taken_as_it_is() -> None:
    points, coefficients = torch.rand(3, 9, 2) + 300, torch.rand(2, 6)
    strided = points.transpose(0, 2)
    found = handopt_torch.project(strided, coefficients)
    np.testing.assert_array_equal(found, handopt_torch.project(strided.contiguous(), coefficients))


# ---------------------------------------------------------------------------------------------------- errors


def skin_inputs(dtype: Any = torch.float64) -> dict[str, Any]:
    problem = problems_hand.skin_problem(2)
    return {n: torch.tensor(a, dtype=dtype if a.dtype == np.float64 else None) for n, a in problem.arrays.items()}


def test_shapes_types_and_indices_are_refused_by_name() -> None:
    good = skin_inputs()
    far = good["indices"].clone()
    far[3, 0] = 9
    wrong = {
        "rest: expected shape": {"rest": good["rest"][:, :2]},
        "rest: expected float64 as in the other arguments, got float32": {"rest": good["rest"].float()},
        "transforms: expected float32 or float64, got float16": {"transforms": good["transforms"].half()},
        "indices: expected int32, got int64": {"indices": good["indices"].long()},
        "indices: expected values in 0..6, got 0..9": {
            "indices": good["indices"].clamp(max=6).index_fill(0, torch.tensor([3]), 9)
        },
        "weights: expected shape": {"weights": good["weights"][:-1]},
    }
    for message, change in wrong.items():
        with pytest.raises(ShapeError, match=re.escape(message)):
            handopt_torch.skin(**(good | change))


def test_devices_are_not_mixed() -> None:
    good = skin_inputs()
    with pytest.raises(ShapeError, match="skin: expected tensors on one device, got cpu, meta"):
        handopt_torch.skin(**(good | {"rest": good["rest"].to("meta")}))


def test_meta_tensors_give_shapes() -> None:
    found = handopt_torch.skin(**{name: each.to("meta") for name, each in skin_inputs().items()})
    assert (found.device.type, tuple(found.shape)) == ("meta", (2, 37, 3))


def test_what_has_no_gradient_is_refused_by_name() -> None:
    good = skin_inputs()
    with pytest.raises(ShapeError, match=r"weights: skin has no gradient by it; pass weights.detach\(\)"):
        handopt_torch.skin(**(good | {"weights": good["weights"].requires_grad_()}))
    points = torch.rand(1, 5, 3, requires_grad=True)
    faces = torch.zeros(1, 3, dtype=torch.int32)
    with pytest.raises(ShapeError, match="points: rasterise has no gradient by it"):
        handopt_torch.rasterise(points, faces, problems_image.CAMERA)
    with torch.no_grad():
        assert handopt_torch.rasterise(points, faces, problems_image.CAMERA).shape == (1, 31, 40)


def test_second_derivatives_are_not_offered() -> None:
    points = (torch.rand(1, 5, 3) + 300).requires_grad_()
    (gradient,) = torch.autograd.grad(
        handopt_torch.project(points, torch.rand(1, 6)).square().sum(), points, create_graph=True
    )
    with pytest.raises(NotImplementedError, match="second derivatives are not offered"):
        gradient.sum().backward()


def test_a_tensor_on_a_gpu_needs_cupy() -> None:
    if torch.cuda.is_available() or importlib.util.find_spec("cupy") is not None:
        pytest.skip("not tested: PyTorch finds a GPU, or CuPy is installed")
    with (
        pytest.raises(DeviceError, match=r"device='cuda:0' cannot be used"),
        arrays.current_stream(torch.device("cuda:0")),
    ):
        pass


def test_without_pytorch_the_import_names_the_extra() -> None:
    code = (
        "import importlib.util as u; real = u.find_spec; "
        "u.find_spec = lambda name, *a: None if name == 'torch' else real(name, *a); import handopt.torch"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "ImportError: handopt.torch needs PyTorch, which is not installed: pip install 'handopt[torch]'"
    )
