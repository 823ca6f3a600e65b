"""The overlay, judged by the colours of its pixels."""

from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from support.factories import fit_result

from handopt.draw import colour, overlay
from handopt.draw.overlay import draw_overlay
from handopt.draw.region import Region, hand_region
from handopt.result import FitResult
from handopt.typing import RGB

PANEL_PX = 420  # measured in a picture, as the places of the panels
LEFT_PX, TOP_PX = (24, 462, 900), 122


def picture(result: FitResult) -> np.ndarray:
    return np.asarray(draw_overlay(result))


def sample(image: np.ndarray, result: FitResult, panel: int, row: int, column: int) -> np.ndarray:
    """Colour of an image pixel in a panel of the overlay."""
    region, left, top = hand_region(result), LEFT_PX[panel], TOP_PX
    x, y = region.to_panel(np.array([column, row], float), PANEL_PX)
    return image[top + int(y), left + int(x)]


def decoded_mm(rgb: np.ndarray) -> float:
    """Residual that a colour of the diverging table stands for."""
    distance = np.abs(colour.DIVERGING.astype(int) - rgb).sum(axis=1)
    assert distance.min() == 0, f"{rgb} is no colour of the residual"
    return (float(distance.argmin()) + 0.5) / 256 * 40 - 20  # 256 colours from -20 to 20 mm


