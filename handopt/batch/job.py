"""A job: what is the same for all images of a run, and how each image becomes a folder of results."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from handopt import atomic_folder
from handopt.batch.hands import existing_outcome
from handopt.batch.outcome import FAILED, SKIPPED, Outcome, Task
from handopt.batch.provenance import Identity, Provenance
from handopt.batch.settings import Hints, OutputSettings
from handopt.config import FitSettings
from handopt.errors import DepthError, HandoptError, OutputError
from handopt.files import UnreadableError, exists, is_folder, readable, sha256_of
from handopt.input.colour import picture_of
from handopt.input.reader import DepthInput, Reader
from handopt.result import FitResult
from handopt.storage.fit_folder import RESULT, RESULT_NAME, check_free, save, save_hands
from handopt.storage.hands_folder import HANDS_NAME
from handopt.typing import Bytes, Progress

if TYPE_CHECKING:
    from handopt.backend import CopiesAhead
    from handopt.fitting import FitInput, PreparedImages
    from handopt.rig import Rig

T = TypeVar("T")
BATCH_PX = 12_000_000
"""Pixels of the images that are fitted together, about; bounds memory where images are large."""


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
    hints: Hints = field(default_factory=Hints)
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

    def run_batches(self, batches: Iterable[Sequence[Task]], progress: Progress | None = None) -> Iterator[Outcome]:
        """Read images, fit those that are not done yet batch by batch, and save them. An error becomes an outcome.

        Yields outcomes in any order. progress: called after each iteration where there is a single image. For a GPU the
        next batch is read and prepared while one is fitted.
        """
        from handopt.backend import resolve_device
        from handopt.optimise.prepare_ahead import prepared_ahead

        device = resolve_device(self.settings.device)
        for parts in prepared_ahead(batches, self._parts_of, device):
            for part in parts:
                if isinstance(part, Outcome):
                    yield part
                else:
                    yield from self._together(part, progress)

    def _parts_of(self, tasks: Sequence[Task], copies: "CopiesAhead | None") -> "Iterator[Outcome | _Part]":
        """The parts of a batch: read as they are asked for, for a GPU the first that is to be fitted at once."""
        parts = self._parts(tasks, copies)
        if copies is None:
            return parts
        first: list[Outcome | _Part] = []
        for part in parts:
            first.append(part)
            if not isinstance(part, Outcome):
                break
        return chain(first, parts)

    def _parts(self, tasks: Sequence[Task], copies: "CopiesAhead | None") -> "Iterator[Outcome | _Part]":
        """Images that were read, as many as may be fitted together, and the outcomes of those that are not fitted."""
        ready: list[_Prepared] = []
        for task in tasks:
            prepared = _outcome_of(task, partial(self._prepared, task))
            if isinstance(prepared, Outcome):
                yield prepared
                continue
            ready.append(prepared)
            if sum(each.frame.depth_mm.size for each in ready) >= BATCH_PX:
                yield self._part(ready, copies)
                ready, copies = [], None  # large images: the others are not prepared ahead
        if ready:
            yield self._part(ready, copies)

    def _part(self, images: "list[_Prepared]", copies: "CopiesAhead | None") -> "_Part":
        """Images to be fitted together. With `copies` their hands are looked for now."""
        if copies is None:
            return _Part(images)
        import handopt.fitting

        try:
            inputs = [self._input(each) for each in images]
            return _Part(images, handopt.fitting.PreparedImages(inputs, self.settings, copies))
        except Exception:  # it comes again where each image is fitted alone
            return _Part(images)

    def _together(self, part: "_Part", progress: Progress | None) -> Iterator[Outcome]:
        """Fit images that were read as one batch, and save them."""
        started, ready = time.perf_counter(), part.images
        results = self._fitted(part, progress)
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

    def _fitted(self, part: "_Part", progress: Progress | None) -> "list[list[FitResult] | Exception]":
        """The results of the hands of each image, or its error."""
        together = self._fitted_together(part, progress)
        if together is not None:
            return together
        # Each image gets its own error
        return [result for each in part.images for result in self._fitted(_Part([each]), None)]

    def _fitted_together(self, part: "_Part", progress: Progress | None) -> "list[list[FitResult] | Exception] | None":
        """The results of the images as one batch, or None where the batch fails as a whole."""
        import handopt.fitting

        results: Iterable[FitResult | HandoptError]
        try:
            inputs = [self._input(each) for each in part.images]
            if part.hands is not None:
                results = part.hands.fit(progress if len(inputs) == 1 else None)
            elif len(inputs) == 1:
                results = [handopt.fitting.fit_image(inputs[0], self.settings, progress)]
            else:
                results = handopt.fitting.fit_images(inputs, self.settings, len(inputs))
            return [self._with_others(*each) for each in zip(inputs, results, strict=True)]
        except Exception as error:  # one bad image must not stop the rest
            return [error] if len(part.images) == 1 else None

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
            **{name: getattr(outputs, name) for name in ("ply", "obj", "masks", "video", "renders", "overlay")},
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
            Outcome.of_fit(each, result, frame.assumptions, writing)
            for each, result in zip(tasks, results, strict=True)
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


@dataclass(frozen=True)
class _Part:
    """Images that are fitted together. hands: found in them already, None where that is to be done."""

    images: list[_Prepared]
    hands: "PreparedImages | None" = None


def _outcome_of(task: Task, work: Callable[[], T]) -> T | Outcome:
    """What the work returns, or the outcome of an image whose work raises an error."""
    started = time.perf_counter()
    try:
        return work()
    except Exception as error:  # one bad image must not stop the rest
        return Outcome.of_error(task, error, time.perf_counter() - started)
