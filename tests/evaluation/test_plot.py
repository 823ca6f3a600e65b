"""The plot of an evaluation."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.evaluations import NONE, evaluation

from handopt.evaluation import plot
from handopt.evaluation.report import save_evaluation


def panels(**fields: object) -> int:
    return len(plot.draw_curve(evaluation(**fields)).axes)


def test_the_plot_has_a_panel_for_groups() -> None:
    assert panels() == 2
    assert panels(frames=("0", "1", "2", "3")) == 1
    assert panels(frames=tuple(f"g{index}/0" for index in range(4))) == 2
    six = {
        "frames": tuple(f"g{index}/0" for index in range(6)),
        "errors_mm": np.ones((6, 3)),
        "visible": None,
        "confidence": np.full(6, NONE),
        "predictions": ("p",) * 6,
    }
    assert panels(**six) == 1


def test_the_curve_is_where_the_shares_are() -> None:
    """Half of the frames are within 20 mm, and none within 7: so says the curve of the worst joint."""
    figure = plot.draw_curve(evaluation(visible=None, frames=("0", "1", "2", "3")))
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    x, y = (np.asarray(values, float) for values in lines["worst joint"].get_data())
    share = dict(zip(x.tolist(), y.tolist(), strict=True))
    assert share[6.0] == 0
    assert share[14.0] == 25
    assert share[24.0] == 50
    assert x.min() == 5, "the curve begins at 5 mm"
    assert x.max() == 80
    assert figure.axes[0].get_xlim() == (0, 80)


def test_names_are_text_not_formulas(tmp_path: Path) -> None:
    plot.write_curve(evaluation(frames=("$a_{1/0", "$a_{1/1", "b^$/2", "b^$/3")), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 10_000


def test_the_plot_is_written_as_png(tmp_path: Path) -> None:
    plot.write_curve(evaluation(), tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG"
        assert picture.size == (1200, 520)
        pixels = np.asarray(picture.convert("RGB"))
    for _, ink in plot.LABELS.values():
        assert (pixels == ink).all(axis=2).sum() > 50, "the line is there in its colour"


def test_without_matplotlib_the_rest_is_written_and_what_to_install_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plot.plot_problem() is None
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name))
    assert "pip install '.[plots]'" in str(plot.plot_problem())
    folder = save_evaluation(evaluation(), tmp_path / "scores")
    assert {path.name for path in folder.iterdir()} == {"summary.json", "per_frame.csv", "per_joint.csv", "curve.csv"}
