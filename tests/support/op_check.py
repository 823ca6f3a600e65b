"""Checks that every op passes in the same way; the problems_*.py say what there is to know about each op."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from handopt import backend
from handopt.errors import ShapeError
from support.compare import assert_close, assert_same_bits, directional_derivative_error

Arrays = dict[str, Any]
Floats = NDArray[np.float64]

GRADIENT_STEP = 1e-5
TWIN_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Problem:
    """One op with random float64 and int32 inputs, named as the op's parameters."""

    arrays: Arrays
    forward: Callable[[Arrays], Any]
    """The op's differentiable output, on whatever device and in whatever precision the arrays are."""
    twin: Callable[[Arrays], Floats]
    batched: tuple[str, ...]
    """Inputs whose first axis is the hypothesis."""
    backward: Callable[[Any, Arrays], Arrays] | None = None
    """Cotangent and inputs -> gradient by input name."""
    branches: Callable[[Arrays], NDArray[Any]] | None = None
    """Which side of every kink the inputs are on: finite differences are taken only where it does not change."""
    moves: dict[str, Callable[[Any, Floats], Any]] = field(default_factory=dict)
    """How to add a gradient-shaped step to an input that is no vector space (the rotation)."""

    def inputs(self, dtype: Any = np.float64) -> Arrays:
        """The inputs with every floating array in dtype."""
        return {name: a.astype(dtype if a.dtype == np.float64 else a.dtype) for name, a in self.arrays.items()}


@dataclass(frozen=True)
class Place:
    """A device that a test computes on, and how arrays get there and back."""

    device: backend.Device

    def send(self, arrays: Arrays) -> Arrays:
        """Copy arrays to the device, each in its own dtype."""
        return {name: backend.to_device(array, self.device, array.dtype) for name, array in arrays.items()}

    def fetch(self, array: Any) -> Any:
        """Copy an op's answer to the host."""
        assert backend.device_of(array) == self.device, f"the op answered on {backend.device_of(array)}"
        return backend.to_numpy(array)


CPU = Place(backend.Device("cpu"))


def random_cotangent(problem: Problem, seed: int) -> Floats:
    """A standard normal cotangent with the shape of the op's output."""
    return np.random.default_rng([seed, 77]).normal(size=problem.forward(problem.inputs()).shape)


def gradients_on(device: Place, problem: Problem, cotangent: Floats, arrays: Arrays, dtype: Any) -> Arrays:
    """Gradients that the op gives on a device for inputs that are there, as arrays on the host."""
    assert problem.backward is not None
    sent = device.send({"cotangent": cotangent.astype(dtype)})["cotangent"]
    return {name: device.fetch(gradient) for name, gradient in problem.backward(sent, arrays).items()}


def check_twin(problem: Problem, device: Place) -> None:
    """The float64 op equals its slow twin."""
    output = device.fetch(problem.forward(device.send(problem.inputs())))
    assert output.dtype == np.float64
    assert np.abs(output).max() > 0, "a problem whose answer is zero shows nothing"
    assert_close(output, problem.twin(problem.arrays), of_max=TWIN_TOLERANCE, reason="float64 sums in another order")


def check_float32(problem: Problem, device: Place, tolerance: float, reason: str) -> None:
    """The float32 op on the device equals the float64 op on the CPU, forward and backward.

    Both start from the same float32 numbers, so what differs is the arithmetic alone. The tolerance is relative to the
    largest element of each array.
    """
    single = problem.inputs(np.float32)
    double = {k: v.astype(np.float64) if v.dtype == np.float32 else v for k, v in single.items()}
    sent = device.send(single)
    output = device.fetch(problem.forward(sent))
    assert output.dtype == np.float32
    assert_close(output, problem.forward(double), of_max=tolerance, reason=reason)
    if problem.backward is None:
        return
    cotangent = random_cotangent(problem, 0).astype(np.float32)
    found = gradients_on(device, problem, cotangent, sent, np.float32)
    for name, expected in gradients_on(CPU, problem, cotangent, double, np.float64).items():
        assert found[name].dtype == np.float32
        assert_close(found[name], expected, of_max=tolerance, reason=f"gradient to {name}: {reason}")


def directional_errors(problem: Problem, device: Place, dtype: Any, count: int) -> Iterator[tuple[str, float]]:
    """Relative errors of the op's gradients against central finite differences of the float64 op.

    The gradients are those of the device and dtype; cotangents and directions are random, `count` of each.
    """
    here = problem.branches(problem.arrays) if problem.branches else None
    for seed in range(count):
        cotangent = random_cotangent(problem, seed)
        gradients = gradients_on(device, problem, cotangent, device.send(problem.inputs(dtype)), dtype)
        for name, gradient in gradients.items():
            direction = np.random.default_rng([seed, 78]).normal(size=gradient.shape)
            move = problem.moves.get(name, np.add)

            def value(amount: Floats, name: str = name, move: Any = move, cotangent: Floats = cotangent) -> float:
                moved = {**problem.inputs(), name: np.ascontiguousarray(move(problem.arrays[name], amount))}
                if problem.branches:
                    assert_same_bits(problem.branches(moved), here, "the finite difference crosses a kink; branches")
                return float(np.sum(cotangent * problem.forward(moved)))

            zero = np.zeros(gradient.shape)
            yield name, directional_derivative_error(value, gradient, zero, direction, GRADIENT_STEP)


