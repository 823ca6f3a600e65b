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
from handopt.batch.outcome import FAILED, SKIPPED, Outcome, Task
from handopt.batch.provenance import ExistingResult, Identity, Provenance
from handopt.config import FitSettings
from handopt.draw.film import TRACE_NAME
from handopt.errors import DepthError, HandoptError, OutputError
from handopt.files import UnreadableError, exists, is_folder, readable, sha256_of
from handopt.input.reader import DepthInput, Reader
from handopt.result import FitResult
from handopt.storage.fit_folder import RESULT, RESULT_NAME, check_free, save
from handopt.typing import Progress

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

    usual: files that are written though nobody asked for them; a result that exists is complete without them.
    existing: 'keep' those that this job would make again and refuse others, 'update' these others, 'overwrite' all, or
    'verify' all and make none.
    """

    renders: bool = True
    overlay: bool = True
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
    """

    reader: Reader
    rig: "Rig | None"
    settings: FitSettings
    outputs: OutputSettings
    identity: Identity
    hints: Hints = Hints()
    limits: str = "default"
    batch: int | None = None

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
        return _Prepared(task, source, frame, document, overwrite, time.perf_counter() - started)

    def _fitted(self, images: "list[_Prepared]", progress: Progress | None) -> "list[FitResult | Exception]":
        """The result or the error of each image."""
        together = self._fitted_together(images, progress)
        if together is not None:
            return together
        return [result for each in images for result in self._fitted([each], None)]  # each image gets its own error

    def _fitted_together(
        self, images: "list[_Prepared]", progress: Progress | None
    ) -> "list[FitResult | Exception] | None":
        """The results of the images as one batch, or None where the batch fails as a whole."""
        import handopt.fitting

        try:
            inputs = [self._input(each) for each in images]
            if len(images) == 1:
                return [handopt.fitting.fit_image(inputs[0], self.settings, progress)]
            return [*handopt.fitting.fit_images(inputs, self.settings, len(inputs))]
        except Exception as error:  # one bad image must not stop the rest
            return [error] if len(images) == 1 else None

    def _input(self, prepared: "_Prepared") -> "FitInput":
        """The input of the fit."""
        from handopt.fitting import FitInput
        from handopt.rig import default_rig

        frame, hints = prepared.frame, self.hints.subsampled(prepared.frame.step)
        return FitInput(
            frame.depth_mm,
            frame.camera,
            frame.hand,
            self.rig or default_rig("left" if frame.hand == "left" else "right", self.limits),
            mask=hints.mask,
            box=hints.box,
            center=hints.center,
            image=readable(prepared.task.image),
            notes=frame.assumptions,
            ignore=frame.ignore,
            mirrored=frame.mirrored,
        )

    def _saved(self, prepared: "_Prepared", result: "FitResult | Exception") -> Outcome:
        """Write a result to its folder. Raises the error that there is instead."""
        if isinstance(result, Exception):
            raise result
        task, frame, outputs, started = prepared.task, prepared.frame, self.outputs, time.perf_counter()
        result.seconds = {"read": prepared.seconds, **result.seconds}
        try:
            save(
                result,
                task.folder,
                ply=outputs.ply,
                obj=outputs.obj,
                video=outputs.video,
                renders=outputs.renders,
                overlay=outputs.overlay,
                provenance=prepared.document,
                overwrite=prepared.overwrite,
            )
        except OutputError:
            again = outputs.existing != "overwrite" and is_folder(task.folder)
            existing = self._existing(task, prepared.source) if again else None
            if existing is None or not existing.before:
                raise
            return existing  # another process has written it meanwhile
        values = {
            name: getattr(result, name)
            for name in (*("status", "hand", "confidence", "residual_mm", "silhouette_iou", "unexplained_fraction"),)
        }
        seconds = sum(result.seconds.values()) + time.perf_counter() - started
        notes = tuple(dict.fromkeys((*frame.assumptions, *result.notes)))
        return Outcome.of_result(task, values, seconds, notes=notes, details=_details(result))

    def _existing(self, task: Task, source: Provenance) -> Outcome | None:
        """The outcome where the folder's result is kept, or None where it is to be replaced."""
        if not exists(task.image):
            return None  # the reader says it better
        found = source.found(task.folder, self._identity(task.image), self.outputs.file_names())
        if found.result is not None:
            try:
                return Outcome.of_result(task, found.result, sum(found.result["seconds"].values()), before=True)
            except (KeyError, TypeError, ValueError, AttributeError):  # somebody wrote it anew, and its digest
                found = ExistingResult(None, f"has a damaged {RESULT_NAME}")
        if self.outputs.existing == "update":
            return None
        try:
            atomic_folder.check_free(task.folder, RESULT, overwrite=False)
        except OutputError as error:
            reason = str(error)
            if RESULT.holds(task.folder):
                reason = (
                    f"{task.folder} {found.reason}, and was kept: replace such results with update=True, all with "
                    "overwrite=True, or choose another output="
                )
            return Outcome(task, SKIPPED, error=reason)
        return None

    def _verified(self, task: Task, source: Provenance) -> Outcome:
        """Whether an image has its whole result. Everything is compared by content, and nothing is made."""
        names = self.outputs.file_names()
        found = source.found(task.folder, self._identity(task.image), names, by_content=True)
        if not exists(task.folder / RESULT_NAME):
            found = ExistingResult(None, "holds no result")
        if found.result is None:
            return Outcome(task, FAILED, error=f"{task.folder} {found.reason}")
        return Outcome.of_result(task, found.result, sum(found.result["seconds"].values()), before=True)

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
    """An image that was read. document: what its provenance.json says; seconds: time to read it."""

    task: Task
    source: Provenance
    frame: DepthInput
    document: dict[str, Any]
    overwrite: bool
    seconds: float


def _outcome_of(task: Task, work: Callable[[], T]) -> T | Outcome:
    """What the work returns, or the outcome of an image whose work raises an error."""
    started = time.perf_counter()
    try:
        return work()
    except Exception as error:  # one bad image must not stop the rest
        return Outcome.of_error(task, error, time.perf_counter() - started)


def _details(result: FitResult) -> tuple[str, str]:
    stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in result.seconds.items())
    terms = ", ".join(f"{term} {value:.4g}" for term, value in result.terms.items())
    return (
        f"a {result.hand} hand, {result.iterations} iterations on {result.device}; seconds: {stages}",
        f"terms: {terms}",
    )
