"""Predicting one sequence in several processes: each predicts parts of it, which are joined in their order."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from os import PathLike

from handopt.batch.processes import in_processes
from handopt.batch.run import processes_that_pay
from handopt.batch.sequence_parts import Part, PartJob, PredictedPart
from handopt.config import FitSettings
from handopt.input.sequence.base import FrameSource, SeekableSource
from handopt.tracking.api import Tracking, hand_of
from handopt.tracking.frame_estimate import FrameEstimate
from handopt.tracking.prediction import PredictionRun, parts_of_source
from handopt.tracking.predictor import PredictedFrame, Predictor

Given = Callable[[Iterable[PredictedFrame]], Iterator[PredictedFrame]]


class JoinedPrediction(Tracking):
    """A sequence on its way, of which other processes predict parts; see Tracking."""

    def __init__(self, run: PredictionRun, source: SeekableSource, predicted: Iterator[PredictedFrame]) -> None:
        """Made by predict_in_processes."""
        super().__init__(run, source, iter(()))
        self._joined, self._predicted, self._started = run, predicted, time.perf_counter()

    def __next__(self) -> FrameEstimate:
        """The hand in the next frame. Raises SourceError and WorkerError; what came before is kept."""
        estimate = self._joined.add(next(self._predicted))
        self._joined.seconds = time.perf_counter() - self._started
        self._count += 1
        return estimate


def processes_for(source: FrameSource, jobs: int | None, frames: int | None, device: str) -> int:
    """In how many processes a source, or its first frames, are predicted. jobs: None for as many as pay."""
    parts = parts_of_source(source, frames)
    if len(parts) < 2:
        return 1
    return min(len(parts), jobs or processes_that_pay(parts[-1].stop, device))


def predict_in_processes(
    source: SeekableSource,
    jobs: int,
    *,
    hand: str | None,
    settings: FitSettings,
    scratch: str | PathLike[str] | None = None,
    frames: int | None = None,
    given: Given = iter,
) -> Tracking:
    """What handopt.tracking.prediction.predict_source gives, to the bit, from several processes.

    jobs: how many. frames: how many are taken, None for all. given: what gives the predicted frames on, until it ends.
    Frames come in their order, a part of the sequence at a time; where one fails, the track ends before it. Where the
    side is open, this process predicts the first frames, until it is known. seconds of the track are those that passed.
    """
    job, side = PartJob(source, settings), hand_of(hand, None, source)
    run = PredictionRun(source.camera, side, settings, scratch)
    predicted = _predicted(job, side, parts_of_source(source, frames), jobs)
    return JoinedPrediction(run, source, given(predicted))


def _predicted(job: PartJob, side: str, parts: list[range], jobs: int) -> Iterator[PredictedFrame]:
    """The frames of all parts in order. Raises what ends the source early, and WorkerError."""
    predictor, first = Predictor(job.source.camera, side, job.settings), 0
    if side == "auto":
        for predicted in map(predictor.predict, islice(job.source.frames_from(0), parts[-1].stop)):
            yield predicted
            first += 1
            if predictor.side != "auto":
                break
        else:
            return
    tasks = [Part(max(first, part.start), part.stop, predictor.side) for part in parts if first < part.stop]
    if tasks and tasks[0].first not in {part.start for part in parts}:
        tasks[0] = replace(tasks[0], followed=predictor.followed)
    waiting: dict[Part, PredictedPart] = {}
    with closing(in_processes(job, tasks, min(jobs, len(tasks)))) as outcomes:
        for task in tasks:
            while task not in waiting:
                outcome = next(outcomes)
                waiting[outcome.task] = outcome
            outcome = waiting.pop(task)
            yield from outcome.frames
            if outcome.error is not None:
                raise outcome.error
            if len(outcome.frames) < task.stop - task.first:  # the source has ended before its time
                return
