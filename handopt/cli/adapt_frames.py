"""The frames of `handopt adapt`: images, folders, recordings and stacks, one after the other."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt import files
from handopt.cli.console import Console, generalised
from handopt.cli.errors import one_line
from handopt.cli.inputs import check_sequence, find_images
from handopt.cli.job import make_reader

if TYPE_CHECKING:
    from handopt.cli.settings import AdaptOptions
    from handopt.input.sequence.base import FrameSource
    from handopt.input.sequence.stream_info import SourceOptions
    from handopt.learning.fitted_frames import AdaptFrame


class Frames:
    """Frames of all inputs, read as they are asked for. length: how many, None if unknown. hand: the side, or auto."""

    def __init__(self, paths: Sequence[Path], options: "AdaptOptions", console: Console) -> None:
        """Find all frames; nothing is read but the first of each recording. Raises UsageError and SourceError."""
        self._options, self._console = options, console
        self._sources: dict[Path, FrameSource] = {}
        self._inputs: list[tuple[Path, bool]] = []
        counts: list[int | None] = []
        for path in paths:
            if _is_stream(path):
                check_sequence(path)
                source = self._open(path)
                console.notes(source.assumptions)
                self._inputs.append((path, True))
                counts.append(source.length)
            else:
                images = sorted(find_images([path]), key=_natural)
                self._inputs += [(image, False) for image in images]
                counts.append(len(images))
        self.length = None if None in counts else sum(each or 0 for each in counts)
        self.hand = options.hand or self._named_hand()

    def read(self) -> "Iterator[AdaptFrame]":
        """The frames; those that cannot be read say why."""
        from handopt.errors import CameraError, DepthError
        from handopt.input.camera import Camera
        from handopt.input.sequence.base import split_ignored
        from handopt.learning.fitted_frames import AdaptFrame

        reader = make_reader(self._options, self._options.hand, None)
        for path, stream in self._inputs:
            if stream:
                source = self._open(path)
                for frame in source:
                    depth_mm, ignored = split_ignored(frame.depth_mm)
                    yield AdaptFrame(
                        frame.name, depth_mm, source.camera, ignored, frame.problem, take=str(path), time_s=frame.time_s
                    )
                continue
            name = click.format_filename(path)
            try:
                image = reader.read(path)
            except (DepthError, CameraError) as error:
                import numpy as np

                nothing = np.zeros((1, 1), np.float32)
                yield AdaptFrame(name, nothing, Camera(1.0, 1.0, 0.0, 0.0, 1, 1), None, one_line(error))
                continue
            for sentence in image.assumptions:
                self._console.note_about(name, sentence, generalised(sentence, path))
            yield AdaptFrame(
                name, image.depth_mm, image.camera, image.ignore, None, image.mirrored, take=str(path.parent)
            )
        self._console.say_groups("frame")

    def identity(self) -> str:
        """A text that differs where frames, or how they are read, do."""
        told = self._options
        lines = [f"{path.resolve()} {path.stat().st_mtime_ns} {path.stat().st_size}" for path, _ in self._inputs]
        lines += [str((told.camera, told.unit, told.mirrored, told.ignore, told.encoding, told.topic))]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _named_hand(self) -> str:
        """The hand that the file beside the first frame names."""
        path, stream = self._inputs[0]
        if stream:
            return self._open(path).hand or "auto"
        reader = make_reader(self._options, None, None)
        return reader.hand_of(reader.sidecar_of(path), []) or "auto"

    def _open(self, path: Path) -> "FrameSource":
        from handopt.input.sequence import open_source

        if path not in self._sources:
            self._sources[path] = open_source(path, self._asked())
        return self._sources[path]

    def _asked(self) -> "SourceOptions":
        from handopt.input.sequence.stream_info import SourceOptions

        told = self._options
        return SourceOptions(
            *(told.camera, told.unit, told.encoding, None, told.ignore, told.mirrored, told.hand), topic=told.topic
        )


def _is_stream(path: Path) -> bool:
    """Whether a path is a recording or a stack of frames, not an image or a folder of images."""
    from handopt.input.sequence.open import is_recording
    from handopt.input.sequence.stacks import is_stack

    if files.is_folder(path):
        return is_recording(path)
    return is_recording(path) or is_stack(path)


def _natural(path: Path) -> tuple[Any, ...]:
    from handopt.input.sequence.folder import natural

    return natural(str(path))
