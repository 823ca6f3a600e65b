"""What is the same for all images of a run, and how one image becomes a folder of results."""

import dataclasses
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handopt.batch.outcome import SKIPPED, Outcome, Task
from handopt.batch.source import Source
from handopt.errors import HandoptError, OutputError
from handopt.output import aside
from handopt.output.folder import RESULT, RESULT_NAME, check_free, save
from handopt.reader import Frame, Reader
from handopt.result import FitResult

if TYPE_CHECKING:
    from handopt.rig import Rig

KEEP, UPDATE, OVERWRITE = "keep", "update", "overwrite"

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Job:
    """How to read, fit and write images; it can be sent to other processes.

    rig: None for the default one. settings: arguments of handopt.fit that are the same for all images. outputs:
    arguments of handopt.save. limits: of the default rig. existing: what to do with results that exist: 'keep' those
    that this job would make again and refuse others, 'update' these, or 'overwrite' all. identity: what results depend
    on besides the image, as plain values.
    """

    reader: Reader
    rig: "Rig | None"
    settings: dict[str, Any]
    outputs: dict[str, bool]
    limits: str
    identity: dict[str, Any]
    existing: str = KEEP

    def on(self, device: str) -> "Job":
        """The same job on another device."""
        return dataclasses.replace(self, settings={**self.settings, "device": device})

    def run(self, task: Task, progress: Progress | None = None) -> Outcome:
        """Read, fit and save one image, unless it is done already; an error becomes the outcome."""
        started = time.perf_counter()
        try:
            return self._run(task, progress, started)
        except Exception as error:  # one bad image must not stop the rest
            return Outcome.of_error(task, error, time.perf_counter() - started)

    def _run(self, task: Task, progress: Progress | None, started: float) -> Outcome:
        source = Source(task.image)
        overwrite = self.existing == OVERWRITE
        if not overwrite and os.path.lexists(task.folder):
            standing = self._standing(task, source)
            if standing is not None:
                return standing
            overwrite = True
        check_free(task.folder, overwrite=overwrite)
        result, notes, document = self._fit(task.image, source, progress, started)
        try:
            text = json.dumps(document, indent=2) + "\n"
            save(result, task.folder, **self.outputs, source=text, overwrite=overwrite)
        except OutputError:
            standing = self._standing(task, source) if self.existing != OVERWRITE and task.folder.is_dir() else None
            if standing is None or not standing.before:
                raise
            return standing  # another process made it meanwhile
        told = {
            "status": result.status,
            "hand": result.hand,
            "confidence": result.confidence,
            "residual_mm": result.residual_mm,
            "silhouette_iou": result.silhouette_iou,
        }
        seconds = time.perf_counter() - started
        return Outcome.of_result(task, told, seconds, notes=notes, details=_details(result))

    def _standing(self, task: Task, source: Source) -> Outcome | None:
        """The outcome where the folder's result is kept, or None where it is to be replaced."""
        if not task.image.exists():
            return None  # the reader says it better
        found = source.found(task.folder, self.identity, self._names())
        if found.result is not None:
            spent = sum(found.result["seconds"].values())
            return Outcome.of_result(task, found.result, spent, before=True)
        if self.existing == UPDATE:
            return None
        try:
            aside.check_free(task.folder, RESULT, overwrite=False)
        except OutputError as error:
            reason = str(error)
            if RESULT.holds(task.folder):
                reason = (
                    f"{task.folder} {found.reason}, and was kept: replace such results with --update, all with "
                    "--overwrite, or choose another -o"
                )
            return Outcome(task, SKIPPED, error=reason)
        return None

    def _names(self) -> list[str]:
        """The files of a complete result."""
        names = {
            "overlay": "overlay.png",
            "renders": "renders",
            "video": "optimisation.mp4",
            "ply": "mesh.ply",
            "obj": "mesh.obj",
        }
        return [RESULT_NAME, "mesh.glb", "history.csv", *(name for key, name in names.items() if self.outputs[key])]

    def _fit(
        self, image: Path, source: Source, progress: Progress | None, started: float
    ) -> tuple[FitResult, tuple[str, ...], dict[str, Any]]:
        """The result, what was assumed, and what it was made of."""
        import handopt.fitting
        from handopt.rig import default_rig

        frame = self._read(image, source)
        document = source.document(self.identity)
        reading = time.perf_counter() - started
        rig = self.rig or default_rig("left" if frame.hand == "left" else "right", self.limits)
        result = handopt.fitting.fit(
            frame.depth_mm,
            frame.camera,
            hand=frame.hand,
            rig=rig,
            image=readable(image),
            assumptions=frame.assumptions,
            progress=progress,
            **self.settings,
        )
        result.seconds = {"read": reading, **result.seconds}
        return result, tuple(dict.fromkeys((*frame.assumptions, *result.assumptions))), document

    def _read(self, image: Path, source: Source) -> Frame:
        try:
            frame = self.reader.read(image)
        except HandoptError:
            source.check()
            raise
        source.check()
        return frame


def readable(path: Path) -> str:
    """A path as text, with a mark for each byte of it that is none."""
    return os.fsencode(path).decode("utf-8", "replace")


def _details(result: FitResult) -> tuple[str, str]:
    stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in result.seconds.items())
    terms = ", ".join(f"{term} {value:.4g}" for term, value in result.terms.items())
    return (
        f"a {result.hand} hand, {result.iterations} iterations on {result.device}; seconds: {stages}",
        f"terms: {terms}",
    )
