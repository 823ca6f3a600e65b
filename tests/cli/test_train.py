"""`handopt train` without PyTorch says what to install."""

import sys
from pathlib import Path

import pytest
from support.commands import run


def test_without_pytorch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    done = run("train", "-o", tmp_path / "base.npz")
    assert done.exit_code == 1
    assert "training needs torch, which is not installed: pip install '.[train]'" in done.stderr
    assert not list(tmp_path.iterdir())
