"""The pipeline's arguments: hints, starts, rigs, and what is refused with which error; and fits that cannot be good."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.compare import assert_same_bits
from support.devices import set_cuda_problem
from support.examples import QUICK, example

from handopt.config import Config
from handopt.errors import (
    CameraError,
    ConfigError,
    DepthError,
    DeviceError,
    HandoptError,
    NumericalError,
    ObservationError,
    ShapeError,
)
from handopt.fitting import Start, fit
from handopt.input.camera import Camera
from handopt.input.depth import DepthImage
from handopt.rig import Rig, default_rig, load_rig
from handopt.rig.model import with_shape

Floats = NDArray[np.float64]

SMALL_IMAGE = DepthImage(np.ones((3, 3), np.float32), Path("a.png"), 1.0, ())
SMALL = Camera(475.0, 475.0, 159.5, 119.5, 320, 240, "test")
FEW = replace(QUICK, starts=4, stages=QUICK.stages[:1])


def two_hands() -> tuple[NDArray[np.float32], Camera]:
    """A hand in the left half of the image, and another one in the right half."""
    camera = example("pinch").camera
    pair = np.concatenate([example("pinch").depth_mm[:, 120:500], example("back").depth_mm[:, :520]], axis=1)
    return pair, replace(camera, width=pair.shape[1], cx=pair.shape[1] / 2 - 0.5)


def columns(result: Any) -> Floats:
    """Where the joints lie in the image."""
    return np.asarray(result.camera.project(result.joints_mm)[:, 0])


# ---------------------------------------------------------------------------------------------------- hints


@pytest.mark.parametrize(("box", "left"), [((0, 0, 380, 480), True), ((400, 0, 900, 480), False)])
def test_a_box_says_which_hand(box: tuple[int, ...], left: bool) -> None:
    depth, camera = two_hands()
    result = fit(depth, camera, box=box, config=QUICK, device="cpu")
    assert ((columns(result) < 390) == left).all()
    assert not result.observation.mask[:, 390:].any() if left else not result.observation.mask[:, :390].any()


def test_a_centre_says_which_hand() -> None:
    depth, camera = two_hands()
    for side in (slice(0, 390), slice(390, None)):
        half = np.zeros_like(depth)
        half[:, side] = depth[:, side]
        palm = fit(half, camera, config=FEW, device="cpu").observation.center_mm
        for center in (palm, camera.project(palm)):
            result = fit(depth, camera, center=center, config=FEW, device="cpu")
            assert np.linalg.norm(result.observation.center_mm - palm) < 15


def test_a_mask_is_taken_as_it_is() -> None:
    seen = example("open").fit(config=FEW).observation
    result = example("open").fit(mask=seen.mask, config=QUICK)
    assert not (result.observation.mask & ~seen.mask).any()
    assert result.observation.mask.sum() > 0.98 * seen.mask.sum()
    assert example("open").error_mm(result) < 15
    assert any("mask" in note for note in result.notes)


def test_a_start_replaces_the_fixed_starts() -> None:
    one = example("open")
    away = replace(one.truth, translation_mm=np.add(one.truth.translation_mm, [300.0, 0.0, 0.0]))
    near, far = (one.fit(start=start, config=FEW) for start in (one.truth, away))
    assert one.error_mm(near) < 8
    assert one.error_mm(far) > 100, "8 iterations do not lead back from 30 cm away, and no other start was tried"
    assert_same_bits(near.trace.angles_rad[0].astype(np.float32), np.array(one.truth.angles_rad, np.float32), "angles")


def test_a_start_serves_both_sides() -> None:
    result = example("left").fit(start=example("left").truth, hand="auto")
    assert result.hand == "left"
    assert example("left").error_mm(result) < 8


@pytest.mark.parametrize("side", ["right", "left"])
def test_auto_takes_a_rig_of_either_side(side: str) -> None:
    one = example("left")
    result = one.fit(start=one.truth, hand="auto", rig=default_rig(side))
    assert (result.hand, result.rig.side) == ("left", "left")
    same = one.fit(start=one.truth, hand="auto")
    assert_same_bits(result.joints_mm, same.joints_mm, "joints")


def test_another_rig_is_used_and_its_notes_are_told() -> None:
    rig = replace(load_rig(None, "right", limits="printed"), name="mine", notes=("A note on the rig.",))
    result = example("open").fit(rig=rig)
    assert result.rig is rig
    assert "A note on the rig." in result.notes
    index_mcp_flexion = result.trace.angles_rad[-1, 3, 2]
    assert index_mcp_flexion < rig.limits.upper[3, 2] + 0.2


def test_the_rig_says_which_hand_it_is() -> None:
    assert example("left").fit(rig=default_rig("left"), config=FEW).hand == "left"


def test_depth_may_be_of_any_real_type() -> None:
    one = example("open")
    expected = one.fit(config=FEW)
    for dtype in (np.uint16, np.float64):
        result = fit(one.depth_mm.astype(dtype), one.camera, config=FEW, device="cpu")
        assert_same_bits(result.joints_mm, expected.joints_mm, "joints")


# ---------------------------------------------------------------------------------------------------- refused


def start(**changes: Any) -> Start:
    return replace(example("open").truth, **changes)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"hand": "both"}, ConfigError, "hand: expected one of right, left, auto, got 'both'; change hand="),
        ({"shape": "bones"}, ConfigError, "shape: expected one of none, scale, proportions, vertices, got 'bones'"),
        ({"hand": "left", "rig": "right"}, ConfigError, "is a right hand; use hand='right' or another rig="),
        ({"hand": "right", "rig": "left"}, ConfigError, "is a left hand; use hand='left' or another rig="),
        ({"camera": "sr305"}, CameraError, "expected a handopt.Camera, got str; handopt.load_camera makes one"),
        ({"depth_mm": "hand.png"}, ShapeError, "got the name of a file, which handopt.read_depth reads"),
        (
            {"depth_mm": DepthImage(np.ones((3, 3), np.float32), Path("a"), 1.0, [])},
            ShapeError,
            "DepthImage; give its .depth_mm",
        ),
        ({"device": "gpu"}, DeviceError, "device='gpu' is not one of auto, cpu, cuda and cuda:N"),
        ({"device": "cuda:x"}, DeviceError, "is not one of auto, cpu"),
        (
            {"camera": SMALL},
            ShapeError,
            r"depth_mm: expected shape \(240, 320\) as in .* give camera.sized\(640, 480\)",
        ),
        ({"mask": np.ones((3, 3), bool)}, ShapeError, "mask: .*change mask="),
        ({"mask": np.ones((480, 640))}, ShapeError, "mask: .*change mask="),
        ({"mask": np.zeros((480, 640), bool)}, ObservationError, "check mask="),
        ({"box": (1, 2, 3)}, ShapeError, "box: expected 4 numbers"),
        ({"box": (300, 10, 200, 20)}, ObservationError, "box= needs x0 < x1 and y0 < y1"),
        ({"box": (700, 10, 900, 20)}, ObservationError, "lies outside of the 640 x 480 image; change box="),
        ({"center": (1.0,)}, ShapeError, "center: expected"),
        ({"center": (0.0, 0.0, -500.0)}, ObservationError, "center= needs z > 0"),
        ({"center": (0.0, 0.0, 4000.0)}, ObservationError, "change center="),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], error: type[HandoptError], message: str) -> None:
    one = example("open")
    arguments = {"depth_mm": one.depth_mm, "camera": one.camera, "device": "cpu", "config": FEW, **arguments}
    if "rig" in arguments:
        arguments["rig"] = default_rig(arguments["rig"])
    with pytest.raises(error, match=message):
        fit(**arguments)


def test_the_gpu_is_not_replaced_by_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cuda_problem(monkeypatch, "there is none")
    for name in ("cuda", "cuda:1"):
        with pytest.raises(DeviceError, match=f"device='{name}' cannot be used: there is none. Use device='cpu'"):
            example("open").fit(device=name)
    assert example("open").fit(device="auto", config=FEW).device == "cpu"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda depth: depth * 0, ObservationError, "nothing is measured"),
        (lambda depth: depth - 2000, DepthError, "depths must not be negative, check depth_mm="),
        (lambda depth: depth * 20, ObservationError, "check depth_mm="),
        (lambda depth: depth / 50, ObservationError, "check depth_mm="),
        (lambda depth: np.full_like(depth, 900), ObservationError, "no hand was found"),
        (lambda depth: depth.astype(complex), ShapeError, "depth_mm: expected an .* array of real numbers"),
        (lambda depth: depth[None], ShapeError, "depth_mm: expected shape"),
    ],
)
def test_images_without_a_hand(change: Any, error: type[HandoptError], message: str) -> None:
    with pytest.raises(error, match=message):
        fit(change(example("open").depth_mm), example("open").camera, device="cpu", config=FEW)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rotation": np.eye(2)}, r"start.rotation: expected finite numbers of shape \(3, 3\)"),
        ({"rotation": -np.eye(3)}, "start.rotation: expected a rotation matrix"),
        ({"rotation": 1.1 * np.eye(3)}, "start.rotation: expected a rotation matrix"),
        ({"translation_mm": [1.0, 2.0]}, r"start.translation_mm: expected finite numbers of shape \(3,\)"),
        ({"translation_mm": [np.nan, 0.0, 500.0]}, "start.translation_mm: expected finite numbers"),
        ({"angles_rad": np.zeros((15, 2))}, r"start.angles_rad: expected finite numbers of shape \(15, 3\)"),
        ({"angles_rad": np.full((15, 3), np.inf)}, "start.angles_rad: expected finite numbers"),
        ({"scale": [1.0, 2.0]}, "start.scale: expected finite numbers"),
        ({"scale": np.nan}, "start.scale: expected finite numbers"),
        ({"scale": 0.0}, "start.scale: expected a number from 0.6 to 1.6"),
        ({"scale": 1.7}, "start.scale: expected a number from 0.6 to 1.6"),
    ],
)
def test_starts_that_are_no_poses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        start(**changes)


# --------------------------------------------------------------------------------------------- numbers, status


def test_an_objective_that_is_no_number_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "handopt.objective.descent_objective.silhouette_loss", lambda points, *_: np.full(len(points), np.nan, "f4")
    )
    with pytest.raises(NumericalError, match="not finite for any pose; check depth_mm=, camera= and the weights"):
        example("open").fit()


def test_some_hypotheses_may_leave_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    from handopt.objective import descent_objective
    from handopt.ops.image_losses import silhouette_loss

    def spoiled(points: Any, *arguments: Any) -> Any:
        loss = silhouette_loss(points, *arguments)
        loss[1::2] = np.nan
        return loss

    monkeypatch.setattr(descent_objective, "silhouette_loss", spoiled)
    result = example("open").fit()
    assert np.isfinite(result.joints_mm).all()
    assert np.isfinite(result.history["total"]).all()


def flat_disc(column: int, radius: int = 100) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A disc of 20 cm, 450 mm away."""
    row, at = np.mgrid[: SMALL.height, : SMALL.width]
    mask = (at - column) ** 2 + (row - 120) ** 2 < radius**2
    return np.where(mask, 450.0, 900.0).astype(np.float32), mask


