"""Normal equations of a pose: the axes of its joints, the chained models, and the damped step."""

from typing import Any

import numpy as np
import pytest
from support import reference_newton
from support.compare import assert_close, assert_same_bits
from support.op_check import Floats, Place, check_arguments, check_batch, check_mixed_devices, check_op
from support.problems_newton import (
    moves_of,
    normal_equations_problem,
    pose_axes_problem,
    small_hand,
    solve_damped_problem,
)

from handopt.errors import ShapeError
from handopt.ops.normal_equations import (
    MAX_PARAMETERS,
    MAX_ROWS,
    RIGID,
    angle_ancestry,
    angle_columns,
    normal_equations,
    pose_axes,
    solve_damped,
)

SINGLE = "float32 levers of 100 mm between coordinates of 400 mm, whose products 19 vertices sum"
PARTS = ("axes", "joint_positions", "bind_jacobian")
EXACT = "float64 sums in another order"
SIDES = pytest.mark.parametrize("side", [1, -1])
OWN = pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])


# ---------------------------------------------------------------------------------------------- pose_axes


@SIDES
@OWN
@pytest.mark.parametrize("part", PARTS)
def test_axes_twin_and_devices(part: str, side: int, own: bool, device: Place) -> None:
    check_op(pose_axes_problem(part, side, own), device, 2e-6, "float32 rotations, each with some 5 roundings of 6e-8")


@OWN
def test_axes_batch(own: bool) -> None:
    for part in PARTS:
        check_batch(pose_axes_problem(part, own=own))


def test_axes_arguments() -> None:
    problem = pose_axes_problem()
    check_arguments(problem)
    for name, value in {
        "articulated": np.array([0, 2, 3, 5, 6], np.int32),
        "parents": np.array([-1, 2, 1, *[0] * 7], np.int32),
    }.items():
        with pytest.raises(ShapeError, match=name):
            pose_axes(**{**problem.arrays, name: value})
    with pytest.raises(ShapeError, match="side"):
        pose_axes(**problem.arrays, side=0)


def test_axes_mixed_devices(device: Place) -> None:
    check_mixed_devices(pose_axes_problem(), device)


def test_axes_are_unit_vectors() -> None:
    axes = pose_axes(**pose_axes_problem().arrays).axes
    assert_close(np.linalg.norm(axes, axis=3), np.ones((3, 5, 3)), rtol=1e-14, reason="rotations of unit vectors")


def test_without_proportions_nothing_shifts(device: Place) -> None:
    arrays = pose_axes_problem().arrays
    moving = pose_axes(**device.send({**arrays, "joint_basis": np.zeros((0, 10, 3))}))
    assert moving.bind_jacobian.shape == (3, 10, 3, 0)
    assert_close(device.fetch(moving.joint_positions), pose_axes(**arrays).joint_positions, of_max=1e-13, reason=EXACT)


# --------------------------------------------------------------------------------------- normal_equations


@SIDES
@OWN
@pytest.mark.parametrize("part", ["hessian", "gradient"])
def test_twin_and_devices(part: str, side: int, own: bool, device: Place) -> None:
    check_op(normal_equations_problem(part, side, own), device, 5e-6, SINGLE)


def test_every_entry_is_right_at_its_own_size(device: Place) -> None:
    problem = normal_equations_problem()
    size = np.sqrt(np.diagonal(problem.twin(problem.arrays), axis1=1, axis2=2))
    scaling = size[:, :, None] * size[:, None]
    found = device.fetch(problem.forward(device.send(problem.arrays)))
    reason = "entries between rotations are 1e4 times those between translations; differences of sixth order"
    assert_close(found / scaling, problem.twin(problem.arrays) / scaling, atol=1e-11, reason=reason)


@OWN
def test_batch(own: bool) -> None:
    check_batch(normal_equations_problem(own=own))
    check_batch(normal_equations_problem("gradient", own=own))


def test_arguments() -> None:
    check_arguments(normal_equations_problem(), any_last_axis=("indices", "weights"), free_last_axis=("ancestry",))


@pytest.mark.parametrize(
    ("change", "value"),
    [((0, 0), 6), ((0, 0), -2), ((0, 0), 40), ((1, 1), 7), ((4, 2), 18)],
    ids=["rigid", "negative", "too large", "twice", "a gap"],
)
def test_columns_must_be_a_numbering(change: tuple[int, int], value: int) -> None:
    arrays = normal_equations_problem().arrays
    columns = arrays["columns"]
    columns[:] = np.arange(7, 22).reshape(5, 3)
    columns[4, 2] = -1
    normal_equations(**arrays)
    columns[change] = value
    if (change, value) == ((4, 2), 18):
        columns[change], columns[0, 0] = 21, -1
    with pytest.raises(ShapeError, match=r"columns: expected -1, and each number from 7 to \d+ once"):
        normal_equations(**arrays)


