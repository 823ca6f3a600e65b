"""A job: what is the same for all images of a run, and how each image becomes a folder of results."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from handopt import atomic_folder
from handopt.batch.hands import existing_outcome
from handopt.batch.outcome import FAILED, OF_A_HAND, SKIPPED, Outcome, Task
from handopt.batch.provenance import Identity, Provenance
from handopt.config import FitSettings
from handopt.draw.film import TRACE_NAME
from handopt.errors import DepthError, HandoptError, OutputError
from handopt.files import UnreadableError, exists, is_folder, readable, sha256_of
from handopt.input.colour import picture_of
from handopt.input.reader import DepthInput, Reader
from handopt.result import FitResult
from handopt.storage.fit_folder import RESULT, RESULT_NAME, check_free, save, save_hands
from handopt.storage.hands_folder import HANDS_NAME
from handopt.typing import Bytes, Progress

if TYPE_CHECKING:
    from handopt.fitting import FitInput
    from handopt.rig import Rig
    from handopt.typing import BoolImage

Existing = Literal["keep", "update", "overwrite", "verify"]

T = TypeVar("T")
BATCH_PX = 12_000_000
"""Pixels of the images that are fitted together, about; bounds memory where images are large."""


@dataclass(frozen=True)
class OutputSettings:
    """Which files a result has, and what happens to results that exist.

    colour: whether overlay.png shows the colour picture that belongs to an image. usual: files that are written though
    nobody asked for them; a result that exists is complete without them. existing: 'keep' those that this job would
    make again and refuse others, 'update' these others, 'overwrite' all, or 'verify' all and make none.
    """

    renders: bool = True
    overlay: bool = True
    colour: bool = False
    video: bool = False
    ply: bool = False
    obj: bool = False
    usual: frozenset[str] = frozenset()
    existing: Existing = "keep"

    def file_names(self) -> list[str]:
        """The files and folders of a complete result: those that every one has, and those that were asked for."""
        optional = (
            (self.overlay, "overlay.png"),
            (self.renders, "renders"),
            (self.video, "optimisation.mp4"),
            (self.ply, "mesh.ply"),
            (self.obj, "mesh.obj"),
        )
        asked = (name for wanted, name in optional if wanted and name not in self.usual)
        return [RESULT_NAME, "mesh.glb", "history.csv", TRACE_NAME, *asked]


@dataclass(frozen=True, eq=False)
class Hints:
    """Where the hand is, for a job of a single image: the arguments of the same names of handopt.fit."""

    mask: "BoolImage | None" = None
    box: tuple[float, ...] | None = None
    center: tuple[float, ...] | None = None

    def subsampled(self, step: int) -> "Hints":
        """The same for an image of which every step-th row and column was taken."""
        from handopt.input.subsample import subsampled, subsampled_pixel

        if step == 1:
            return self
        box, center = (
            None if each is None else tuple(subsampled_pixel(pixel, step) for pixel in each)
            for each in (self.box, self.center)
        )
        in_pixels = self.center is None or len(self.center) == 2
        mask = None if self.mask is None else subsampled(self.mask, step)
        return Hints(mask, box, center if in_pixels else self.center)


@dataclass(frozen=True)
class Job:
    """How to read, fit and write images. It can be sent to other processes.

    rig: None for the default one, with these limits. settings: of the fits. identity: what results depend on besides
    the image. batch: how many images go through the kernels together, None for the usual number of the device.
    max_hands: how many hands of an image are fitted; with more than 1 each has a folder in that of the image.
    """

    reader: Reader
    rig: "Rig | None"
    settings: FitSettings
    outputs: OutputSettings
    identity: Identity
    hints: Hints = Hints()
    limits: str = "default"
    batch: int | None = None
    max_hands: int = 1

    def batch_size(self) -> int:
        """How many images go through the kernels together. Raises DeviceError."""
        from handopt.backend import resolve_device
        from handopt.fitting import BATCH

        return self.batch or BATCH[resolve_device(self.settings.device).kind]

    def on(self, device: str) -> "Job":
        """The same job on another device."""
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, device=device))

    def run(self, tasks: Sequence[Task], progress: Progress | None = None) -> Iterator[Outcome]:
        """Read images, fit those that are not done yet as one batch, and save them. An error becomes an outcome.

        Yields outcomes in any order. progress: called after each iteration where there is a single image.
        """
        ready: list[_Prepared] = []
        for task in tasks:
            prepared = _outcome_of(task, partial(self._prepared, task))
            if isinstance(prepared, Outcome):
                yield prepared
                continue
            ready.append(prepared)
            if sum(each.frame.depth_mm.size for each in ready) >= BATCH_PX:
                yield from self._together(ready, progress)
                ready = []
        if ready:
            yield from self._together(ready, progress)

    def _together(self, ready: "list[_Prepared]", progress: Progress | None) -> Iterator[Outcome]:
        """Fit images that were read as one batch, and save them."""
        started = time.perf_counter()
        results = self._fitted(ready, progress)
        share = (time.perf_counter() - started) / len(ready)
        for prepared, result in zip(ready, results, strict=True):
            outcome = _outcome_of(prepared.task, partial(self._saved, prepared, result))
            if isinstance(result, Exception):
                seconds, notes = prepared.seconds + share, prepared.frame.assumptions
                outcome = dataclasses.replace(outcome, total_seconds=seconds, notes=notes)
            yield outcome

    def _prepared(self, task: Task) -> "Outcome | _Prepared":
        """Read an image, or say that it is done already."""
        started = time.perf_counter()
        source = Provenance(task.image)
        if self.outputs.existing == "verify":
            return self._verified(task, source)
        overwrite = self.outputs.existing == "overwrite"
        if not overwrite and os.path.lexists(task.folder):
            existing = self._existing(task, source)
            if existing is not None:
                return existing
            overwrite = True
        check_free(task.folder, overwrite=overwrite)
        frame = self._read(task.image, source)
        document = source.document(self._identity(task.image))
        colour = picture_of(task.image, frame) if self.outputs.colour and self.outputs.overlay else None
        return _Prepared(task, source, frame, document, overwrite, time.perf_counter() - started, colour)

    def _fitted(self, images: "list[_Prepared]", progress: Progress | None) -> "list[list[FitResult] | Exception]":
        """The results of the hands of each image, or its error."""
        together = self._fitted_together(images, progress)
        if together is not None:
            return together
        return [result for each in images for result in self._fitted([each], None)]  # each image gets its own error

    def _fitted_together(
        self, images: "list[_Prepared]", progress: Progress | None
    ) -> "list[list[FitResult] | Exception] | None":
        """The results of the images as one batch, or None where the batch fails as a whole."""
        import handopt.fitting

        try:
            inputs = [self._input(each) for each in images]
            if len(images) == 1:
                first = handopt.fitting.fit_image(inputs[0], self.settings, progress)
                return [self._with_others(inputs[0], first)]
            results = handopt.fitting.fit_images(inputs, self.settings, len(inputs))
            return [self._with_others(*each) for each in zip(inputs, results, strict=True)]
        except Exception as error:  # one bad image must not stop the rest
            return [error] if len(images) == 1 else None

    def _with_others(self, given: "FitInput", first: "FitResult | HandoptError") -> "list[FitResult] | Exception":
        """The results of all hands of an image, of which the first was fitted."""
        if isinstance(first, HandoptError):
            return first
        if self.max_hands == 1:
            return [first]
        import handopt.fit_hands

        return handopt.fit_hands.with_others(first, given, self.settings, self.max_hands)

    def _input(self, prepared: "_Prepared") -> "FitInput":
        """The input of the fit."""
        from handopt.fitting import FitInput
        from handopt.rig import default_rig

        frame, hints = prepared.frame, self.hints.subsampled(prepared.frame.step)
        # The files beside an image say the side of one hand
        hand = frame.hand if self.max_hands == 1 else self.identity.hand or "auto"
        return FitInput(
            frame.depth_mm,
            frame.camera,
            hand,
            self.rig or default_rig("left" if hand == "left" else "right", self.limits),
            mask=hints.mask,
            box=hints.box,
            center=hints.center,
            image=readable(prepared.task.image),
            notes=frame.assumptions,
            ignore=frame.ignore,
            mirrored=frame.mirrored,
        )

    def _saved(self, prepared: "_Prepared", results: "list[FitResult] | Exception") -> Outcome:
        """Write the results of an image to their folder. Raises the error that there is instead."""
        if isinstance(results, Exception):
            raise results
        task, frame, outputs, started = prepared.task, prepared.frame, self.outputs, time.perf_counter()
        for result in results:
            result.seconds = {"read": prepared.seconds / len(results), **result.seconds}
        files: dict[str, Any] = {
            **{name: getattr(outputs, name) for name in ("ply", "obj", "video", "renders", "overlay")},
            "provenance": prepared.document,
            "colour": prepared.colour,
        }
        try:
            if self.max_hands == 1:
                save(results[0], task.folder, overwrite=prepared.overwrite, **files)
                tasks = [task]
            else:
                names = save_hands(results, task.folder, overwrite=prepared.overwrite, **files)
                tasks = [Task(task.image, task.folder / name) for name in names]
        except OutputError:
            again = outputs.existing != "overwrite" and is_folder(task.folder)
            existing = self._existing(task, prepared.source) if again else None
            if existing is None or not existing.before:
                raise
            return existing  # another process has written it meanwhile
        writing = (time.perf_counter() - started) / len(results)
        outcomes = [
            _outcome(each, result, frame.assumptions, writing) for each, result in zip(tasks, results, strict=True)
        ]
        return outcomes[0] if self.max_hands == 1 else Outcome.of_hands(task, outcomes)

    def _existing(self, task: Task, source: Provenance) -> Outcome | None:
        """The outcome where the folder's result is kept, or None where it is to be replaced."""
        if not exists(task.image):
            return None  # the reader says it better
        found = self._kept(task, source)
        if isinstance(found, Outcome):
            return found
        if self.outputs.existing == "update":
            return None
        try:
            atomic_folder.check_free(task.folder, RESULT, overwrite=False)
        except OutputError as error:
            reason = str(error)
            if RESULT.holds(task.folder):
                reason = (
                    f"{task.folder} {found}, and was kept: replace such results with update=True, all with "
                    "overwrite=True, or choose another output="
                )
            return Outcome(task, SKIPPED, error=reason)
        return None

    def _verified(self, task: Task, source: Provenance) -> Outcome:
        """Whether an image has its whole result. Everything is compared by content, and nothing is made."""
        if not any(exists(task.folder / name) for name in (RESULT_NAME, HANDS_NAME)):
            return Outcome(task, FAILED, error=f"{task.folder} holds no result")
        found = self._kept(task, source, by_content=True)
        return found if isinstance(found, Outcome) else Outcome(task, FAILED, error=f"{task.folder} {found}")

    def _kept(self, task: Task, source: Provenance, *, by_content: bool = False) -> Outcome | str:
        """The outcome of results that stand in a task's folder and may be kept, or why they may not."""
        names, several = self.outputs.file_names(), self.max_hands > 1
        try:
            return existing_outcome(
                task, source, self._identity(task.image), names, several=several, by_content=by_content
            )
        except (KeyError, TypeError, ValueError, AttributeError):  # somebody wrote it anew, and its digest
            return f"has a damaged {RESULT_NAME}"

    def _identity(self, image: Path) -> dict[str, object]:
        """What a result depends on besides its image: the identity, with the content of the image's own mask."""
        file = self.reader.ignore_file_of(image)
        try:
            content = None if file is None else sha256_of(file)
        except UnreadableError as error:
            raise DepthError(f"ignore={file}: {error}") from error
        return {**self.identity.to_dict(), "ignore": content}

    def _read(self, image: Path, source: Provenance) -> DepthInput:
        try:
            frame = self.reader.read(image)
        except HandoptError:
            source.check()
            raise
        source.check()
        return frame


