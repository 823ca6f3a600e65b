"""Arrays that ops refuse, with the message, and those that they accept."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.compare import assert_same_bits
from support.problems import PROBLEMS
from support.problems_image import render_problem

from handopt import backend
from handopt.errors import ShapeError
from handopt.ops.projection import project
from handopt.ops.splat import render_depth


def test_an_array_of_the_wrong_kind_is_named() -> None:
    points, coefficients = np.zeros((1, 5, 3)), np.zeros((1, 6))
    with pytest.raises(ShapeError, match=r"points: expected shape \(B, V, 3\), got \(5, 3\)"):
        project(points[0], coefficients)
    with pytest.raises(ShapeError, match=r"coefficients: expected shape \(B=1, 6\), got \(2, 6\)"):
        project(points, np.zeros((2, 6)))
    with pytest.raises(ShapeError, match=r"points: expected a numpy or cupy array .* got NoneType"):
        project(None, coefficients)
    with pytest.raises(ShapeError, match=r"coefficients: expected float64 .* got float32"):
        project(points, coefficients.astype(np.float32))
    with pytest.raises(ShapeError, match=r"points: .*C-contiguous.*numpy.ascontiguousarray\(points\)"):
        project(np.zeros((3, 5, 1)).T, coefficients)


def test_arrays_that_lie_askew_in_memory_are_refused() -> None:
    memory = np.zeros(8 * 15 + 1, np.uint8)
    points = memory[1:].view(np.float64).reshape(1, 5, 3)
    with pytest.raises(ShapeError, match="points"):
        project(points, np.zeros((1, 6)))


def test_read_only_arrays_and_numpy_scalars_will_do() -> None:
    points = render_problem().arrays["points"]
    expected, _ = render_depth(points, 2.5, 24)
    points.flags.writeable = False
    for radius, size in ((2.5, 24), (np.float32(2.5), np.int64(24)), (np.float64(2.5), np.int32(24))):
        assert_same_bits(render_depth(points, radius, size)[0], expected)


def test_inputs_are_left_alone() -> None:
    for name, make in PROBLEMS.items():
        problem = make()
        arrays = problem.inputs()
        output = problem.forward(arrays)
        if problem.backward is not None:
            problem.backward(np.ones_like(output), arrays)
        for key, array in problem.arrays.items():
            assert_same_bits(arrays[key], array, f"{key} of {name}")


def test_values_of_known_indices_are_not_looked_at_but_their_shapes_are() -> None:
    beyond = np.array([0, 7], np.int32)
    call = backend.Arguments(size={"J": 3})
    with backend.known_indices():
        assert call.whole("rows", beyond, ("N",), below="J") is beyond
        with pytest.raises(ShapeError, match="expected shape"):
            call.whole("rows", beyond, (5,), below="J")
        with ThreadPoolExecutor(1) as pool, pytest.raises(ShapeError, match="expected values"):
            pool.submit(call.whole, "rows", beyond, ("N",), below="J").result()
    with pytest.raises(ShapeError, match=r"expected values in 0\.\.2, got 0\.\.7"):
        call.whole("rows", beyond, ("N",), below="J")
