"""summary.jsonl: one line for each image of a run, written as soon as the image has ended."""

import fcntl
import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from handopt.atomic_folder import FULL_DISK
from handopt.batch.outcome import DONE, Outcome
from handopt.errors import OutputError

SUMMARY_NAME = "summary.jsonl"

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
        try:
            output.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(output, os.O_RDONLY)
            self.alone = self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self.alone:
                self._put_in_order(finished=False)
            self._lock(fcntl.LOCK_SH)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
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
        written = os.write(self._file, line)
        if written < len(line):  # the disk is nearly full
            os.write(self._file, line[written:])

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
        if not self.path.exists():
            return
        places = _last_lines(self.path, None if finished else {str(image) for image in self._images})
        order = [name for image in self._images if (name := str(image)) in places]
        ours = set(order)
        self._known = ours
        order += [name for name in places if name not in ours]
        aside = self.path.with_name(f".handopt-{secrets.token_hex(6)}.summary")
        try:
            with self.path.open("rb") as old, aside.open("wb") as new:
                for name in order:
                    start, length = places[name]
                    old.seek(start)
                    new.write(old.read(length))
                new.flush()
                os.fsync(new.fileno())
            aside.replace(self.path)
        finally:
            with suppress(OSError):
                aside.unlink(missing_ok=True)

    def _explained(self, error: OSError) -> OutputError:
        if error.errno in FULL_DISK:
            return OutputError(
                f"the disk is full: {self.path} cannot be written; free some space and run the same command again"
            )
        return OutputError(f"cannot write {self.path}: {error.strerror or error}; choose another output=")


def _last_lines(path: Path, unless_done: set[str] | None) -> dict[str, Place]:
    """Where the last line of each image begins, and how long it is; of the images given only if they are done."""
    places: dict[str, Place] = {}
    start = 0
    with path.open("rb") as file:
        for line in file:
            with suppress(ValueError, TypeError, KeyError):
                record = json.loads(line)
                name = record["image"]
                places.pop(name, None)
                kept = unless_done is None or name not in unless_done or record["outcome"] == DONE
                if line.endswith(b"\n") and isinstance(name, str) and kept:
                    places[name] = (start, len(line))
            start += len(line)
    return places
