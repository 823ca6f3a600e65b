"""The lean cut around an expected hand."""

import numpy as np
import pytest
from support.sequences import CAMERA, samples

from handopt.backend import resolve_device
from handopt.ops.rasterise import rasterise
from handopt.rig import default_rig
from handopt.tracking.config import RoiConfig
from handopt.tracking.roi import RoiObservation, Wrist, crop_around, cut_out, observe_roi

CONFIG = RoiConfig()


def view_of(depth: np.ndarray, *, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> RoiObservation | None:
    """Look where the hand of the first frame is, moved by a shift (3,) mm."""
    scene, hand = samples()[0].scene, samples()[0].hand
    vertices = scene.vertices + shift
    crop = crop_around(vertices, CAMERA, CONFIG)
    seen = crop.as_camera()
    faces = default_rig("right").faces
    numbers = (seen.fx, seen.fy, seen.cx, seen.cy, seen.width, seen.height)
    expected = rasterise(np.ascontiguousarray(vertices[None], np.float32), faces, numbers)[0]
    wrist = Wrist(scene.translation + shift, hand.rotation @ default_rig("right").bind[0, :, 2], 30.0)
    rng = np.random.default_rng(0)
    cut = cut_out(depth, crop, expected, wrist, CONFIG)
    return None if cut is None else observe_roi(cut, 500, rng, resolve_device("cpu"))


DEPTH = samples()[0].counts.astype(np.float32)


def test_the_hand_is_cut_out_and_its_points_lie_on_it() -> None:
    view = view_of(DEPTH)
    assert view is not None
    scene = samples()[0].scene
    points = view.targets.points[0]
    away = np.linalg.norm(points[:, None] - scene.vertices[None], axis=2).min(axis=1)
    assert np.median(away) < 5
    assert np.percentile(away, 95) < 15
    assert view.grid.hand.shape == (CONFIG.size_px, CONFIG.size_px)
    assert not (view.grid.hand & view.grid.free).any()
    assert view.targets.field[0][view.grid.free].min() > 0
    assert (view.targets.field[0][~view.grid.free] == 0).all()


@pytest.mark.parametrize("shift", [(15.0, 0.0, 0.0), (0.0, -15.0, 10.0)])
def test_a_hand_that_moved_is_still_found(shift: tuple[float, float, float]) -> None:
    still, moved = view_of(DEPTH), view_of(DEPTH, shift=shift)
    assert still is not None
    assert moved is not None
    assert moved.seen_cells > 0.85 * still.seen_cells


def test_a_wall_behind_is_no_hand_but_proves_where_it_is_not() -> None:
    wall = np.where(DEPTH > 0, DEPTH, np.float32(samples()[0].scene.vertices[:, 2].max() + 150))
    with_wall, without = view_of(wall), view_of(DEPTH)
    assert with_wall is not None
    assert without is not None
    assert with_wall.seen_cells == pytest.approx(without.seen_cells, rel=0.1)
    assert with_wall.grid.free.sum() > 0.25 * CONFIG.size_px**2


def test_nothing_is_seen_where_there_is_nothing() -> None:
    assert view_of(np.zeros_like(DEPTH)) is None
    assert view_of(DEPTH, shift=(0.0, 0.0, 300.0)) is None
