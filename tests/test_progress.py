"""Progress bars in notebooks: shown there, without a warning, and nowhere else."""

import sys
import warnings
from types import ModuleType, SimpleNamespace

import pytest

import handopt
from handopt import progress


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a kernel of Jupyter without ipywidgets."""
    module = ModuleType("IPython")
    module.get_ipython = lambda: SimpleNamespace(config={"IPKernelApp": {}})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setattr(progress, "find_spec", lambda name: None)


@pytest.mark.usefixtures("notebook")
def test_a_notebook_shows_what_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(progress.counted(["a", "b", "c"], 3, "image")) == ["a", "b", "c"]
        with progress.parts_shown("step") as show:
            show("images", 2, 7)
            show("surface", 5, 5)
    shown = capsys.readouterr()
    assert shown.out == ""
    for expected in ("0/3", "images", "2/7", "surface", "5/5"):
        assert expected in shown.err


@pytest.mark.usefixtures("notebook")
def test_many_fits_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    camera = handopt.Camera(475.0, 475.0, 79.5, 59.5, 160, 120)
    (error,) = handopt.fit_many([handopt.FitInput(np.zeros((120, 160)), camera)])
    assert isinstance(error, handopt.HandoptError)
    assert "0/1" in capsys.readouterr().err


@pytest.mark.parametrize("config", [None, {}])
def test_elsewhere_nothing_is_shown(
    config: dict[str, object] | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("IPython")
    shell = None if config is None else SimpleNamespace(config=config)
    module.get_ipython = lambda: shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", module)
    assert list(progress.counted(iter("ab"), None, "image")) == ["a", "b"]
    with progress.parts_shown("step") as show:
        show("images", 1, 2)
    assert capsys.readouterr() == ("", "")