def inner_pixels(result: FitResult, count: int = 6) -> list[tuple[int, int]]:
    """Some pixels well inside of what is both observed and fitted."""
    both = result.observation.mask & (result.fitted_depth_mm > 0)
    inside = both.copy()
    for rows, columns in ((3, 0), (-3, 0), (0, 3), (0, -3), (3, 3), (-3, -3)):
        inside &= np.roll(both, (rows, columns), (0, 1))
    found = np.argwhere(inside)
    return [(int(row), int(column)) for row, column in found[:: len(found) // count]]


def shares(image: np.ndarray, rgb: RGB, panel: int) -> float:
    """Share of the pixels of a panel that have exactly a colour."""
    left, top = LEFT_PX[panel], TOP_PX
    return float((image[top : top + PANEL_PX, left : left + PANEL_PX] == rgb).all(axis=-1).mean())


def test_what_is_not_the_hands_is_striped_and_explained() -> None:
    result = fit_result()
    plain = picture(result)
    other = np.zeros_like(result.observation.mask)
    row, column = inner_pixels(result)[0]
    other[row - 2 : row + 3, column - 2 : column + 3] = True
    observation = replace(result.observation, other=other, mask=result.observation.mask & ~other)
    striped = picture(replace(result, observation=observation))
    assert shares(plain, colour.NEUTRAL, 0) == 0
    assert shares(striped, colour.NEUTRAL, 0) > 0
    below = slice(TOP_PX + PANEL_PX, None)
    assert (plain[below, : LEFT_PX[1]] != striped[below, : LEFT_PX[1]]).any()
    assert (plain[below, LEFT_PX[2] :] == striped[below, LEFT_PX[2] :]).all()


@pytest.mark.parametrize("planted_mm", [-12.0, -3.0, 0.0, 5.0, 17.0])
def test_the_residual_panel_encodes_a_planted_residual(planted_mm: float) -> None:
    result = fit_result()
    result.fitted_depth_mm = np.where(result.fitted_depth_mm > 0, result.observation.depth_mm + planted_mm, 0)
    image = picture(result)
    for row, column in inner_pixels(result):
        # one of 256 colours for 40 mm
        assert decoded_mm(sample(image, result, 2, row, column)) == pytest.approx(planted_mm, abs=0.17)


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_residual_saturates_at_its_span(sign: int) -> None:
    result = fit_result()
    result.fitted_depth_mm = np.where(result.fitted_depth_mm > 0, result.observation.depth_mm + sign * 50, 0)
    row, column = inner_pixels(result)[0]
    np.testing.assert_array_equal(
        sample(picture(result), result, 2, row, column), colour.DIVERGING[-1 if sign > 0 else 0]
    )


def test_what_only_one_side_covers_has_its_own_colour() -> None:
    result = fit_result()
    row, column = inner_pixels(result)[2]
    result.fitted_depth_mm[row - 1 : row + 2, column - 1 : column + 2] = 0
    other = inner_pixels(result)[4]
    result.observation.mask[other[0] - 1 : other[0] + 2, other[1] - 1 : other[1] + 2] = False
    image = picture(result)
    np.testing.assert_array_equal(sample(image, result, 2, row, column), colour.UNEXPLAINED)
    np.testing.assert_array_equal(sample(image, result, 2, *other), colour.UNSUPPORTED)


def test_depth_colours_are_the_same_in_input_and_fit_and_grow_lighter_towards_the_camera() -> None:
    result = fit_result(rotation=np.eye(3))
    result.joints_mm[:] = -1.0
    result.vertices_mm = result.vertices_mm + np.array([0, 0, 1e7])  # the mesh is away: the depth alone
    image = picture(result)
    pixels = inner_pixels(result, 12)
    depths = np.array([result.observation.depth_mm[pixel] for pixel in pixels])
    seen = np.array([sample(image, result, 0, *pixel) for pixel in pixels]).astype(int)
    np.testing.assert_array_equal(seen, [sample(image, result, 1, *pixel) for pixel in pixels])
    order = np.argsort(-depths)
    assert (np.diff(seen[order] @ [0.2126, 0.7152, 0.0722]) > -8).all()
    assert np.ptp(seen[:, 1]) > 60


def test_the_mesh_is_shaded_and_lets_the_depth_show_through() -> None:
    result = fit_result(rotation=np.eye(3))
    result.joints_mm[:] = -1.0
    image = picture(result)
    bare = fit_result(rotation=np.eye(3))
    bare.joints_mm[:] = -1.0
    bare.vertices_mm = bare.vertices_mm + np.array([0, 0, 1e7])
    without = picture(bare)
    for pixel in inner_pixels(result, 12):
        mixed, depth = (sample(each, result, 1, *pixel).astype(int) for each in (image, without))
        skin = (mixed - 0.5 * depth) / 0.5  # half of the mesh
        assert skin.min() > -2
        assert skin.max() < 257
        assert skin[0] > skin[2] + 5, "skin is red rather than blue"
    outside = np.argwhere(~(result.observation.mask | result.observation.arm | (result.fitted_depth_mm > 0)))
    row, column = outside[
        np.argmin(np.abs(outside - (hand_region(result).row + 3, hand_region(result).column + 3)).sum(1))
    ]
    np.testing.assert_array_equal(sample(image, result, 1, row, column), sample(without, result, 1, row, column))


def test_the_arm_is_tinted_and_the_hand_outlined() -> None:
    result = fit_result()
    image = picture(result)
    arm = np.argwhere(
        result.observation.arm & (np.arange(240)[:, None] < hand_region(result).row + hand_region(result).side)
    )
    red, green, blue = sample(image, result, 0, *arm[len(arm) // 2]).astype(int)
    assert red > green > blue
    assert red - blue > 60
    red, green, blue = sample(image, result, 1, *arm[len(arm) // 2]).astype(int)
    assert abs(red - blue) < 20, "the arm is grey behind the fit"
    assert shares(image, colour.OUTLINE, 0) > 0.003


def test_the_skeleton_stands_where_the_keypoints_are() -> None:
    result = fit_result()
    image = picture(result)
    region, left, top = hand_region(result), LEFT_PX[1], TOP_PX
    for keypoint in (0, 4, 8, 20):
        x, y = region.to_panel(result.camera.project(result.joints_mm)[keypoint], PANEL_PX)
        middle = colour.OUTLINE if result.joint_visible[keypoint] else colour.PAPER
        np.testing.assert_allclose(image[top + int(y), left + int(x)], middle, atol=12)
    assert {bool(each) for each in result.joint_visible[[0, 4, 8, 20]]} == {True, False}
    result.joints_mm[:] = np.array([1e7, 0, 1.0])
    assert shares(picture(result), colour.OUTLINE, 1) == 0


def test_size_and_file(tmp_path: Path) -> None:
    overlay.write_overlay(fit_result(), tmp_path / "overlay.png")
    image = iio.imread(tmp_path / "overlay.png")
    assert image.shape == (620, 1344, 3)  # three panels of 420, gaps of 18 and margins of 24; 122 above and 78 below


def test_the_title_shows_name_and_figures() -> None:
    plain = fit_result(image=None, status="", residual_mm={"median": float("nan")}, silhouette_iou=float("nan"))
    other = fit_result(image="x/" + "very_long_name_" * 20 + ".png", status="A long sentence. " * 30)
    titles = [picture(result)[:82] for result in (plain, fit_result(), other)]
    lit = [(title.max(axis=-1) > 100).mean() for title in titles]
    assert lit[0] < lit[2]
    assert not np.array_equal(titles[0], titles[1])
    margin = titles[2][:, -22:]
    np.testing.assert_array_equal(margin, np.broadcast_to(colour.PAPER, margin.shape))


@pytest.mark.parametrize("place", [(0, 0), (239, 319)])
def test_a_hand_at_the_edge_of_the_image_is_shown_with_what_lies_beyond(place: tuple[int, int]) -> None:
    result = fit_result()
    for mask in (result.observation.mask, result.observation.arm):
        mask[:] = False
    result.observation.mask[max(place[0] - 5, 0) : place[0] + 6, max(place[1] - 5, 0) : place[1] + 6] = True
    result.observation.depth_mm[:] = 400
    result.fitted_depth_mm[:] = 0
    region = hand_region(result)
    assert region.side == 24
    assert region.cut(result.observation.mask).sum() == 36
    assert shares(picture(result), colour.UNEXPLAINED, 2) > 0


def test_an_empty_observation_shows_the_whole_image() -> None:
    result = fit_result()
    result.observation.mask[:] = False
    result.fitted_depth_mm[:] = 0
    region = hand_region(result)
    assert region.side >= 320
    assert shares(picture(result), colour.EMPTY, 2) == 1


def test_region_beyond_the_image_is_empty() -> None:
    assert Region(500, 500, 10).cut(np.ones((20, 20))).sum() == 0


def test_the_title_names_no_confidence_of_1() -> None:
    sure, nearly, less = (fit_result() for _ in range(3))
    sure.confidence, nearly.confidence, less.confidence = 1.0, 0.997, 0.99
    titles = [picture(each)[: TOP_PX - 30] for each in (sure, nearly, less)]
    assert (titles[0] == titles[1]).all(), "both are >0.99"
    assert (titles[1] != titles[2]).any()


def test_the_fit_stands_over_the_colour_picture_where_there_is_one() -> None:
    result = fit_result()
    green = np.zeros((*result.observation.mask.shape, 3), np.uint8)
    green[..., 1] = 200
    plain, shown = picture(result), np.asarray(draw_overlay(result, green))
    assert (shown[TOP_PX + 2, LEFT_PX[1] + 2] == (0, 200, 0)).all(), "around the hand"
    assert shares(shown, (0, 200, 0), 1) > 0.2
    row, column = inner_pixels(result)[2]
    over = sample(shown, result, 1, row, column).astype(int)
    assert (over != (0, 200, 0)).any(), "the mesh covers half of it"
    assert over[1] > over[2]
    for panel in (0, 2):
        left = LEFT_PX[panel]
        part = np.s_[TOP_PX : TOP_PX + PANEL_PX, left : left + PANEL_PX]
        assert np.array_equal(plain[part], shown[part]), "input and residual stay"
