"""summary.jsonl: one line for each image of a run, written as soon as the image has ended."""

import errno
import fcntl
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from handopt.atomic_folder import FULL_DISK, written_file
from handopt.batch.outcome import DONE, Outcome
from handopt.errors import OutputError
from handopt.files import parse_json

SUMMARY_NAME = "summary.jsonl"
LONGEST_LINE = 1 << 20
"""Bytes of a line; what is longer is none of ours."""

Place = tuple[int, int]


class Summary:
    """Appends a line for each outcome. A kill at any moment loses no line that was written.

    Several runs may write into one folder at once: each line goes out in one write, and the file is put in order only
    by a run that is alone. Then it has one line for each image, first those of this run's images in their order, then
    those of earlier runs.
    """

    def __init__(self, output: Path, images: Sequence[Path]) -> None:
        """output: the folder, which is made where it is missing. Raises OutputError."""
        self.path = output / SUMMARY_NAME
        self._images = images
        self._known: set[str] = set()  # images that were done before and have their line
        self._torn = False
        try:
            output.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(output, os.O_RDONLY)
            self.alone = self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self.alone:
                self._put_in_order(finished=False)
            self._lock(fcntl.LOCK_SH)
            self._file = _open_own(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        except OSError as error:
            raise self._explained(error) from error

    def __enter__(self) -> "Summary":
        """Nothing more to open."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put the lines in order, unless another run is writing."""
        try:
            os.fsync(self._file)
            os.close(self._file)
            if self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB):
                self._put_in_order(finished=True)
        except OSError as problem:
            if error is None:
                raise self._explained(problem) from problem
        finally:
            os.close(self._folder)

    def add(self, outcome: Outcome) -> None:
        """Append a line, unless it is there from an earlier run. Raises OutputError."""
        if outcome.before and str(outcome.task.image) in self._known:
            return
        try:
            self._append((outcome.to_json() + "\n").encode("utf-8"))
        except OSError as error:
            raise self._explained(error) from error

    def _append(self, line: bytes) -> None:
        if self._torn:  # a line of which only a part was written
            line, self._torn = b"\n" + line, False
        written = os.write(self._file, line)
        self._torn = written < len(line)
        while written < len(line):  # the disk is nearly full
            written += os.write(self._file, line[written:])
        self._torn = False

    def _lock(self, kind: int) -> bool:
        """Lock the folder; where it cannot be locked, as on some network file systems, suppose to be alone."""
        try:
            fcntl.flock(self._folder, kind)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _put_in_order(self, *, finished: bool) -> None:
        """Write the file anew with the last line of each image, and drop what a kill has cut off.

        Before a run the lines of its images that are not done go as well.
        """
        if not os.path.lexists(self.path):
            return
        places = _last_lines(self.path, None if finished else {str(image) for image in self._images})
        order = [name for image in self._images if (name := str(image)) in places]
        ours = set(order)
        self._known = ours
        order += [name for name in places if name not in ours]
        with written_file(self.path) as aside, _opened(self.path) as old, aside.open("xb") as new:
            for name in order:
                start, length = places[name]
                old.seek(start)
                new.write(old.read(length))

    def _explained(self, error: OSError) -> OutputError:
        if error.errno in FULL_DISK:
            return OutputError(
                f"the disk is full: {self.path} cannot be written; free some space and run the same command again"
            )
        return OutputError(f"cannot write {self.path}: {error.strerror or error}; choose another output=")


def _open_own(path: Path, flags: int) -> int:
    """Open a regular file that is no link, which could lead to any file of the user's. Raises OSError."""
    try:
        file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link, which is not followed") from error
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return file


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(_open_own(path, os.O_RDONLY), "rb")


def _last_lines(path: Path, unless_done: set[str] | None) -> dict[str, Place]:
    """Where the last line of each image begins, and how long it is; of the images given only if they are done."""
    places: dict[str, Place] = {}
    start = 0
    with _opened(path) as file:
        while line := file.readline(LONGEST_LINE):
            with suppress(ValueError, TypeError, KeyError):
                record = parse_json(line)
                name = record["image"]
                places.pop(name, None)
                kept = unless_done is None or name not in unless_done or record["outcome"] == DONE
                if line.endswith(b"\n") and isinstance(name, str) and kept:
                    places[name] = (start, len(line))
            start += len(line)
    return places