@dataclass(frozen=True)
class _Prepared:
    """An image that was read. document: of provenance.json; seconds: time to read it; colour: its picture."""

    task: Task
    source: Provenance
    frame: DepthInput
    document: dict[str, Any]
    overwrite: bool
    seconds: float
    colour: Bytes | None = None


def _outcome_of(task: Task, work: Callable[[], T]) -> T | Outcome:
    """What the work returns, or the outcome of an image whose work raises an error."""
    started = time.perf_counter()
    try:
        return work()
    except Exception as error:  # one bad image must not stop the rest
        return Outcome.of_error(task, error, time.perf_counter() - started)


def _outcome(task: Task, result: FitResult, assumptions: tuple[str, ...], writing_s: float) -> Outcome:
    """The outcome of a hand that was fitted and written."""
    values = {name: getattr(result, name) for name in OF_A_HAND}
    seconds = sum(result.seconds.values()) + writing_s
    notes = tuple(dict.fromkeys((*assumptions, *result.notes)))
    return Outcome.of_result(task, values, seconds, notes=notes, details=_details(result))


def _details(result: FitResult) -> tuple[str, str]:
    stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in result.seconds.items())
    terms = ", ".join(f"{term} {value:.4g}" for term, value in result.terms.items())
    return (
        f"a {result.hand} hand, {result.iterations} iterations on {result.device}; seconds: {stages}",
        f"terms: {terms}",
    )