def test_a_bad_fit_says_so() -> None:
    depth, mask = flat_disc(160)
    result = fit(depth, SMALL, mask=mask, config=QUICK, device="cpu")
    assert result.status.startswith("The fit is doubtful: median residual ")
    assert "border" not in result.status
    assert result.silhouette_iou < 0.75


def test_a_hand_at_the_border_is_told() -> None:
    depth, mask = flat_disc(40)
    result = fit(depth, SMALL, mask=mask, config=QUICK, device="cpu")
    assert result.status.startswith("The fit is doubtful: ")
    assert result.status.endswith("; the hand touches the image border.")
    one = example("open")
    left = 295  # through the little finger
    cut = fit(
        np.ascontiguousarray(one.depth_mm[:, left:]), one.camera.cropped(left, 0, 640 - left, 480), config=QUICK,
        device="cpu",
    )  # fmt: skip
    assert "the hand touches the image border" in cut.status
    assert any("border" in note for note in cut.notes)


def test_a_fit_that_was_cut_short_says_so() -> None:
    result = example("open").fit(config=FEW)
    assert not result.converged
    assert "; it was still improving when the iterations ran out" in result.status


def test_a_fit_that_stands_still_has_converged() -> None:
    still = replace(QUICK.stages[-1], iterations=40, step=0.0)
    result = example("open").fit(start=example("open").truth, config=Config(solver="gradient", stages=(still,)))
    assert result.converged
    assert "still improving" not in result.status
    assert result.iterations < 20


# ---------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("rig", "known"),
    [
        (None, False),
        (default_rig("right"), False),
        (default_rig("right", "default"), False),
        (default_rig("right", "printed"), False),
        (with_shape(default_rig("right"), np.full(13, 0.05)), True),
    ],
    ids=["none", "default", "default limits", "printed limits", "personal"],
)
def test_only_the_size_of_a_personal_hand_is_known(
    rig: Rig | None, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands load the default hand with its limits by name: that makes it no other hand."""
    asked: list[bool] = []

    def recorded(*given: Any) -> list[Any]:
        asked.append(given[3])
        return []

    monkeypatch.setattr("handopt.fitting.other_readings", recorded)
    hard = replace(Config(), retry=0.0, proposals=8)  # a second search, which reads the image in other ways
    fit(example("pinch").depth_mm, example("pinch").camera, hand="right", rig=rig, config=hard, device="cpu")
    assert asked == [not known]
