"""What each pixel around a finished fit is, compared with what a rendered scene says of its pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import handopt
from handopt.evaluation import mask_scores
from handopt.input.pixel_labels import BACKGROUND, FOREARM, HAND, OBJECT, PIXEL_LABELS
from handopt.result import FitResult
from handopt.synth import WildSettings, generate_wild
from handopt.synth.generate import UNIT_MM
from handopt.typing import FloatImage, Mask

SEED, HELD, FREE = 90_411, 1, 5
"""Scenes of level wild that are fitted well: one with a held object, and one without."""


def scene(index: int, *, held: bool) -> tuple[FloatImage, Mask, handopt.Camera]:
    wild = generate_wild(WildSettings(seed=SEED, held=held), index)
    depth = wild.sample.counts.astype(np.float32) * np.float32(UNIT_MM)
    return depth, wild.mask, wild.sample.scene.camera


def mask_of(result: FitResult) -> Mask:
    return handopt.pixel_mask(result.observation, result.fitted_depth_mm, result.joints_mm)


@pytest.fixture(scope="module")
def holding() -> tuple[FitResult, Mask]:
    depth, truth, camera = scene(HELD, held=True)
    return handopt.fit(depth, camera), truth


def test_a_held_object_is_told_from_the_hand(holding: tuple[FitResult, Mask]) -> None:
    result, truth = holding
    scores = mask_scores(truth, mask_of(result))
    assert scores.hand_iou is not None
    assert scores.hand_iou > 0.85
    assert scores.object_apart is not None
    assert scores.object_apart > 0.85
    assert scores.object_found is not None
    assert scores.object_found > 0.7


def test_the_forearm_is_told_from_the_hand() -> None:
    depth, truth, camera = scene(FREE, held=False)
    result = handopt.fit(depth, camera)
    assert result.observation.holds is None
    mask = mask_of(result)
    assert set(np.unique(mask)) <= {BACKGROUND, HAND, FOREARM}, "as nothing is held"
    scores = mask_scores(truth, mask)
    assert scores.hand_iou is not None
    assert scores.hand_iou > 0.9
    assert ((mask == FOREARM) & (truth == FOREARM)).sum() > 0.5 * (truth == FOREARM).sum()


def test_the_hands_pixels_are_measured_and_near_the_fit(holding: tuple[FitResult, Mask]) -> None:
    result, _ = holding
    mask = mask_of(result)
    assert mask.shape == result.fitted_depth_mm.shape
    assert set(np.unique(mask)) <= set(PIXEL_LABELS.values())
    hand = mask == HAND
    assert (result.observation.depth_mm[hand] > 0).all()
    shown = hand & (result.fitted_depth_mm > 0)
    assert shown.sum() > 0.8 * hand.sum(), "the rest is at the silhouette"
    assert (np.abs(result.fitted_depth_mm - result.observation.depth_mm)[shown] < 40).all()


def test_masks_are_written_as_synth_writes_them(holding: tuple[FitResult, Mask], tmp_path: Path) -> None:
    result, _ = holding
    handopt.save(result, tmp_path / "held", masks=True, renders=False)
    read = np.asarray(Image.open(tmp_path / "held" / "mask.png"))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, mask_of(result))
    assert (read == OBJECT).any()