def check_gradient(problem: Problem, device: Place, count: int = 3) -> None:
    """Every gradient agrees with finite differences: to 1e-6 in double, and to 1e-4 in float.

    A float gradient has errors of about 1e-7 of its largest element; a directional derivative sums hundreds of elements
    of both signs, and may be a hundred times smaller than they are.
    """
    for dtype, tolerance in ((np.float64, 1e-6), (np.float32, 1e-4)):
        errors = list(directional_errors(problem, device, dtype, count))
        assert errors
        for name, error in errors:
            assert error <= tolerance, f"directional derivative to {name}: relative error {error:.3g}"


def check_batch(problem: Problem) -> None:
    """A batch equals its members one at a time: bit for bit, and their sum for the inputs that the batch shares."""
    for dtype in (np.float32, np.float64):
        cotangent = random_cotangent(problem, 0)
        arrays = problem.inputs(dtype)
        whole = problem.forward(arrays)
        gradients = gradients_on(CPU, problem, cotangent, arrays, dtype) if problem.backward else {}
        sums: Arrays = {}
        assert len(whole) > 1
        for b in range(len(whole)):
            one = {k: v[b : b + 1] if k in problem.batched else v for k, v in arrays.items()}
            assert_same_bits(problem.forward(one), whole[b : b + 1], f"output {b}")
            alone = gradients_on(CPU, problem, cotangent[b : b + 1], one, dtype) if problem.backward else {}
            for name, gradient in alone.items():
                if name in problem.batched:
                    assert_same_bits(gradient, gradients[name][b : b + 1], f"gradient {b} to {name}")
                else:
                    sums[name] = sums.get(name, 0.0) + gradient.astype(np.float64)
        for name, total in sums.items():
            tolerance = 8 * float(np.finfo(dtype).eps)
            assert_close(gradients[name], total, of_max=tolerance, reason="a sum over the batch, rounded in its dtype")


def wrong_arrays(array: NDArray[Any]) -> Iterator[tuple[str, Any]]:
    """Ways in which one array can be wrong, each with a label."""
    yield "a list", array.tolist()
    yield "dtype", array.astype(np.int64 if array.dtype.kind == "i" else np.float16)
    yield "byte order", array.astype(array.dtype.newbyteorder())
    yield "number of axes", array[None]
    yield "memory layout", np.repeat(array, 2, axis=-1)[..., ::2]
    if array.ndim > 1:
        yield "last axis", np.ascontiguousarray(array[..., :-1])


def check_arguments(
    problem: Problem, any_last_axis: tuple[str, ...] = (), free_last_axis: tuple[str, ...] = ()
) -> None:
    """Every wrong array raises ShapeError with the name of the argument.

    any_last_axis: arguments whose last axis may have any length, as long as the others agree.
    free_last_axis: arguments whose last axis is nobody else's.
    """
    real = [name for name, array in problem.arrays.items() if array.dtype == np.float64]
    for name, array in problem.arrays.items():
        for way, wrong in wrong_arrays(array):
            if way == "last axis" and name in free_last_axis:
                continue
            with pytest.raises(ShapeError) as failure:
                problem.forward({**problem.inputs(), name: wrong})
            blamed = problem.arrays if way == "last axis" and name in any_last_axis else [name]
            assert any(word in str(failure.value) for word in blamed), f"{way} of {name}: {failure.value}"
        if name in problem.batched and len(problem.batched) > 1:
            with pytest.raises(ShapeError, match="expected shape"):
                problem.forward({**problem.inputs(), name: np.concatenate([array, array])})
    for name in real[1:]:
        with pytest.raises(ShapeError, match=f"{name}.*float64.*float32"):
            problem.forward({**problem.inputs(), name: problem.arrays[name].astype(np.float32)})


def check_backward_arguments(problem: Problem) -> None:
    """A cotangent of the wrong shape, dtype or layout raises ShapeError."""
    assert problem.backward is not None
    cotangent = random_cotangent(problem, 0)
    assert problem.backward(cotangent, problem.inputs())
    strided = np.repeat(cotangent, 2, axis=-1)[..., ::2]
    for wrong in (cotangent[..., None], cotangent[1:], cotangent.astype(np.float32), cotangent.tolist(), strided):
        with pytest.raises(ShapeError, match="grad_"):
            problem.backward(wrong, problem.inputs())


def check_mixed_devices(problem: Problem, device: Place) -> None:
    """Arrays on two devices raise ShapeError; nothing is copied silently."""
    if device == CPU:
        pytest.skip("mixing devices needs a second one beside the CPU")
    sent = device.send(problem.inputs())
    for name in list(sent)[1:]:
        with pytest.raises(ShapeError, match=" is on "):
            problem.forward({**sent, name: problem.arrays[name]})


def check_op(problem: Problem, device: Place, tolerance: float, reason: str) -> None:
    """The three tests of every op: against its twin, against finite differences, and device against device."""
    check_twin(problem, device)
    check_float32(problem, device, tolerance, reason)
    if problem.backward is not None:
        check_gradient(problem, device)
