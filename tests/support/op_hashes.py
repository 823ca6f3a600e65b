"""Prints a hash of every output and gradient of every op; run by test_threads.py with different numbers of threads."""

import hashlib

import numpy as np

from handopt import backend
from support.op_check import random_cotangent
from support.problems import PROBLEMS


def digest(array: np.ndarray) -> str:
    """Hash of an array's bits."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def op_hashes() -> list[str]:
    """One line for each op, precision, and output or gradient."""
    lines = []
    for name, make in PROBLEMS.items():
        problem = make(batch=9)
        for dtype in (np.float32, np.float64):
            arrays = problem.inputs(dtype)
            outputs = {"output": problem.forward(arrays)}
            if problem.backward is not None:
                outputs |= problem.backward(random_cotangent(problem, 0).astype(dtype), arrays)
            lines += [f"{name} {np.dtype(dtype)} {key} {digest(value)}" for key, value in outputs.items()]
    return lines


if __name__ == "__main__":
    print(backend.cpu_threads())
    print("\n".join(op_hashes()))
