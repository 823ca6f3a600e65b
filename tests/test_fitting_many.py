"""Several images through the kernels together: each result is that of the image alone, to the bit."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.compare import assert_same_bits
from support.examples import QUICK, example
from support.op_check import Place

from handopt.config import Config
from handopt.errors import ConfigError, DeviceError, NumericalError, ObservationError, ShapeError
from handopt.fitting import FitInput, fit, fit_many
from handopt.optimise.batched_search import BatchedSearch
from handopt.result import FitResult
from handopt.rig import default_rig

NAMES = ("open", "left", "pinch", "back")
ARRAYS = ("joints_mm", "vertices_mm", "angles_rad", "rotation", "rest_mm", "renders", "target", "joint_uncertainty_mm")


def given(name: str, **changes: Any) -> FitInput:
    one = example(name)
    return FitInput(**{"depth_mm": one.depth_mm, "camera": one.camera, "hand": one.hand, "image": name, **changes})


def assert_same_fit(one: object, other: object) -> None:
    assert isinstance(one, FitResult)
    assert isinstance(other, FitResult)
    for name in ARRAYS:
        assert_same_bits(getattr(one, name), getattr(other, name), name)
    assert one.history.keys() == other.history.keys()
    for name, values in one.history.items():
        assert_same_bits(values, other.history[name], name)
    for name in ("hand", "status", "confidence", "unexplained_fraction", "terms", "iterations", "image", "notes"):
        assert getattr(one, name) == getattr(other, name), name
    for own, theirs in zip(one.alternatives, other.alternatives, strict=True):
        assert_same_bits(own.joints_mm, theirs.joints_mm, "alternatives")


def test_results_are_those_of_each_image_alone(device: Place) -> None:
    """Both sides, images of which some are searched twice and some have fingers redrawn, other sizes and hints."""
    one = example("pinch")
    camera = replace(one.camera, height=one.camera.height - 8)
    images = [
        *(given(name) for name in NAMES),
        given("back", hand="auto"),
        given("pinch", depth_mm=one.depth_mm[:-8], camera=camera),
        given("pinch", start=one.truth),
        given("open", box=(0, 0, one.camera.width, one.camera.height)),
    ]
    rounds = tuple(replace(each, skip_below=0.08 if each.skip_below else 0.0) for each in Config().rounds)
    config = replace(Config(), proposals=24, retry=0.07, rounds=rounds)
    place = str(device.device)
    together = list(fit_many(images, config=config, device=place))
    for image, result in zip(images, together, strict=True):
        if device.device.kind == "cpu":
            assert_same_fit(result, fit(**vars(image), config=config, device=place))
        else:  # sums in no fixed order
            assert isinstance(result, FitResult)
            assert example(str(image.image)).error_mm(result) < 15
    results = [result for result in together if isinstance(result, FitResult)]
    assert len({result.iterations for result in results}) > 1, "not all had fingers redrawn"
    fractions = [result.limb_fraction for result in results]
    assert min(fractions) < config.retry < max(fractions), "not all were searched twice"


@pytest.mark.parametrize("settings", [{"config": QUICK}, {"config": QUICK, "shape": "vertices"}, {"shape": "none"}])
def test_every_solver_and_shape_can_do_it(settings: dict[str, Any]) -> None:
    images = [given("open"), given("left")]
    images.append(given("pinch"))
    for image, result in zip(images, fit_many(images, device="cpu", seed=3, batch=2, **settings), strict=True):
        assert_same_fit(result, fit(**vars(image), device="cpu", seed=3, **settings))


def test_an_image_that_cannot_be_fitted_has_its_error_and_the_others_their_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from handopt.optimise.tournament import Tournament

    search = Tournament.search

    def spoilt(self: Tournament, starts: Any, expected: Any) -> Any:
        if self.side is None:  # the one whose hand is not known
            starts.translation[:] = np.nan
        return search(self, starts, expected)

    monkeypatch.setattr(Tournament, "search", spoilt)
    images: list[Any] = [
        given("open"),
        given("open", depth_mm=np.zeros_like(example("open").depth_mm)),
        given("back", depth_mm=np.zeros((3, 4))),
        given("open", hand="auto"),
        given("left"),
        example("open").depth_mm,
    ]
    found = list(fit_many(images, config=replace(Config(), proposals=8), device="cpu"))
    kinds = [type(each) for each in found]
    assert kinds == [FitResult, ObservationError, ShapeError, NumericalError, FitResult, ShapeError]
    assert [each.image for each in found if isinstance(each, FitResult)] == ["open", "left"]


def test_images_of_the_same_hand_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    run = BatchedSearch.run

    def watched(self: BatchedSearch, searches: Any, timers: Any) -> Any:
        sizes.append(len(searches))
        return run(self, searches, timers)

    monkeypatch.setattr(BatchedSearch, "run", watched)
    own = default_rig("left").mirrored()
    images = [
        given("left"),
        given("open"),
        given("left"),
        given("open", rig=own),
        given("open"),
        given("open", rig=own),
    ]
    assert len(list(fit_many(images, config=replace(Config(), proposals=8), device="cpu"))) == 6
    assert sorted(sizes) == [2, 4], "a left hand is fitted as the right hand that is its mirror image"


def test_images_are_taken_as_they_are_needed() -> None:
    taken = []

    def images() -> Iterator[FitInput]:
        for name in ("open", "left", "pinch"):
            taken.append(name)
            yield given(name)

    results = fit_many(images(), config=QUICK, device="cpu", batch=1)
    assert taken == []
    assert isinstance(next(results), FitResult)
    assert taken == ["open"]


def test_seconds_are_shared_out() -> None:
    images = [given("open"), given("open")]
    one, other = fit_many(images, device="cpu")
    assert isinstance(one, FitResult)
    assert isinstance(other, FitResult)
    assert set(one.seconds) == {"observe", "targets", "starts", "tournament", "choose", "measure"}
    ratio = one.seconds["tournament"] / other.seconds["tournament"]
    assert 0.2 < ratio < 5, "they do the same"


def test_nothing_is_nothing_and_settings_are_checked_at_once() -> None:
    assert list(fit_many([])) == []
    for settings, error in (
        ({"shape": "odd"}, ConfigError),
        ({"seed": -1}, ConfigError),
        ({"batch": 0}, ConfigError),
        ({"device": "odd"}, DeviceError),
    ):
        with pytest.raises(error):
            fit_many([], **settings)
