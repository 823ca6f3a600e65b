"""Parts of a sequence, and how a process predicts them; it loads no more than that takes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from handopt.config import FitSettings
from handopt.errors import HandoptError, WorkerError
from handopt.input.sequence.base import SeekableSource
from handopt.tracking.predictor import Followed, PredictedFrame, Predictor


@dataclass(frozen=True)
class Part:
    """Frames of a sequence, from `first` to before `stop`. hand: the side. followed: the hand before the first one."""

    first: int
    stop: int
    hand: str
    followed: Followed | None = field(default=None, compare=False)

    def lost(self, why: str) -> "PredictedPart":
        """What is known where the processes that worked on it have died."""
        told = f"frames {self.first} to {self.stop - 1}: {why}; predict them with fewer jobs="
        return PredictedPart(self, (), WorkerError(told))


@dataclass(frozen=True, eq=False)
class PredictedPart:
    """The frames of a part, and why there are no more where the source or the processes failed."""

    task: Part
    frames: tuple[PredictedFrame, ...]
    error: HandoptError | None = None


@dataclass(frozen=True)
class PartJob:
    """How parts of an opened source are predicted. It can be sent to other processes."""

    source: SeekableSource
    settings: FitSettings

    def batch_size(self) -> int:
        """How many parts a process gets at once."""
        return 1

    def on(self, device: str) -> "PartJob":
        """The same job on another device."""
        return replace(self, settings=replace(self.settings, device=device))

    def run_batches(self, batches: Iterable[Sequence[Part]]) -> Iterator[PredictedPart]:
        """Predict part after part. An error of the source ends a part, after the frames before it."""
        for part in (part for parts in batches for part in parts):
            predictor = Predictor(self.source.camera, part.hand, self.settings, part.followed)
            frames: list[PredictedFrame] = []
            error: HandoptError | None = None
            try:
                for frame in islice(self.source.frames_from(part.first), part.stop - part.first):
                    frames.append(predictor.predict(frame))
            except HandoptError as problem:
                error = problem
            yield PredictedPart(part, tuple(frames), error)
