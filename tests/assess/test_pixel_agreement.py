"""What the network of pixel labels says of a finished fit."""

from dataclasses import astuple, dataclass

import numpy as np
import pytest
from support.examples import fitted
from support.factories import fit_result

from handopt.assess.pixel_agreement import PixelAgreement, _likeliest, pixel_agreement
from handopt.input.camera import Camera
from handopt.input.pixel_labels import BACKGROUND, HAND, PIXEL_LABELS
from handopt.observation.pixel_network import PixelNetwork
from handopt.observation.pixel_window import OFFSET_SCALE_MM, SIZE
from handopt.rig.joints import KEYPOINT_NAMES
from handopt.typing import FloatImage, Floats

CAMERA = Camera(fx=400.0, fy=400.0, cx=160.0, cy=120.0, width=320, height=240)
WRIST, MIDDLE = KEYPOINT_NAMES.index("wrist"), KEYPOINT_NAMES.index("middle_mcp")


@dataclass(frozen=True, eq=False)
class NearIsHand(PixelNetwork):
    """A network for which what is within 40 mm of the palm is the hand."""

    weights: dict[str, FloatImage]

    def __init__(self) -> None:
        super().__init__({}, {})

    def raw(self, images: FloatImage) -> tuple[FloatImage, FloatImage, FloatImage]:
        near = (images[..., 0] > 0) & (np.abs(images[..., 1] * OFFSET_SCALE_MM) < 40)
        logits = np.eye(len(PIXEL_LABELS), dtype=np.float32)[np.where(near, HAND, BACKGROUND)]
        assert logits.shape == (1, SIZE, SIZE, len(PIXEL_LABELS))
        return logits, np.zeros((1, 20, 20, 8), np.float32), np.full((1, 3), np.log(3), np.float32)  # of 0.75


def scene() -> tuple[FloatImage, Floats]:
    """A square hand at 500 mm before a wall, and joints of which wrist and middle MCP joint lie about its middle."""
    depth = np.full((240, 320), 900.0, np.float32)
    depth[80:160, 120:200] = 500.0
    joints = np.tile(np.array([0.0, 0.0, 500.0]), (21, 1))
    joints[WRIST, 1], joints[MIDDLE, 1] = 40.0, -40.0
    return depth, joints


def rendered(left: int) -> FloatImage:
    """The square alone, its left edge in a column."""
    depth = np.zeros((240, 320), np.float32)
    depth[80:160, left : left + 80] = 500.0
    return depth


def agreed(fitted: FloatImage) -> PixelAgreement:
    depth, joints = scene()
    found = pixel_agreement(depth, fitted, CAMERA, joints, 1.0, left=False, network=NearIsHand())
    assert found is not None
    return found


def test_a_right_fit_overlaps_with_the_network_and_a_moved_one_less() -> None:
    right, moved = agreed(rendered(120)), agreed(rendered(140))
    assert right.overlap == 1.0
    assert moved.overlap == pytest.approx(60 / 80, abs=0.02), "where the hand was fitted beside it, the wall is behind"
    assert right.presence == pytest.approx(0.75)


def test_a_fit_far_before_the_surface_does_not_show_it() -> None:
    assert agreed(rendered(120) * np.float32(0.9)).overlap == 0.0


def test_a_mirrored_image_of_a_left_hand_agrees_as_much() -> None:
    result = fit_result()
    depth, shown, camera = result.observation.depth_mm, result.fitted_depth_mm, result.camera
    one = pixel_agreement(depth, shown, camera, result.joints_mm, 1.0, left=False)
    depth, shown = (np.ascontiguousarray(image[:, ::-1]) for image in (depth, shown))
    joints = result.joints_mm * [-1.0, 1.0, 1.0]
    other = pixel_agreement(depth, shown, camera.mirrored(), joints, 1.0, left=True)
    assert one is not None
    assert other is not None
    assert astuple(other) == pytest.approx(astuple(one), abs=1e-9)


def test_the_shipped_network_agrees_with_a_fit_of_an_example_and_not_with_a_wall() -> None:
    result = fitted("pinch")
    depth, shown = result.observation.depth_mm, result.fitted_depth_mm
    found = pixel_agreement(depth, shown, result.camera, result.joints_mm, result.scale, left=False)
    assert found is not None
    assert found.presence > 0.9
    assert found.overlap > 0.75
    wall = np.full_like(depth, 600.0)
    nothing = pixel_agreement(wall, shown, result.camera, result.joints_mm, result.scale, left=False)
    assert nothing is not None
    assert nothing.presence < 0.1
    assert nothing.overlap < 0.2


def test_hardly_measured_images_show_no_palm_and_a_palm_behind_the_camera_is_nowhere() -> None:
    depth, joints = scene()
    empty = np.zeros_like(depth)
    found = pixel_agreement(empty, rendered(120), CAMERA, joints, 1.0, left=False, network=NearIsHand())
    assert found is not None
    assert found.presence == 0.0
    assert pixel_agreement(depth, empty, CAMERA, -joints, 1.0, left=False, network=NearIsHand()) is None


def test_the_likeliest_label_is_the_first_of_the_largest() -> None:
    logits = np.random.default_rng(0).integers(0, 3, (20, 30, len(PIXEL_LABELS))).astype(np.float32)
    for label in range(len(PIXEL_LABELS)):
        np.testing.assert_array_equal(_likeliest(logits, label), np.argmax(logits, axis=-1) == label)
