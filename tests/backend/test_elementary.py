"""The functions that kernels have of their own, compiled for the CPU, against NumPy's."""

import ctypes
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from handopt import backend

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed, which compiles the header alone"),
]
REALS = {"float": np.float32, "double": np.float64}
CALLS = """
#include "elementary.h"
#define CALL(name) extern "C" void call_##name(const real* x, real* y, int n) { FOR_EACH(i, n) y[i] = name(x[i]); }
CALL(exponential)
CALL(logarithm)
CALL(arccosine)
"""
UNITS = 6
"""Units in the last place by which a result may be off: it takes a few roundings, and NumPy's own is off by one."""


@pytest.fixture(scope="module", params=REALS)
def functions(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The library and its real type."""
    source, built = (tmp_path_factory.mktemp("elementary") / name for name in ("calls.cpp", "calls.so"))
    source.write_text(CALLS)
    options = ["-std=c++17", "-O1", "-shared", "-fPIC", f"-DREAL={request.param}", f"-I{backend.kernel_folder()}"]
    subprocess.run(["g++", *options, str(source), "-o", str(built)], check=True)
    return ctypes.CDLL(str(built)), REALS[request.param]


def called(functions: Any, name: str, values: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """What is given, as reals, and what the function gives."""
    library, real = functions
    given = np.ascontiguousarray(values, real)
    found = np.empty_like(given)
    getattr(library, f"call_{name}")(ctypes.c_void_p(given.ctypes.data), ctypes.c_void_p(found.ctypes.data), len(given))
    return given, found


def check(functions: Any, name: str, values: Any, allowed: float = UNITS) -> None:
    """A function is NumPy's within some units in the last place."""
    given, found = called(functions, name, values)
    numpy_name = {"exponential": "exp", "logarithm": "log", "arccosine": "arccos"}[name]
    expected = getattr(np, numpy_name)(given.astype(np.float64)).astype(given.dtype)
    units = np.abs(found - expected) / np.spacing(np.abs(expected))
    worst = int(np.argmax(units))
    assert units.max() <= allowed, f"{name}({given[worst]!r}) is {found[worst]!r}, not {expected[worst]!r}"


def near(value: float) -> NDArray[np.float64]:
    """A value, and others that come nearer and nearer to it from both sides."""
    steps = np.logspace(-15, -3, 100)
    return np.concatenate([value - steps, [value], value + steps])


def test_exponential(functions: Any) -> None:
    check(functions, "exponential", np.concatenate([np.linspace(-1, 1, 2001), near(0), near(0.125)]))
    check(functions, "exponential", np.linspace(-80, 80, 2001), 4 * 80)


def test_logarithm(functions: Any) -> None:
    check(functions, "logarithm", np.concatenate([np.linspace(0.3, 3, 2001), near(0.5), near(1), near(2)]))
    check(functions, "logarithm", np.logspace(-37, 37, 2001))


def test_arccosine(functions: Any) -> None:
    cosines = np.concatenate([np.linspace(-1, 1, 2001), near(0), 1 - np.logspace(-15, -3, 100)])
    check(functions, "arccosine", np.concatenate([cosines, -cosines]))


def test_what_is_no_number_or_infinite(functions: Any) -> None:
    cases = {
        "exponential": {np.nan: np.nan, np.inf: np.inf, -np.inf: 0, 1000.0: np.inf, -1000.0: 0, 0.0: 1},
        "logarithm": {np.nan: np.nan, np.inf: np.inf, -np.inf: np.nan, -1.0: np.nan, 0.0: -np.inf, 1.0: 0},
        "arccosine": {np.nan: np.nan, 1.5: np.nan, -1.5: np.nan, np.inf: np.nan, 1.0: 0},
    }
    for name, expected in cases.items():
        np.testing.assert_array_equal(called(functions, name, list(expected))[1], list(expected.values()), err_msg=name)
