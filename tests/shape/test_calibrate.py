"""A hand from several images is nearer to the truth than the generic one, and what does not belong is left out."""

from dataclasses import replace
from pathlib import Path

import bench_shape
import numpy as np
import pytest
from support.rig_files import HandFile
from support.shape_cases import CPU, SETTINGS, calibrated, frames, samples, single_fits

from handopt.config import Config
from handopt.errors import ConfigError, ObservationError, RigError
from handopt.rig import default_rig, load_rig
from handopt.shape import ShapeInput, calibrate, fit_shape, surface_refinement
from handopt.shape.calibrate import ShapeStages, worst_outlier
from handopt.shape.mesh_validity import MeshValidity
from handopt.synth.generate import true_rig

RIG = default_rig()
TRUTH = true_rig(SETTINGS)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two iterations are enough where accuracy is not the point."""
    monkeypatch.setattr(calibrate, "SURFACE", replace(calibrate.SURFACE, iterations=2))


def test_the_rest_shape_is_near_the_truth() -> None:
    result = calibrated()
    covered = result.frontal_views >= 0.2
    assert 0.3 < result.coverage < 1.0
    generic = bench_shape.surface_error(RIG, TRUTH, np.ones(len(covered), np.bool_))
    sized = replace(RIG, rest_mm=result.scale * RIG.rest_mm)
    error = bench_shape.rest_error(result, TRUTH)
    assert error < 1.5
    assert error < 0.8 * bench_shape.surface_error(sized, TRUTH, covered)
    assert error < 0.7 * generic


def test_the_hand_is_sound_and_right() -> None:
    result = calibrated()
    assert result.rig.side == "right"
    assert len(result.fits) == 4
    assert result.rejected_images == ()
    assert MeshValidity(result.scale * RIG.rest_mm, RIG.faces.astype(np.int64)).defects(result.rig.rest_mm).valid


@pytest.mark.usefixtures("quick")
def test_the_mirror_image_gives_the_mirrored_hand() -> None:
    right = fit_shape(frames(count=1), device="cpu")
    left = fit_shape(frames("left", count=1), hand="left", device="cpu")
    assert left.rig.side == "left"
    flip = np.array([-1.0, 1.0, 1.0])
    off = np.linalg.norm(left.rig.rest_mm * flip - right.rig.rest_mm, axis=1)
    assert np.median(off) < 0.3
    assert off.max() < 2.0
    for one, other in zip(left.fits, right.fits, strict=True):
        assert np.linalg.norm(one.joints_mm * flip - other.joints_mm, axis=1).mean() < 3.0


@pytest.mark.usefixtures("quick")
def test_the_same_images_give_the_same_hand() -> None:
    first, again = (fit_shape(frames(count=1), device="cpu") for _ in range(2))
    assert np.array_equal(first.rig.rest_mm, again.rig.rest_mm)
    assert len(first.fits) == 1


def test_a_wrong_pose_among_many_is_left_out_and_named() -> None:
    stages = ShapeStages.of(RIG, CPU, Config(), 0)
    wrong = single_fits()[2]
    angles = wrong.fit.angles_rad.copy()
    angles[3:, 2] += 1.3  # a fist where there is none
    turned = replace(
        wrong, fit=replace(wrong.fit, angles_rad=angles, rotation=wrong.fit.rotation @ np.diag([-1, 1, -1]))
    )
    _, rejected = stages.consistent([*single_fits()[:2], turned, single_fits()[3]], 4)
    assert [each.image for each in rejected] == ["2"]
    assert "does not fit in" in rejected[0].reason


def test_two_images_that_do_not_fit_together_are_refused() -> None:
    stages = ShapeStages.of(RIG, CPU, Config(), 0)
    second = single_fits()[1]
    away = second.fit.translation_mm + np.array([0.0, 0.0, 150.0])
    far = replace(second, fit=replace(second.fit, translation_mm=away))
    with pytest.raises(ObservationError, match="do not show one hand in poses that can be found: 1: "):
        stages.consistent([single_fits()[0], far], 2)


@pytest.mark.parametrize(
    ("shares", "own", "odd"),
    [
        ([0.15, 0.16, 0.14, 0.15], [0.15, 0.17, 0.13, 0.16], None),
        ([0.15, 0.16, 0.40, 0.15], [0.15, 0.17, 0.39, 0.16], 2),  # a wrong pose, which its own fit has as well
        ([0.15, 0.16, 0.14, 0.24], [0.15, 0.17, 0.13, 0.17], 3),  # another hand
        ([0.15, 0.30, 0.29, 0.15], [0.15, 0.29, 0.28, 0.16], None),  # images that are hard to explain
        ([0.15, 0.25, 0.14, 0.28], [0.15, 0.17, 0.13, 0.17], 3),  # the worse of two
    ],
)
def test_the_one_that_fits_in_worst_is_found(shares: list[float], own: list[float], odd: int | None) -> None:
    images = [
        replace(single_fits()[0], name=str(number), fit=replace(single_fits()[0].fit, unexplained_fraction=value))
        for number, value in enumerate(own)
    ]
    found = worst_outlier(images, np.array(shares))
    assert (None if found is None else found.image) == (None if odd is None else str(odd))


@pytest.mark.usefixtures("quick")
def test_another_persons_hand_is_left_out_and_named() -> None:
    sample = samples(subject=8, count=1)[0]
    tall = ShapeInput("tall", sample.counts.astype(np.float32), sample.scene.camera)
    result = fit_shape([*frames(count=3), tall], device="cpu")
    assert [each.image for each in result.rejected_images] == ["tall"]
    assert len(result.fits) == 3


@pytest.mark.parametrize(
    ("tolerance", "status"), [(0.9, "Converged after 1 iteration."), (0.0, "Ended after the 2 iter")]
)
@pytest.mark.usefixtures("quick")
def test_progress_reaches_its_total_and_the_result_says_how_it_ended(
    tolerance: float, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surface_refinement, "SCHEDULE", replace(surface_refinement.SCHEDULE, tolerance=tolerance))
    told: dict[str, list[tuple[int, int]]] = {}
    result = fit_shape(
        frames(count=1),
        device="cpu",
        progress=lambda what, done, total: told.setdefault(what, []).append((done, total)),
    )
    assert told.keys() == {"images", "surface"}
    for steps in told.values():
        assert steps == sorted(set(steps))
        assert len({total for _, total in steps}) == 1
        assert steps[-1][0] == steps[-1][1]
    assert result.surface_status.startswith(status)
    assert result.status.endswith(f" of the skin seen. {result.surface_status}")
    assert [each.converged for each in result.fits] == [tolerance > 0]
    assert ("still improving" in result.fits[0].status) is (tolerance == 0)


def test_single_fits_without_proportions_are_refused_before_any_work() -> None:
    def no_image(*_: object) -> None:
        raise AssertionError("an image was fitted")

    with pytest.raises(ConfigError, match=r"solver 'gradient' leaves out proportions.*use solver 'auto' or 'lm'"):
        fit_shape(frames(count=1), config=Config(solver="gradient"), device="cpu", progress=no_image)
    fixed = Config(
        rounds=tuple(
            replace(each, lm_settings=replace(each.lm_settings, proportions=each.skip_below > 0))
            for each in Config().rounds
        )
    )
    assert any(each.lm_settings.proportions for each in fixed.rounds)
    with pytest.raises(
        ConfigError, match=r"no round that is always run frees proportions.*set lm_settings\.proportions"
    ):
        fit_shape(frames(count=1), config=fixed, device="cpu", progress=no_image)


def test_nothing_to_see_is_an_error() -> None:
    frame = frames()[0]
    with pytest.raises(ObservationError, match="none of the images"):
        fit_shape([ShapeInput("wall", np.full_like(frame.depth_mm, 800.0), frame.camera)], device="cpu")


def test_a_rig_without_weights_is_no_beginning(tmp_path: Path) -> None:
    file = HandFile.default()
    file.with_weights = False
    with pytest.raises(RigError, match="no skinning weights"):
        load_rig(file.write(tmp_path / "bare.glb"))
