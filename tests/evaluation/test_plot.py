"""The plot of an evaluation."""

from pathlib import Path

import numpy as np
from PIL import Image
from support.evaluations import NONE, evaluation

from handopt.evaluation import plot


def test_the_plot_has_a_panel_for_groups() -> None:
    both, one = plot.draw_curve(evaluation()), plot.draw_curve(evaluation(frames=("0", "1", "2", "3")))
    assert both.width == one.width + plot.PANEL_PX[0] + plot.GAP_PX
    assert both.height == one.height
    many = evaluation(frames=tuple(f"g{index}/0" for index in range(4)))
    assert plot.draw_curve(many).width == both.width
    six = {
        "frames": tuple(f"g{index}/0" for index in range(6)),
        "errors_mm": np.ones((6, 3)),
        "visible": None,
        "confidence": np.full(6, NONE),
        "predictions": ("p",) * 6,
    }
    assert plot.draw_curve(evaluation(**six)).width == one.width


def test_the_curve_is_where_the_shares_are() -> None:
    """Half of the frames are within 20 mm, and none within 7: the worst joint's colour is at these places."""
    picture = np.asarray(plot.draw_curve(evaluation(visible=None, frames=("0", "1", "2", "3"))))
    ink = plot.LABELS["worst_joint"][1]

    def inked(limit: float, share: float) -> bool:
        x = plot.LEFT_PX + round(limit * plot.PANEL_PX[0] / 80)
        y = plot.TOP_PX + round((1 - share) * plot.PANEL_PX[1])
        patch = picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3)
        return bool((patch == ink).all(axis=1).any())

    assert inked(6.0, 0.0)
    assert inked(14.0, 0.25)
    assert inked(24.0, 0.5)
    assert not inked(24.0, 0.25)
    assert not inked(2.0, 0.0), "the curve begins at 5 mm"


def test_the_plot_is_written_as_png(tmp_path: Path) -> None:
    plot.write_curve(evaluation(), tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG"
        assert picture.mode == "RGB"
