"""Stand-ins for the work of a batch: what they do is told by the image's name, so that worker processes know it too."""

import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from handopt.batch.outcome import DONE, Outcome, Task
from handopt.config import FitSettings

PAUSE_S = 0.2


@dataclass(frozen=True)
class NamedJob:
    """Images whose names begin with 'killer' kill their process, 'once' the first time only.

    'slow' ones take a minute, 'pause' ones PAUSE_S, and 'pair' ones until two processes
    are at work. ahead: whether a batch is asked for before the one before it is done, as for a GPU.
    """

    settings: FitSettings = field(default_factory=lambda: FitSettings(device="cpu"))
    batch: int = 1
    ahead: bool = False

    def batch_size(self) -> int:
        """How many images are done together."""
        return self.batch

    def on(self, device: str) -> "NamedJob":
        """The same on another device."""
        return replace(self, settings=replace(self.settings, device=device))

    def run_batches(self, batches: Iterable[Sequence[Task]], _progress: object = None) -> Iterator[Outcome]:
        """Pretend to fit: leave folders that say which process did it."""
        return (self._done(task) for tasks in (_one_ahead(batches) if self.ahead else batches) for task in tasks)

    def _done(self, task: Task) -> Outcome:
        name = task.image.name
        mark = task.folder.with_suffix(".tried")
        if name.startswith("killer") or (name.startswith("once") and not mark.exists()):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith(("slow", "pause")):
            time.sleep(60 if name.startswith("slow") else PAUSE_S)
        if name.startswith("pair"):
            _wait_for_another(task.folder.parent / "processes")
        task.folder.mkdir(parents=True)
        (task.folder / "process").write_text(str(os.getpid()))
        return Outcome(
            task,
            DONE,
            status=str(os.environ.get("OMP_NUM_THREADS")),
            residual_mm={"median": 1.0, "mean": 1.5, "p95": 3.0},
            silhouette_iou=1.0,
        )


def _one_ahead(batches: Iterable[Sequence[Task]]) -> Iterator[Sequence[Task]]:
    before: Sequence[Task] = []
    for batch in batches:
        yield before
        before = batch
    yield before


def _wait_for_another(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 30
    while len(list(folder.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)


class BrokenJob(NamedJob):
    """Cannot even be unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (7,)


def tasks_of(folder: Path, *names: str) -> list[Task]:
    """Tasks for images of these names."""
    return [Task(folder / f"{name}.png", folder / "out" / name) for name in names]
