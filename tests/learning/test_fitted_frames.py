"""Frames that an adaptation fits: those without a hand are told with the reason, and do not say which hand it is."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from support.sequences import CAMERA, samples

from handopt.errors import HandoptError, ObservationError

pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[train]'")

from handopt.learning import fitted_frames
from handopt.learning.adapt import adapt
from handopt.learning.adapt_settings import AdaptSettings
from handopt.learning.fitted_frames import AdaptFrame


def test_frames_without_a_hand_are_counted_with_the_reason(tmp_path: Path) -> None:
    empty = AdaptFrame("empty.png", np.zeros((240, 320), np.float32), CAMERA)
    broken = dataclasses.replace(empty, name="broken.png", problem="broken.png: is damaged")

    def given() -> Iterable[AdaptFrame]:
        return [broken, empty, empty]

    with pytest.raises(ObservationError, match=r"0 of 3 frames show a hand, and 40 are needed.*the others mostly"):
        adapt(given, tmp_path / "none.npz", AdaptSettings(), hand="right", workers=0)
    with pytest.raises(HandoptError, match=r"none of the first 3 frames shows a hand.*or say which one it is.*hand="):
        adapt(given, tmp_path / "side.npz", AdaptSettings(), workers=0)


def test_frames_before_a_hand_is_seen_do_not_say_which_it_is() -> None:
    empty = AdaptFrame("empty.png", np.zeros((240, 320), np.float32), CAMERA)
    shown = [AdaptFrame("hand.png", each.counts.astype(np.float32), CAMERA) for each in samples()[:2]]
    given = iter([empty, empty, empty, *shown])
    assert fitted_frames.likely_side(given, 1, 0) == "right"
    assert len(list(given)) == 1, "one hand was enough"
