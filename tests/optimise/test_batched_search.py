"""Batched searches: responses are those that each would get alone, to the bit, in the order of their priorities."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.compare import assert_same_bits
from support.observation_factory import CPU, gather, near_poses, small_observation

from handopt.config import Config, LMSettings
from handopt.errors import NumericalError
from handopt.hand_model import Hand, Pose
from handopt.objective.least_squares import LeastSquares
from handopt.objective.targets import FitTargets
from handopt.optimise.batched_search import BatchedSearch, Extension, Request, Search, StageTimer
from handopt.optimise.pose_fit import fit_poses
from handopt.rig import default_rig

APPROACH = LMSettings(3, 20.0, points=60, vertices=200)
OTHER = replace(APPROACH, sigma_mm=10.0)
CONFIG = Config(crop_px=32, points=100)


@pytest.fixture(scope="module")
def hand() -> Hand:
    return Hand.of(default_rig("right"), CPU)


def evidence_of(*shifts: float) -> FitTargets:
    return gather(CONFIG, [(small_observation(shift), False) for shift in shifts], dtype=np.float32)


def poses(*images: int) -> Pose:
    return near_poses([0.1 * index for index in range(len(images))], images, dtype=np.float32)


def test_descents_and_costs_are_those_of_each_alone(hand: Hand) -> None:
    targets = [evidence_of(0.0), evidence_of(1.0, 2.0), evidence_of(3.0)]
    starts = [poses(0, 0, 0), poses(0, 1, 1, 0), poses(0)]
    recorded: dict[int, list[Any]] = {index: [] for index in range(3)}

    def search(index: int) -> Search[tuple[Pose, Any, Any]]:
        start = starts[index]

        def record(pose: Pose, terms: dict[str, Any]) -> None:
            recorded[index].append((pose.angles.copy(), terms["points"].copy()))

        _, costs = yield Request((0, 0), start, APPROACH, start.angles)
        pose, ends = yield Request((0, 1), start, APPROACH, start.angles, record)
        return pose, costs, ends

    together = BatchedSearch(hand, targets, CONFIG).run([search(index) for index in range(3)], timers(3))
    for index, found in enumerate(together):
        assert isinstance(found, tuple)
        problem = LeastSquares(hand.coarse(200), targets[index], CONFIG)
        start = starts[index]
        alone: list[Any] = []

        def keep(at: Pose, terms: dict[str, Any], kept: list[Any] = alone) -> None:
            kept.append((at.angles, terms["points"]))

        own = fit_poses(
            problem,
            start,
            APPROACH,
            keep,
            start.angles,
        )
        assert_same_bits(found[0].angles, own.state.angles, "angles")
        assert_same_bits(found[0].translation, own.state.translation, "translation")
        assert found[0].image.tolist() == start.image.tolist()
        assert_same_bits(found[1], problem.cost(start, APPROACH, start.angles), "costs before")
        assert_same_bits(found[2], own.cost, "costs after")
        assert len(recorded[index]) == APPROACH.iterations + 1
        for (angles, points), (own_angles, own_points) in zip(recorded[index], alone, strict=True):
            assert_same_bits(angles, own_angles, "recorded angles")
            assert_same_bits(points, own_points, "recorded points")


def test_joined_evidence_holds_each(hand: Hand) -> None:
    parts = [evidence_of(0.0), evidence_of(1.0, 2.0)]
    joined = FitTargets.joined(parts)
    assert len(joined.grids) == len(joined.points) == 3
    assert_same_bits(joined.points[1:], parts[1].points, "points")
    assert_same_bits(joined.target(3.5)[1:], parts[1].target(3.5), "padding renders nothing")


def test_those_that_are_behind_are_served_first_and_alike_ones_together(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[list[tuple[int, ...]]] = []
    answer = BatchedSearch._respond

    def watched(self: BatchedSearch, asks: dict[int, Request]) -> Any:
        served.append([(index, *ask.priority) for index, ask in asks.items()])
        return answer(self, asks)

    monkeypatch.setattr(BatchedSearch, "_respond", watched)
    start = poses(0)

    def search(turns: list[int], lm_settings: LMSettings = APPROACH) -> Iterator[Any]:
        for priority in turns:
            yield Request((priority,), start, lm_settings, start.angles)

    targets = [evidence_of(float(shift)) for shift in range(3)]
    searches: list[Any] = [search([0, 1, 2]), search([0, 2]), search([2], OTHER)]
    assert BatchedSearch(hand, targets, CONFIG).run(searches, timers(3)) == [None, None, None]
    assert served == [[(0, 0), (1, 0)], [(0, 1)], [(0, 2), (1, 2)], [(2, 2)]]


def test_an_error_ends_one_search_and_no_other(hand: Hand) -> None:
    start = poses(0)

    def fails() -> Search[str]:
        yield Request((0,), start, APPROACH, start.angles)
        raise NumericalError("no number")

    def goes_on() -> Search[str]:
        yield Request((0,), start, APPROACH, start.angles)
        yield Request((1,), start, APPROACH, start.angles)
        return "found"

    found = BatchedSearch(hand, [evidence_of(0.0), evidence_of(1.0)], CONFIG).run([fails(), goes_on()], timers(2))
    assert isinstance(found[0], NumericalError)
    assert found[1] == "found"


def test_a_clock_counts_its_own_time_and_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("handopt.optimise.batched_search.time.perf_counter", lambda: now)
    timer = StageTimer()
    now = 1.0
    timer.pause()
    now = 5.0  # another search is at work
    timer.resume()
    now = 7.0
    timer.pause()
    timer.add(0.5)
    timer.resume()
    timer.record("first")
    now = 8.0
    timer.record("second")
    timer.record("second")
    assert timer.seconds == {"first": 3.5, "second": 1.0}


def timers(count: int) -> list[StageTimer]:
    return [StageTimer() for _ in range(count)]


def test_a_search_may_add_images(hand: Hand) -> None:
    """Which follow its own, also where other searches have images behind them."""
    first, added, other = evidence_of(0.0), evidence_of(1.0), evidence_of(2.0, 3.0)

    def search() -> Search[Any]:
        yield Extension(added)
        start = poses(0, 1)
        _, costs = yield Request((0, 0), start, APPROACH, start.angles)
        return costs

    def alone() -> Search[Any]:
        start = poses(1, 0)
        _, costs = yield Request((0, 0), start, APPROACH, start.angles)
        return costs

    found = BatchedSearch(hand, [first, other], CONFIG).run([search(), alone()], timers(2))
    expected = []
    for targets, start in ((FitTargets.joined([first, added]), poses(0, 1)), (other, poses(1, 0))):
        expected.append(LeastSquares(hand.coarse(200), targets, CONFIG).cost(start, APPROACH, start.angles))
    for one, costs in zip(found, expected, strict=True):
        assert_same_bits(one, costs, "costs")
