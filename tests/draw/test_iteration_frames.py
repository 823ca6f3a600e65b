"""One picture per iteration."""

import time
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from support.factories import fit_result

from handopt.draw import colour
from handopt.draw.iteration_frames import FramePainter, palette, write_renders
from handopt.result import FitResult

LINE_PX, GAP_PX = 22, 6  # measured in a picture of a frame


def panel(image: np.ndarray, index: int, size: int) -> np.ndarray:
    """One of the three panels of a frame, at the size of the renderer's crop."""
    zoom = (image.shape[0] - 2 * LINE_PX) // size
    left = index * (size * zoom + GAP_PX)
    return image[LINE_PX : LINE_PX + size * zoom : zoom, left : left + size * zoom : zoom]


def test_there_is_one_file_per_iteration(tmp_path: Path) -> None:
    result = fit_result(iterations=7)
    write_renders(result, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{index:04d}.png" for index in range(7)]


@pytest.mark.parametrize("size", [48, 120])
def test_a_file_reads_back_as_the_frame(size: int, tmp_path: Path) -> None:
    result = fit_result(iterations=2, size=size)
    write_renders(result, tmp_path)
    painter, table = FramePainter(result), palette()
    image = iio.imread(tmp_path / "0001.png")
    assert image.shape == (painter.height, painter.width, 3)
    assert painter.height == 284
    np.testing.assert_array_equal(image, table[painter.frame(1)])


def test_the_panels_are_target_render_and_difference() -> None:
    result = fit_result()
    size = result.crop.size
    result.target[:] = 0
    result.target[5:30, 5:40] = np.linspace(0.3, 0.6, 35)
    planted_mm = 20.0
    result.renders[2] = np.where(result.target > 0, result.target - planted_mm / 2 / result.crop.half_mm, 0)
    result.renders[2][5:10] = 0
    result.renders[2][35:40, 10:20] = 0.5
    rows = FramePainter(result).frame(2)
    observed, fitted, difference = (palette()[panel(rows, index, size)] for index in range(3))
    assert (observed[result.target == 0] == colour.EMPTY).all()
    assert (fitted[result.renders[2] == 0] == colour.EMPTY).all()
    assert np.diff(observed[20, 5:40].astype(int).sum(axis=1)).mean() > 5, "nearer is lighter"
    np.testing.assert_array_equal(difference[2, 2], colour.EMPTY)
    np.testing.assert_array_equal(difference[7, 20], colour.DIVERGING[-1], "hand missing in the fit")
    np.testing.assert_array_equal(difference[37, 15], colour.DIVERGING[0], "fit where no hand is")
    steps = colour.ramp([tuple(row) for row in colour.DIVERGING.tolist()], 101).astype(int)
    found = np.abs(steps - difference[20, 20]).sum(axis=1).argmin()
    assert (found + 0.5) / 101 * 100 - 50 == pytest.approx(planted_mm, abs=0.6), "101 colours from -50 to 50 mm"


def test_the_strip_tells_the_iterations_apart_and_lacks_nothing() -> None:
    result = fit_result()
    strips = [rows[-LINE_PX:] for rows in FramePainter(result)]
    assert all((palette()[strip].min(axis=-1) > 140).sum() > 300 for strip in strips), "bright letters"
    assert len({strip.tobytes() for strip in strips}) == len(strips)
    bare = FramePainter(fit_result(history={}))
    assert (bare.frame(0)[-LINE_PX:] > 0).sum() < (strips[0] > 0).sum()
    caption = FramePainter(result)._caption(1)
    history = result.history
    for part in ("iteration 2 of 5", f"stage {history['stage'][1]}", f"radius {history['radius_px'][1]:.1f} px"):
        assert part in caption
    assert caption.endswith(f"total {history['total'][1]:.5g}")


def test_a_caption_that_is_too_long_is_cut_off() -> None:
    result = fit_result()
    result.history["stage"] = np.array(["a stage with an unreasonably long name " * 5] * 5)
    assert FramePainter(result).frame(0).shape == FramePainter(fit_result()).frame(0).shape


def test_an_observation_without_a_hand_is_painted_empty() -> None:
    result: FitResult = fit_result()
    result.target[:] = 0
    rows = FramePainter(result).frame(0)
    assert (panel(rows, 0, result.crop.size) == 1).all()


def test_a_render_takes_milliseconds(tmp_path: Path) -> None:
    result = fit_result(iterations=2, size=120)
    result.renders = np.repeat(result.renders, 10, axis=0)
    result.history = {name: np.repeat(values, 10) for name, values in result.history.items()}
    write_renders(result, tmp_path)
    spent = []
    for _ in range(3):
        start = time.process_time()
        write_renders(result, tmp_path)
        spent.append((time.process_time() - start) / len(result.renders))
    assert min(spent) < 0.02, "about 2 ms; the bound leaves room for slow and busy machines"
