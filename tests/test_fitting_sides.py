"""Right and left hands: fits of mirror images are mirror images."""

from dataclasses import replace

import numpy as np
import pytest
from support.compare import assert_close
from support.examples import QUICK, example, fitted
from support.observation_factory import mirrored

from handopt.config import Config, DescentStage
from handopt.fitting import fit
from handopt.observation.observe import observe
from handopt.rig.anatomy import MIRROR


@pytest.mark.parametrize("name", ["open", "left"])
def test_auto_takes_the_side_that_fits(name: str) -> None:
    result = fitted(name, "auto")
    assert result.hand == example(name).hand


@pytest.mark.parametrize("shape", ["scale", "vertices"])
def test_the_chosen_row_is_the_one_that_is_told(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hand that is tried as a right and as a left one, also where the choice falls on the second best."""
    best = example("open").fit(hand="auto", shape=shape)
    monkeypatch.setattr("handopt.optimise.search.most_plausible", lambda *_: 1)
    second = example("open").fit(hand="auto", shape=shape)
    assert {best.hand, second.hand} == {"right", "left"}
    assert second.terms["total"] > best.terms["total"]


@pytest.mark.parametrize(("name", "shape"), [("open", "scale"), ("left", "scale"), ("open", "vertices")])
def test_the_other_hand_in_a_mirror_is_fitted_alike(name: str, shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To float precision, where the observation is mirrored to the pixel."""
    result = example(name).fit(shape=shape)
    seen = [mirrored(observation) for observation in observe(example(name).depth_mm, example(name).camera)]
    monkeypatch.setattr("handopt.fitting.observe", lambda *_, **__: seen)
    camera = seen[0].camera
    other = {"right": "left", "left": "right"}[result.hand]
    depth = np.ascontiguousarray(example(name).depth_mm[:, ::-1])
    image = fit(depth, camera, hand=other, shape=shape, config=QUICK, device="cpu")
    assert image.hand == image.rig.side == other
    assert image.iterations == result.iterations
    assert_close(image.joints_mm * MIRROR, result.joints_mm, atol=1e-3, reason="columns S - 1 - x, rounded once more")
    assert_close(image.vertices_mm * MIRROR, result.vertices_mm, atol=1e-3, reason="columns, rounded once more")
    assert_close(image.angles_rad, result.angles_rad, atol=1e-5, reason="angles mean the same on both sides")
    assert_close(image.rest_mm * MIRROR, result.rest_mm, atol=1e-3, reason="the rest mesh is mirrored as well")
    flip = np.diag(MIRROR)
    assert_close(image.rotation, flip @ result.rotation @ flip, atol=1e-5, reason="conjugated by the mirror")
    assert image.scale == pytest.approx(result.scale, abs=1e-6)
    assert image.silhouette_iou == pytest.approx(result.silhouette_iou, abs=1e-3)
    assert_close(image.renders[:, :, ::-1], result.renders, atol=1e-3, reason="the same pixels, turned over")


def test_a_mirrored_image_is_found_as_well() -> None:
    """Through the observation of the mirrored image, which is the mirror image but for details."""
    first = example("open")
    camera = replace(first.camera, cx=first.camera.width - 1 - first.camera.cx)
    depth = np.ascontiguousarray(first.depth_mm[:, ::-1])
    result = fit(depth, camera, hand="left", config=QUICK, device="cpu")
    assert np.linalg.norm(result.joints_mm * MIRROR - first.joints_mm, axis=1).mean() < 10


def test_a_start_is_told_in_the_frame_of_its_own_hand() -> None:
    """From the true pose of a left hand, without steps to speak of, comes the true pose."""
    stages = (DescentStage(iterations=1, radius_px=4.0, sigma_mm=10.0, step=1e-6, top_k_out=1),)
    still = Config(solver="gradient", stages=stages, crop_px=64)
    for name in ("open", "left"):
        truth = example(name).truth
        result = example(name).fit(start=truth, config=still)
        assert_close(result.joints_mm, example(name).joints_mm, atol=0.02, reason="the file rounds to 0.01 mm")
        assert_close(result.rotation, np.array(truth.rotation), atol=1e-5, reason="float32")
        assert_close(result.translation_mm, np.array(truth.translation_mm), atol=1e-3, reason="float32")