def test_columns_may_come_in_any_order(rng: np.random.Generator) -> None:
    arrays = normal_equations_problem().arrays
    hessian, gradient = normal_equations(**arrays)
    used = arrays["columns"] >= 0
    order = rng.permutation(int(used.sum()))
    arrays["columns"][used] = RIGID + order
    swapped, swapped_gradient = normal_equations(**arrays)
    place = np.arange(hessian.shape[1])
    place[RIGID : RIGID + len(order)] = RIGID + order
    whole = swapped + np.tril(swapped, -1).transpose(0, 2, 1)
    expected = np.tril(whole[:, place][:, :, place])
    assert_close(hessian, expected, of_max=1e-14, reason=EXACT)
    assert_same_bits(gradient, swapped_gradient[:, place])


def wide(rows: int, proportions: int) -> dict[str, Any]:
    """Arguments of a hand with so many articulated joints, whose angles are frozen, and proportions."""
    arrays = normal_equations_problem().arrays
    rng = np.random.default_rng(4)
    sizes = {"axes": (3, rows, 3, 3), "joint_positions": (3, rows, 3), "vertex_basis": (proportions, 19, 3)}
    arrays |= {name: rng.normal(size=shape) for name, shape in sizes.items()}
    arrays["bind_jacobian"] = rng.normal(size=(3, 10, 3, proportions))
    arrays["columns"] = np.full((rows, 3), -1, np.int32)
    arrays["ancestry"] = np.tile(np.arange(rows, dtype=np.int32), (10, 1))
    return arrays


def test_the_limits_of_the_kernel_are_checked(device: Place) -> None:
    most = wide(MAX_ROWS, MAX_PARAMETERS - RIGID - 3)
    most["columns"][-1] = 7, 8, 9
    hessian, _ = normal_equations(**device.send(most))
    assert hessian.shape == (3, MAX_PARAMETERS, MAX_PARAMETERS)
    assert_close(np.abs(device.fetch(hessian)[:, -1, -1]) > 0, np.ones(3), reason="the last one is there")
    with pytest.raises(ShapeError, match=f"axes: expected at most {MAX_ROWS} articulated joints, got {MAX_ROWS + 1}"):
        normal_equations(**device.send(wide(MAX_ROWS + 1, 3)))
    most["columns"][0, 0] = 10
    with pytest.raises(
        ShapeError, match=f"columns: expected at most {MAX_PARAMETERS} parameters, got {MAX_PARAMETERS + 1}"
    ):
        normal_equations(**device.send(most))


def test_mixed_devices(device: Place) -> None:
    check_mixed_devices(normal_equations_problem(), device)


def test_frozen_angles_and_missing_proportions_leave_the_others_as_they_are(device: Place) -> None:
    arrays = normal_equations_problem().arrays
    whole, gradient = normal_equations(**arrays)
    arrays["columns"] = np.full((5, 3), -1, np.int32)
    arrays["vertex_basis"], arrays["bind_jacobian"] = np.zeros((0, 19, 3)), np.zeros((3, 10, 3, 0))
    rigid, rigid_gradient = (device.fetch(a) for a in normal_equations(**device.send(arrays)))
    assert_close(rigid, whole[:, :RIGID, :RIGID], of_max=1e-13, reason=EXACT)
    assert_close(rigid_gradient, gradient[:, :RIGID], of_max=1e-13, reason=EXACT)


def test_the_model_predicts_the_loss_of_a_small_step(rng: np.random.Generator) -> None:
    problem, hand = normal_equations_problem(), small_hand(1, 3, False)
    hessian, gradient = normal_equations(**problem.arrays)
    whole = hessian + np.tril(hessian, -1).transpose(0, 2, 1)
    a, b = reference_newton.matrices(problem.arrays["vertex_normal_equations"])
    step = 1e-5 * rng.normal(size=hand.count)
    moved = hand.posed(step) - hand.posed(np.zeros(hand.count))
    linear = moves_of(1, 3, False) @ step
    assert_close(linear, moved, atol=1e-6, reason="second order in turns of 1e-5 at levers of 100 mm")
    change = np.einsum("bvi,bvij,bvj->b", linear, a, linear) + 2 * np.einsum("bvi,bvi->b", b, linear)
    assert_close(2 * gradient @ step + (whole @ step) @ step, change, rtol=1e-9, reason="the same quadratic")


