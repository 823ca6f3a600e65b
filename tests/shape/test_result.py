"""What a calibration returns: fits with the personal rig, lengths with deviations, plain values."""

import dataclasses
import json

import numpy as np
import pytest
from support.compare import assert_close
from support.factories import posed
from support.shape_cases import calibrated, smooth_offsets, template

from handopt.shape.bone_lengths import SHAPE_NAMES
from handopt.shape.measurements import MeasurementSet
from handopt.shape.result import ShapeResult, _by_offsets
from handopt.shape.state import HandShape


@pytest.fixture(scope="module")
def result() -> ShapeResult:
    return calibrated()


def test_every_fit_is_the_personal_rig_in_its_pose(result: ShapeResult) -> None:
    for fit in result.fits:
        vertices, joints = posed(result.rig, fit.angles_rad, fit.rotation, fit.translation_mm, fit.scale)
        assert fit.scale == 1.0
        assert_close(fit.vertices_mm, vertices, atol=2e-2, reason="float32 at 500 mm")
        assert_close(fit.joints_mm, joints, atol=2e-2, reason="float32 at 500 mm")


def test_histories_renders_and_traces_are_of_one_length(result: ShapeResult) -> None:
    count = len(result.history["total"])
    for fit in result.fits:
        assert fit.renders.shape[0] == count == fit.iterations == len(fit.trace.scale)
        assert {len(values) for values in fit.history.values()} == {count}
    assert list(dict.fromkeys(result.history["stage"])) == ["size", "proportions", "surface", "poses"]
    surface = result.history["total"][result.history["stage"] == "surface"]
    before = result.history["total"][result.history["stage"] == "proportions"]
    assert before[-1] <= before[0]
    assert surface[-1] <= surface[0]


def test_residuals_are_smaller_than_those_of_single_fits(result: ShapeResult) -> None:
    from support.shape_cases import single_fits

    alone = np.mean([single.fit.residual_mm["median"] for single in single_fits()])
    together = np.mean([fit.residual_mm["median"] for fit in result.fits])
    assert together < alone
    assert result.residual_mm["median"] < 2.0


def test_plain_values_are_json(result: ShapeResult) -> None:
    values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert values["format"] == "handopt.shape/1"
    assert set(values["measurements"]) == set(MeasurementSet.on(result.generic).names)
    assert [each["image"] for each in values["images"]] == ["0", "1", "2", "3"]
    assert values["shape"]["scale"] == result.scale
    assert values["rejected_images"] == []
    assert values["measurements"]["hand_length"]["deviation_mm"] > 0


def test_lengths_are_those_of_the_rig(result: ShapeResult) -> None:
    lengths = MeasurementSet.on(result.generic).lengths(result.rig)
    assert_close([each.value_mm for each in result.measurements], lengths, atol=1e-6, reason="rounding")
    deviations = np.array([each.deviation_mm for each in result.measurements])
    assert ((deviations > 0.1) & (deviations < 10)).all()


def test_derivatives_of_lengths_are_those_of_finite_differences() -> None:
    shape = HandShape(1.1, np.full(len(SHAPE_NAMES), 0.02), smooth_offsets(1.0))
    tape = MeasurementSet.on(template().rig)
    direction, step = smooth_offsets(1.0, 5), 1e-4
    ends = [
        tape.lengths(HandShape(1.1, shape.proportions, shape.offsets_mm + sign * step * direction).rig(template(), "x"))
        for sign in (-1, 1)
    ]
    slopes = _by_offsets(tape, template(), shape) @ direction.ravel()
    assert_close(slopes, (ends[1] - ends[0]) / (2 * step), atol=1e-6, reason="central differences of a smooth length")
    assert np.abs(slopes).max() > 0.1


def test_the_status_says_what_was_used(result: ShapeResult) -> None:
    assert result.status.startswith("A right hand from 4 images: median residual")
    assert "Doubtful" not in result.status


def test_the_status_says_which_fits_are_doubtful(result: ShapeResult) -> None:
    first, second, *others = result.fits
    fits = (first, dataclasses.replace(second, confidence=0.49), *others)
    status = dataclasses.replace(result, fits=fits).status
    assert f"Doubtful: 1 of 4 fits have a confidence below 0.5, such as that of {second.image}; look at them" in status
