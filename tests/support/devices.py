"""A machine with or without a GPU, as far as the library can tell."""

import pytest

from handopt import backend
from handopt.backend import devices


def set_cuda_problem(monkeypatch: pytest.MonkeyPatch, problem: str | None) -> None:
    """Make CUDA unusable for this reason, or usable where the reason is None, wherever the backend is asked."""
    for module in (backend, devices):
        monkeypatch.setattr(module, "cuda_problem", lambda: problem)
