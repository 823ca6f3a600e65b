"""Both hands on one turntable, at one scale."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handopt.draw import comparison
from handopt.draw.comparison import Comparison, write_comparison
from handopt.errors import OutputError
from handopt.rig import Rig, default_rig


def grown(factor: float) -> Rig:
    """The default hand in another size."""
    rig = default_rig()
    bind = rig.bind.copy()
    bind[:, :, 3] *= factor
    return replace(rig, rest_mm=factor * rig.rest_mm, bind=bind)


def heights(frame: Image.Image) -> list[int]:
    """Rows between the highest and the lowest pixel of each hand, which is brighter than what is behind it."""
    pixels = np.asarray(frame).astype(int)[36:].sum(axis=2)  # below the titles
    found = []
    for left in (0, 312):  # panels of 300 with a gap of 12
        rows = np.flatnonzero((pixels[:, left : left + 300] > 200).any(axis=1))
        found.append(int(np.ptp(rows)))
    return found


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_a_larger_hand_looks_larger(factor: float) -> None:
    generic, personal = heights(Comparison(default_rig(), grown(factor)).frame(0))
    assert personal / generic == pytest.approx(factor, rel=0.05)


def test_frames_can_be_filmed() -> None:
    frame = Comparison(default_rig(), grown(1.1)).frame(1.5)
    assert frame.width % 2 == 0
    assert frame.height % 2 == 0


def test_the_picture_has_four_sides(tmp_path: Path) -> None:
    write_comparison(default_rig(), grown(1.1), tmp_path / "turn.png")
    with Image.open(tmp_path / "turn.png") as picture:
        assert picture.width == 1236  # twice (two panels of 300 and a gap of 12), and a gap
        assert picture.height == 844  # twice (a panel of 380 and a title of 36), and a gap


def test_the_video_is_a_whole_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "FRAMES", 4)
    write_comparison(default_rig(), grown(1.1), tmp_path / "turn.mp4")
    assert (tmp_path / "turn.mp4").stat().st_size > 1000


def test_a_video_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "FRAMES", 1)
    with pytest.raises(OutputError, match="video="):
        write_comparison(default_rig(), default_rig(), tmp_path / "missing" / "turn.mp4")
