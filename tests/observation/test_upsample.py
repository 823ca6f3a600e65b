"""From a subsampled image back to pixels."""

from typing import Any

import numpy as np
import pytest
from support.scenes import ARM, CAMERA, HAND, WALL, Scene, open_hand

from handopt.input.subsample import subsampled, subsampled_camera
from handopt.observation.palm_proposals import propose_palms
from handopt.observation.segmentation import grow
from handopt.observation.surfaces import drop_flying, segment_surfaces
from handopt.observation.upsample import in_pixels

FOCAL = 475.0


def hand_in(depth: Any, step: int) -> tuple[Any, Any, Any]:
    """Depth, mask and arm of the best candidate of an image subsampled by step."""
    frame = segment_surfaces(subsampled(depth, step), subsampled_camera(CAMERA, step))
    grown = [reading for palm in propose_palms(frame) for reading in grow(frame, palm, 400.0)]
    return in_pixels(max(grown, key=lambda candidate: candidate.score), depth, CAMERA, step)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_the_hand_is_found_to_the_pixel(step: int) -> None:
    scene, photograph = open_hand()
    depth = photograph.astype(np.float32)
    clean, mask, arm = hand_in(depth, step)
    rows = np.arange(480)[:, None]
    hand = (scene.labels == HAND) & (clean > 0) & (rows < 280)  # the wrist is at row 287
    assert mask[hand].mean() > 0.998
    assert np.isin(scene.labels[mask], (HAND, ARM)).mean() > 0.999
    assert arm[(scene.labels == ARM) & (clean > 0) & (rows > 330) & (rows < 380)].mean() > 0.99
    assert not (mask & arm).any()
    assert (clean[mask] == depth[mask]).all()
    assert not mask[clean == 0].any()


def test_steps_agree() -> None:
    depth = open_hand()[1].astype(np.float32)
    masks = [hand_in(depth, step)[1] & (np.arange(480) < 280)[:, None] for step in (1, 2, 4)]
    for other in masks[1:]:
        assert np.count_nonzero(masks[0] ^ other) < 0.005 * np.count_nonzero(masks[0])


def test_flying_pixels_are_dropped_around_the_hand() -> None:
    scene, _ = open_hand()
    depth = scene.photograph(flying=0.9).astype(np.float32)
    clean, mask, _ = hand_in(depth, 2)
    expected = drop_flying(depth, FOCAL)
    np.testing.assert_array_equal(clean[100:380, 180:460], expected[100:380, 180:460])
    truth = np.abs(clean - scene.depth_mm)[mask & (scene.labels == HAND)]
    assert np.percentile(truth, 99.5) < 30.0


@pytest.mark.parametrize("x_mm", [-275.0, 275.0])
def test_the_hand_reaches_the_border(x_mm: float) -> None:
    scene = Scene()
    scene.hand((x_mm, 0.0, 450.0))
    scene.plane(np.array([0.0, 0.0, 1.0]), 900.0, WALL)
    clean, mask, _ = hand_in(scene.photograph(flying=0.0).astype(np.float32), 2)
    edge = np.s_[:250, :4] if x_mm < 0 else np.s_[:250, -4:]
    hand = (scene.labels == HAND) & (clean > 0)
    assert hand[edge].sum() > 50
    assert mask[edge][hand[edge]].mean() > 0.97