def test_no_models_give_nothing(device: Place) -> None:
    arrays = normal_equations_problem().arrays
    for changes in (
        {"vertex_normal_equations": np.zeros((3, 19, 9))},
        {
            "vertex_normal_equations": np.zeros((3, 0, 9)), "posed": np.zeros((3, 0, 3)), "rest": np.zeros((0, 3)),
            "indices": np.zeros((0, 3), np.int32), "weights": np.zeros((0, 3)), "vertex_basis": np.zeros((3, 0, 3)),
        },
    ):  # fmt: skip
        for array in normal_equations(**device.send({**arrays, **changes})):
            assert not device.fetch(array).any()


def test_an_empty_batch() -> None:
    arrays = normal_equations_problem().arrays
    batched = (
        "vertex_normal_equations",
        "posed",
        "transforms",
        "translation",
        "axes",
        "joint_positions",
        "bind_jacobian",
    )
    hessian, gradient = normal_equations(**{k: v[:0] if k in batched else v for k, v in arrays.items()})
    count = small_hand(1, 3, False).count
    assert (hessian.shape, gradient.shape) == ((0, count, count), (0, count))


def test_ancestry_and_columns() -> None:
    parents = np.array([-1, 0, 1, 2, 0, 4], np.int32)
    ancestry = angle_ancestry(parents, np.array([2, 3, 4], np.int32))
    assert ancestry.dtype == np.int32
    assert ancestry.tolist() == [[-1, -1], [-1, -1], [0, -1], [1, 0], [2, -1], [2, -1]]
    columns = angle_columns(np.array([[True, False, True], [False, False, False], [True, True, True]]))
    assert columns.dtype == np.int32
    assert columns.tolist() == [[7, -1, 8], [-1, -1, -1], [9, 10, 11]]


# ------------------------------------------------------------------------------------------- solve_damped


@pytest.mark.parametrize("size", [6, 11, 16, 42, 65])
def test_solution_twin_and_devices(size: int, device: Place) -> None:
    check_op(solve_damped_problem(size), device, 2e-4, "float32 solutions of systems with condition numbers of 1e3")


def test_solution_batch() -> None:
    check_batch(solve_damped_problem())


def test_solution_arguments() -> None:
    check_arguments(solve_damped_problem())


def test_solution_mixed_devices(device: Place) -> None:
    check_mixed_devices(solve_damped_problem(), device)


def test_frozen_parameters_and_those_without_curvature_stay(device: Place) -> None:
    arrays = solve_damped_problem().arrays
    step = device.fetch(solve_damped(**device.send(arrays)))
    still = np.flatnonzero(~step.any(axis=0))
    assert still.tolist() == [1, 4, 9]
    assert (np.delete(step, still, axis=1) != 0).all()
    arrays["gradient"][:, still] = 1e6
    assert_same_bits(device.fetch(solve_damped(**device.send(arrays))), step, "step")
    arrays["free"][:] = 0
    assert not device.fetch(solve_damped(**device.send(arrays))).any()


def test_only_the_lower_triangle_is_read() -> None:
    arrays = solve_damped_problem().arrays
    step = solve_damped(**arrays)
    arrays["hessian"] += np.triu(np.full((11, 11), np.nan), 1)
    assert_same_bits(solve_damped(**arrays), step, "step")


def test_damping_shortens_the_step() -> None:
    arrays = solve_damped_problem().arrays
    lengths = []
    for damping in (0.0, 0.1, 1.0, 100.0):
        step = solve_damped(**{**arrays, "damping": np.full(3, damping)})
        lengths.append(np.linalg.norm(step * np.sqrt(np.diagonal(arrays["hessian"], axis1=1, axis2=2)), axis=1))
    assert (np.diff(lengths, axis=0) < 0).all()


def spoiled(how: str) -> dict[str, Any]:
    """Systems, the second of which has no step."""
    arrays = solve_damped_problem().arrays
    arrays["damping"][:] = 0.01
    hessian: Floats = arrays["hessian"]
    if how == "indefinite":
        hessian[1, 3, 2] = 2 * np.sqrt(hessian[1, 2, 2] * hessian[1, 3, 3])
    elif how == "negative":
        hessian[1, 0, 0] *= -1
    elif how == "no number":
        hessian[1, 5, 5] = np.nan
    else:
        arrays["gradient"][1, 0] = np.inf
    return arrays


@pytest.mark.parametrize("how", ["indefinite", "negative", "no number", "infinite gradient"])
def test_a_system_without_a_solution_gives_no_step_and_leaves_the_others_alone(how: str, device: Place) -> None:
    arrays = spoiled(how)
    step = device.fetch(solve_damped(**device.send(arrays)))
    assert not step[1].any()
    for row in (0, 2):
        alone = {k: v if k == "free" else v[row : row + 1] for k, v in arrays.items()}
        assert_close(step[row], solve_damped(**alone)[0], of_max=1e-13, reason=EXACT)
        assert step[row].any()
