"""The turntable shows the rig from the sides that its captions name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handopt.draw import colour, turntable
from handopt.draw.shading import surface_normals
from handopt.draw.turntable import Turntable, write_turntable
from handopt.rig import default_rig


def hand_pixels(panel: Image.Image) -> np.ndarray:
    """(H, W) where the picture is not background."""
    return (np.asarray(panel).astype(int) != colour.EMPTY).any(axis=2)


@pytest.fixture(scope="module")
def right() -> Turntable:
    return Turntable(default_rig("right"))


@pytest.mark.parametrize(("side", "thumb_views"), [("right", range(1, 4)), ("left", range(5, 8))])
def test_captions_name_the_side_that_faces_the_camera(side: str, thumb_views: range) -> None:
    table = Turntable(default_rig(side))
    captions = [table.caption(view) for view in range(8)]
    assert captions[0] == "0°   palm"
    assert captions[4] == "180°   back"
    assert [view for view, caption in enumerate(captions) if "thumb" in caption] == list(thumb_views)
    assert sum("little finger" in caption for caption in captions) == 3


def test_every_view_shows_the_whole_hand_with_a_margin(right: Turntable) -> None:
    widest = 0
    for view in range(8):
        panel = right.panel(view)
        assert panel.size == (300, 380)
        hand = hand_pixels(panel)
        assert 0.08 < hand.mean() < 0.6
        assert not hand[0].any()
        assert not hand[-1].any()
        assert not hand[:, [0, -1]].any()
        widest = max(widest, int(np.ptp(np.nonzero(hand)[1])))
    assert widest > 225, "three quarters of a panel"


def test_the_thumb_of_a_right_palm_points_right(right: Turntable) -> None:
    columns = np.nonzero(hand_pixels(right.panel(0)))[1]
    wrist = np.nonzero(hand_pixels(right.panel(0))[-120:])[1].mean()
    assert columns.max() - wrist > wrist - columns.min()


def test_a_left_hand_is_the_mirror_image_of_a_right_one(right: Turntable) -> None:
    left = hand_pixels(Turntable(default_rig("right").mirrored()).panel(0))
    mirrored = hand_pixels(right.panel(0))[:, ::-1]
    assert (left == mirrored).mean() > 0.99


def test_normals_are_interpolated_where_a_surface_is_seen(right: Turntable) -> None:
    turn, camera = turntable._turn(0), right._camera
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    placed = right._vertices @ turn.T + right._shift
    depth, normals = surface_normals(placed, right._normals @ turn.T, default_rig("right").faces, numbers)
    surface = depth > 0
    length = np.linalg.norm(normals, axis=-1)
    assert (length[~surface] == 0).all()
    assert (length[surface] > 0.99).all()
    facing = normals[surface][:, 2]
    assert (facing < 0.1).mean() > 0.99, "what is seen faces the camera"
    assert len(np.unique(facing.round(6))) > 10_000, "the shading is smooth, not flat per face"


def test_the_picture_is_written_as_png_with_a_skeleton_and_a_title_that_fits(tmp_path: Path) -> None:
    path = tmp_path / "hand"
    write_turntable(replace(default_rig("left"), name="long name " * 40, licence="long licence " * 40), path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.size == (1290, 920)  # four panels of 300 by 380 in each of two rows
        pixels = np.asarray(picture)
    for ink in colour.FINGERS:
        assert (np.abs(pixels.astype(int) - ink).sum(axis=2) < 25).sum() > 100, f"no bones in {ink}"
