"""A model as ONNX gives what the NumPy network gives, and without the package says what to install."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.proposal_factories import random_model

from handopt.errors import OutputError
from handopt.proposals.onnx_export import onnx_bytes


def test_onnx_runtime_agrees_with_numpy(rng: np.random.Generator, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    runtime: Any = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    model = random_model(tmp_path / "base.npz", rng)
    session = runtime.InferenceSession(onnx_bytes(model), providers=["CPUExecutionProvider"])
    views = rng.normal(0, 1, (3, 64, 64, 6)).astype(np.float32)
    names = [each.name for each in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"view": views}), strict=True))
    features, maps = model.network.look(views)
    expected = {"hypotheses": model.network.hypotheses(features)}
    expected |= dict(zip(("uncertainty_mm", "visible"), model.network.joints(features), strict=True))
    expected |= dict(zip(("keypoints_mm", "radius_mm"), model.network.votes(features, maps), strict=True))
    assert found.keys() == expected.keys()
    for name, values in expected.items():  # float32 sums of some hundred products, in another order
        assert found[name].shape == values.shape
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-4)


def test_without_onnx_the_extra_is_named(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(tmp_path / "base.npz", rng)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(OutputError, match=r"needs onnx, which is not installed: pip install '.\[onnx\]'"):
        onnx_bytes(model)
