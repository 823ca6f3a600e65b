"""Batched searches: what several searches request at the same time is computed in one batch.

A search is a generator that yields a Request and is sent the Response. Poses are computed independently of each other:
on the CPU, responses are bit-identical regardless of what else is in the batch.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from handopt.backend import Array, namespace, one_cpu_thread, to_device, to_numpy
from handopt.config import Config, LMSettings
from handopt.errors import HandoptError
from handopt.hand_model import Hand, Pose
from handopt.objective.least_squares import LeastSquares
from handopt.objective.targets import FitTargets
from handopt.optimise.pose_fit import fit_poses
from handopt.typing import Reals

RecordPose = Callable[[Pose, dict[str, Reals]], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """Poses of a search's own images that are to be fitted, or only evaluated.

    priority: requests with the lowest priority are served first, and those with the same one together
    expected: (B, 15, 3) rad, the angles that the pose prior expects of each pose
    record: called with the poses, and their terms on the host, at the start and after every iteration of a fit; None
    requests the costs of the poses as they are
    """

    priority: tuple[int, ...]
    pose: Pose
    lm_settings: LMSettings
    expected: Array
    record: RecordPose | None = None

    @property
    def kind(self) -> tuple[Any, ...]:
        """Requests of the same kind can be computed together."""
        return self.priority, self.lm_settings, self.record is None, self.pose.proportions.shape[1]


@dataclass(frozen=True)
class Extension:
    """Further images of a search, which follow those that it has. It is sent None."""

    targets: FitTargets


Response = tuple[Pose, Reals] | None
"""The fitted poses, and their costs (B,) on the host."""
Search = Generator[Request | Extension, Any, Result]


class StageTimer:
    """Seconds that each stage of one search took, its share of batches included."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open = 0.0
        self.resume()

    def resume(self) -> None:
        """Start the timer again."""
        self._since = time.perf_counter()

    def pause(self) -> None:
        """Stop the timer."""
        now = time.perf_counter()
        self._open += now - self._since
        self._since = now

    def add(self, seconds: float) -> None:
        """Add the search's share of a batch."""
        self._open += seconds

    def record(self, stage: str) -> None:
        """Add the time since the last record to a stage."""
        self.pause()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + self._open
        self._open = 0.0


class BatchedSearch:
    """Runs searches side by side, each with images of its own."""

    def __init__(
        self, hand: Hand, targets: Sequence[FitTargets], config: Config, joined: FitTargets | None = None
    ) -> None:
        """hand: with all its vertices, of which LMSettings may take fewer; targets: of each search.

        joined: those of all searches, where they have been joined already
        """
        self._hand, self._config = hand, config
        self._targets = joined or (targets[0] if len(targets) == 1 else FitTargets.joined(targets))
        ends = np.cumsum([len(each.grids) for each in targets])
        self._images = [np.arange(end - len(each.grids), end) for end, each in zip(ends, targets, strict=True)]
        self._problems: dict[tuple[int, int], LeastSquares] = {}

    def run(self, searches: Sequence[Search[Result]], timers: Sequence[StageTimer]) -> list[Result | HandoptError]:
        """What each search returns, or the error that ended it. timers: of each search."""
        results: dict[int, Result | HandoptError] = {}
        requested: dict[int, Request] = {}

        def advance(index: int, response: Response | None) -> None:
            timers[index].resume()
            try:
                wanted = searches[index].send(response)
                while isinstance(wanted, Extension):
                    self._extend(index, wanted.targets)
                    wanted = searches[index].send(None)
                requested[index] = wanted
            except StopIteration as end:
                results[index] = end.value
            except HandoptError as error:
                results[index] = error
            timers[index].pause()

        for index in range(len(searches)):
            advance(index, None)
        while requested:
            first = min(requested, key=lambda index: (requested[index].priority, index))
            served = [index for index in sorted(requested) if requested[index].kind == requested[first].kind]
            requests = {index: requested.pop(index) for index in served}
            started = time.perf_counter()
            responses = self._respond(requests)
            per_pose = (time.perf_counter() - started) / sum(len(request.pose) for request in requests.values())
            for (index, request), response in zip(requests.items(), responses, strict=True):
                timers[index].add(per_pose * len(request.pose))
                advance(index, response)
        return [results[index] for index in range(len(searches))]

    def _respond(self, requests: dict[int, Request]) -> list[Response]:
        """Compute requests of one kind in one batch, and split it again."""
        xp = namespace(self._hand.device)
        first = next(iter(requests.values()))
        ends = np.cumsum([len(each.pose) for each in requests.values()])
        parts = [slice(end - len(each.pose), end) for end, each in zip(ends, requests.values(), strict=True)]
        pose = Pose.all_of([each.pose for each in requests.values()])
        images = [self._images[index][to_numpy(each.pose.image)] for index, each in requests.items()]
        pose.image = to_device(np.concatenate(images), self._hand.device, np.int32)
        expected = xp.concatenate([each.expected for each in requests.values()])

        def part_of(joined: Pose, index: int, part: slice) -> Pose:
            return replace(joined.part(part), image=requests[index].pose.image)

        def record(at: Pose, terms: dict[str, Array]) -> None:
            host = {name: to_numpy(term) for name, term in terms.items()}
            for (index, each), part in zip(requests.items(), parts, strict=True):
                assert each.record is not None
                each.record(part_of(at, index, part), {name: term[part] for name, term in host.items()})

        problem = self._problem(first.lm_settings)
        with one_cpu_thread(poses_side_by_side=True):
            if first.record is None:
                cost = problem.cost(pose, first.lm_settings, expected)
            else:
                found = fit_poses(problem, pose, first.lm_settings, record, expected, linearised=False)
                pose, cost = found.state, found.cost
        costs = to_numpy(cost)
        return [(part_of(pose, index, part), costs[part]) for index, part in zip(requests, parts, strict=True)]

    def _extend(self, index: int, targets: FitTargets) -> None:
        """Add images to a search."""
        first = len(self._targets.grids)
        self._targets = FitTargets.joined([self._targets, targets])
        self._images[index] = np.append(self._images[index], np.arange(first, len(self._targets.grids)))
        self._problems.clear()

    def _problem(self, lm_settings: LMSettings) -> LeastSquares:
        key = lm_settings.vertices, lm_settings.subdivisions
        if key not in self._problems:
            hand = self._hand.subdivided(lm_settings.subdivisions) if lm_settings.subdivisions else self._hand
            hand = hand.coarse(lm_settings.vertices) if lm_settings.vertices else hand
            self._problems[key] = LeastSquares(hand, self._targets, self._config)
        return self._problems[key]
