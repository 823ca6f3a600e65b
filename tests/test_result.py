"""The JSON form of a result, and its schema."""

import copy
import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from support.factories import fit_result

from handopt.errors import OutputError
from handopt.result import FORMAT, plain, schema
from handopt.rig import ANGLE_NAMES, KEYPOINT_NAMES, PROPORTION_NAMES, default_rig, with_proportions


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema())


def described(part: dict[str, Any], where: str = "result") -> list[str]:
    """Names of the fields of a schema that say nothing, or that would let unknown fields pass."""
    bad = []
    for name, field in part.get("properties", {}).items():
        place = f"{where}.{name}"
        if len(field.get("description", "")) < 10:
            bad.append(place)
        if field.get("type") == "object" and "additionalProperties" not in field and place != "result.config":
            bad.append(f"{place} is open")
        bad += described(field, place)
    return bad


def test_the_schema_is_one_itself_and_describes_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert schema()["additionalProperties"] is False
    assert described(schema()) == []


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_result_follows_the_schema(side: str, validator: jsonschema.Draft202012Validator) -> None:
    document = json.loads(fit_result(side).to_json())
    validator.validate(document)
    assert set(document) == set(schema()["required"])


def test_a_result_without_a_file_or_an_overlap_follows_the_schema(validator: jsonschema.Draft202012Validator) -> None:
    nothing = dict.fromkeys(("median", "mean", "p95"), math.nan)
    result = fit_result(image=None, residual_mm=nothing, silhouette_iou=np.float32("nan"), terms={"depth": math.inf})
    document = json.loads(result.to_json())
    validator.validate(document)
    assert document["image"] is None
    assert document["residual_mm"] == dict.fromkeys(nothing)
    assert document["silhouette_iou"] is None
    assert document["terms"] == {"depth": None}


def test_the_document_holds_the_values() -> None:
    result = fit_result(rest_mm=fit_result().rest_mm + np.array([3.0, 0.0, 4.0]))
    document = result.to_dict()
    assert document["format"] == FORMAT == "handopt.result/1"
    assert document["keypoints"] == list(KEYPOINT_NAMES)
    assert document["camera"] == result.camera.to_dict()
    np.testing.assert_array_equal(document["joints_mm"], result.joints_mm)
    np.testing.assert_array_equal(document["pose"]["rotation"], result.rotation)
    np.testing.assert_array_equal(document["pose"]["translation_mm"], result.translation_mm)
    assert list(document["pose"]["angles_rad"]) == list(ANGLE_NAMES)
    np.testing.assert_array_equal(document["pose"]["angles_rad"]["index_pip"], result.angles_rad[4])
    assert document["shape"]["vertices"] == len(result.rig.rest_mm)
    assert document["shape"]["vertex_offset_mm"] == pytest.approx({"mean": 5.0, "max": 5.0})
    assert document["notes"] == list(result.notes)


def test_versions_are_asked_for_when_they_are_needed() -> None:
    asked: list[int] = []

    def versions() -> dict[str, str]:
        asked.append(1)
        return {"handopt": "1"}

    result = dataclasses.replace(fit_result(), versions=versions)
    assert not asked
    assert copy.copy(result).versions == result.to_dict()["versions"] == {"handopt": "1"}
    assert len(asked) == 1


def test_proportions_are_told_by_name(validator: jsonschema.Draft202012Validator) -> None:
    assert fit_result().to_dict()["shape"]["proportions"] == {}
    drawn = np.linspace(-0.1, 0.1, len(PROPORTION_NAMES))
    rest = with_proportions(default_rig("right"), drawn).rest_mm
    document = fit_result(shape_kind="proportions", proportions=drawn, rest_mm=rest).to_dict()
    validator.validate(document)
    assert list(document["shape"]["proportions"]) == list(PROPORTION_NAMES)
    assert list(document["shape"]["proportions"].values()) == drawn.tolist()
    assert document["shape"]["vertex_offset_mm"] == pytest.approx({"mean": 0.0, "max": 0.0}), "of the rig that has them"


