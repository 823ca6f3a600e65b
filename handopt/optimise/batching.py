"""Searches in lockstep: what several of them ask of the kernels at the same time is computed in one batch.

A search is a generator that yields what it asks and is sent the answer. Poses are computed independently of each other,
so that on the CPU an answer has the same bits whichever searches run beside it.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Array, namespace, one_cpu_thread, to_numpy
from handopt.config import Config, LMSettings
from handopt.errors import HandoptError
from handopt.hand_model import Hand, Pose
from handopt.objective.least_squares import LeastSquares
from handopt.objective.targets import FitTargets
from handopt.optimise.pose_fit import fit_poses

Reals = NDArray[np.floating]
Record = Callable[[Pose, dict[str, Reals]], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """What a search asks of poses of its own images.

    turn: searches with the lowest turn are served first, and those with the same one together. record: called with the
    poses and on the host their terms at the start and after every iteration of a descent; None asks what the poses cost
    as they are. expected: (B, 15, 3) rad, the angles that the pose prior expects of each.
    """

    priority: tuple[int, ...]
    pose: Pose
    lm_settings: LMSettings
    expected: Array
    record: Record | None = None

    @property
    def kind(self) -> tuple[Any, ...]:
        """What is the same where two searches ask the same of their poses."""
        return self.priority, self.lm_settings, self.record is None, self.pose.proportions.shape[1]


Response = tuple[Pose, Reals]
"""The poses where they have descended to, and on the host their costs (B,)."""
Search = Generator[Request, Response, Result]


class StageTimer:
    """Seconds that each stage of one search took, its share of what was computed for several included."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open = 0.0
        self.resume()

    def resume(self) -> None:
        """Go on counting."""
        self._since = time.perf_counter()

    def pause(self) -> None:
        """Stop counting."""
        now = time.perf_counter()
        self._open += now - self._since
        self._since = now

    def add(self, seconds: float) -> None:
        """Count a share of what was computed for several."""
        self._open += seconds

    def record(self, stage: str) -> None:
        """Book the time since the last lap."""
        self.pause()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + self._open
        self._open = 0.0


class BatchedSearch:
    """The least squares that searches ask about, each with images of its own."""

    def __init__(self, hand: Hand, targets: Sequence[FitTargets], config: Config) -> None:
        """hand: with all its vertices; approaches ask for fewer. evidence: of each search, whose images it numbers."""
        self._hand, self._config = hand, config
        self._evidence = targets[0] if len(targets) == 1 else FitTargets.joined(targets)
        self._first = np.cumsum([0, *(len(each.grids) for each in targets)])
        self._problems: dict[int, LeastSquares] = {}

    def run(self, searches: Sequence[Search[Result]], timers: Sequence[StageTimer]) -> list[Result | HandoptError]:
        """What each search returns, or the error that ended it. clocks: of each."""
        found: dict[int, Result | HandoptError] = {}
        requested: dict[int, Request] = {}

        def go_on(index: int, answer: Response | None) -> None:
            timers[index].resume()
            try:
                requested[index] = next(searches[index]) if answer is None else searches[index].send(answer)
            except StopIteration as end:
                found[index] = end.value
            except HandoptError as error:
                found[index] = error
            timers[index].pause()

        for index in range(len(searches)):
            go_on(index, None)
        while requested:
            first = min(requested, key=lambda index: (requested[index].priority, index))
            served = [index for index in sorted(requested) if requested[index].kind == requested[first].kind]
            requests = {index: requested.pop(index) for index in served}
            started = time.perf_counter()
            answers = self._answer(requests)
            each = (time.perf_counter() - started) / sum(len(ask.pose) for ask in requests.values())
            for (index, ask), answer in zip(requests.items(), answers, strict=True):
                timers[index].add(each * len(ask.pose))
                go_on(index, answer)
        return [found[index] for index in range(len(searches))]

    def _answer(self, requests: dict[int, Request]) -> list[Response]:
        """Compute what some searches ask in one batch, and take it apart again."""
        xp = namespace(self._hand.device)
        ask = next(iter(requests.values()))
        ends = np.cumsum([len(each.pose) for each in requests.values()])
        parts = [slice(end - len(each.pose), end) for end, each in zip(ends, requests.values(), strict=True)]
        pose = Pose.all_of([replace(each.pose, image=each.pose.image + self._first[i]) for i, each in requests.items()])
        pose.image = pose.image.astype(np.int32)
        expected = xp.concatenate([each.expected for each in requests.values()])

        def part_of(joined: Pose, index: int, part: slice) -> Pose:
            return replace(joined.part(part), image=requests[index].pose.image)

        def record(at: Pose, terms: dict[str, Array]) -> None:
            host = {name: to_numpy(term) for name, term in terms.items()}
            for (index, each), part in zip(requests.items(), parts, strict=True):
                assert each.record is not None
                each.record(part_of(at, index, part), {name: term[part] for name, term in host.items()})

        problem = self._problem(ask.lm_settings.vertices)
        with one_cpu_thread():
            if ask.record is None:
                cost = problem.cost(pose, ask.lm_settings, expected)
            else:
                found = fit_poses(problem, pose, ask.lm_settings, record, expected, linearised=False)
                pose, cost = found.state, found.cost
        costs = to_numpy(cost)
        return [(part_of(pose, index, part), costs[part]) for index, part in zip(requests, parts, strict=True)]

    def _problem(self, vertices: int) -> LeastSquares:
        if vertices not in self._problems:
            hand = self._hand.coarse(vertices) if vertices else self._hand
            self._problems[vertices] = LeastSquares(hand, self._evidence, self._config)
        return self._problems[vertices]