def test_the_text_is_strict_json_with_a_row_of_numbers_per_line() -> None:
    result = fit_result(image="Bücher/[1,\n2].png", angles_rad=np.full((15, 3), np.nan))
    text = result.to_json()
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert document == result.to_dict()
    assert text.endswith("}\n")
    assert '"index_mcp": [null, null, null]' in text
    assert max(len(line) for line in text.splitlines()) < 200
    assert len(text.splitlines()) < 200


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda d: d.pop("seed"), []),
        (lambda d: d.update(extra=1), []),
        (lambda d: d.update(format="handopt.result/2"), ["format"]),
        (lambda d: d.update(hand="both"), ["hand"]),
        (lambda d: d["joints_mm"].pop(), ["joints_mm"]),
        (lambda d: d["joints_mm"][3].append(0.0), ["joints_mm", 3]),
        (lambda d: d["keypoints"].reverse(), ["keypoints"]),
        (lambda d: d["camera"].update(fx=0), ["camera", "fx"]),
        (lambda d: d["camera"].update(width=320.5), ["camera", "width"]),
        (lambda d: d["pose"]["angles_rad"].pop("thumb_ip"), ["pose", "angles_rad"]),
        (lambda d: d["pose"]["angles_rad"].update(thumb_tip=[0, 0, 0]), ["pose", "angles_rad"]),
        (lambda d: d["shape"].update(kind="bones"), ["shape", "kind"]),
        (lambda d: d["shape"]["proportions"].update(palm_width=-1), ["shape", "proportions", "palm_width"]),
        (lambda d: d["residual_mm"].update(median="1 mm"), ["residual_mm", "median"]),
        (lambda d: d.update(silhouette_iou=1.5), ["silhouette_iou"]),
        (lambda d: d["seconds"].update(fit=-1), ["seconds", "fit"]),
        (lambda d: d["versions"].update(numpy=2), ["versions", "numpy"]),
    ],
)
def test_the_schema_rejects_a_wrong_result(change, path, validator: jsonschema.Draft202012Validator) -> None:
    document = copy.deepcopy(fit_result().to_dict())
    change(document)
    errors = list(validator.iter_errors(document))
    assert [list(error.absolute_path) for error in errors] == [path]


def test_plain_turns_everything_into_json_values() -> None:
    value = {
        "path": Path("a") / "b",
        "numbers": (np.float32(0.5), np.int64(3), np.bool_(True), float("-inf")),
        "array": np.array([[1.0, np.nan]]),
        "set": {1},
        7: None,
    }
    assert plain(value) == {
        "path": str(Path("a/b")),
        "numbers": [0.5, 3, True, None],
        "array": [[1.0, None]],
        "set": [1],
        "7": None,
    }
    with pytest.raises(TypeError, match="object"):
        plain(object())


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_result_as_a_table(side: str) -> None:
    result = fit_result(side)
    table = result.to_frame()
    assert list(table["joint"]) == list(KEYPOINT_NAMES)
    np.testing.assert_allclose(table[["x_mm", "y_mm", "z_mm"]], result.joints_mm)
    x, y, z = np.asarray(result.joints_mm, np.float64).T
    np.testing.assert_allclose(table["u_px"], result.camera.fx * x / z + result.camera.cx, rtol=1e-6)
    np.testing.assert_allclose(table["v_px"], result.camera.fy * y / z + result.camera.cy, rtol=1e-6)
    assert list(table["joint_visible"]) == result.joint_visible.tolist()
    assert set(table["hand"]) == {side}
    assert set(table["confidence"]) == {result.confidence}


def test_a_result_as_a_figure(tmp_path: Path) -> None:
    result = fit_result("left")
    figure = result.plot()
    depth, fitted, scale = figure.axes
    assert (depth.get_title(), fitted.get_title()) == ("observed depth and joints", "fitted depth")
    assert scale.get_ylabel() == "depth, mm"
    assert len(depth.lines) == 20
    drawn = np.concatenate([line.get_xydata() for line in depth.lines])
    joints = result.camera.project(result.joints_mm)
    assert all(np.isclose(drawn, joint).all(axis=1).any() for joint in joints)
    assert "left hand" in figure.get_suptitle()
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_missing_extras_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, extra in (("pandas", "tables"), ("matplotlib", "plots")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(OutputError, match=rf"needs {module}, which is not installed: pip install '\.\[{extra}\]'"):
            fit_result().to_frame() if module == "pandas" else fit_result().plot()
