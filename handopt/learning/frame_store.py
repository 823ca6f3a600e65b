"""The fitted frames of an adaptation on disk, in blocks, so that memory does not grow with their number."""

import io
import json
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.atomic_folder import remove_stale, written_file
from handopt.errors import HandoptError, OutputError
from handopt.files import UnreadableError, read_json
from handopt.learning.fitted_frames import AdaptFrame, FittedFrames, fit_frames, rows_of
from handopt.learning.image_pool import ignore_interrupts
from handopt.learning.images import Arrays
from handopt.proposals.model_file import PoseModel
from handopt.typing import AnyArray

PART: Final = 64
"""Frames that a process follows the hand through at once."""
BLOCK: Final = 8
"""Frames of a file. A part fills whole files."""
SMALL: Final = (
    *("number", "rotation", "angles", "wrist", "scale", "proportions", "view", "distance", "joints", "confidence"),
    *("camera_centre", "visible", "offset", "measured", "labels", "keypoints"),
)
"""Arrays that are kept in memory: 30 kB of a frame."""
INDEX: Final = "frames.json"


class FrameStore:
    """Blocks of fitted frames in a folder; made once, also where it was stopped in between."""

    def __init__(self, folder: Path, identity: str) -> None:
        """identity: of frames and settings; blocks of another one are not taken."""
        self.folder, self.identity = folder, identity
        self.side: str | None = None
        self.problems: list[tuple[str, str]] = []
        self.other_side = 0
        self.small: Arrays = {}
        self._places: AnyArray = np.zeros((0, 2), np.int64)

    def is_complete(self) -> bool:
        """Whether all frames are fitted. Raises OutputError where the folder is that of other frames."""
        try:
            index = read_json(self.folder / INDEX)
        except UnreadableError:
            return False
        if not isinstance(index, dict) or index.get("identity") != self.identity:
            raise OutputError(
                f"{self.folder.parent} was begun with other frames, another model or other settings: give the same, or "
                "begin anew with overwrite=True"
            )
        self.side = index.get("side")
        return bool(index.get("complete"))

    def fill(
        self,
        frames: Iterable[AdaptFrame],
        side: str,
        model: PoseModel | None,
        *,
        seed: int,
        workers: int,
        progress: Callable[[int], bool],
    ) -> bool:
        """Fit all frames that are not yet fitted. progress: called with how many are done; False stops.

        Returns whether all are fitted. Raises OutputError.
        """
        self.side = side
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_stale(self.folder)
        self._write_index(False)
        for first, count in self._fitted(_parts(frames), side, model, seed, workers):
            if not progress(first + count):
                return False
        self._write_index(True)
        return True

    def _fitted(
        self, parts: "Iterator[list[AdaptFrame]]", side: str, model: PoseModel | None, seed: int, workers: int
    ) -> Iterator[tuple[int, int]]:
        """Fit parts in order; first frame and number of frames of each that is written."""
        pool: ProcessPoolExecutor | None = None
        if workers:
            os.environ.setdefault("OMP_NUM_THREADS", "1")
            context = multiprocessing.get_context("spawn")
            pool = ProcessPoolExecutor(workers, mp_context=context, initializer=ignore_interrupts)
        waiting: deque[tuple[int, int, Any]] = deque()
        try:
            for number, frames in enumerate(parts):
                first = number * PART
                if all(self._path(at).exists() for at in _files(first, len(frames))):
                    waiting.append((first, len(frames), None))
                else:
                    given = (frames, first, side, model, seed)
                    made = fit_frames(*given) if pool is None else pool.submit(fit_frames, *given)
                    waiting.append((first, len(frames), made))
                while len(waiting) > (workers + 1 if workers else 0):  # one that waits is in memory as well
                    yield self._written(*waiting.popleft())
            while waiting:
                yield self._written(*waiting.popleft())
        except BrokenProcessPool as error:
            raise HandoptError(
                "a process that fits frames has ended unexpectedly (too little memory, or a script without "
                "if __name__ == '__main__'): go on with resume=True and workers=0"
            ) from error
        finally:
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def _written(self, first: int, count: int, made: Any) -> tuple[int, int]:
        """Write the frames of a part in files, the first of which has what is said of all."""
        if made is None:
            return first, count
        part: FittedFrames = made if isinstance(made, FittedFrames) else made.result()
        said: dict[str, Any] = {"problems": part.problems, "other_side": part.other_side}
        places = part.arrays.get("number", np.zeros(0, np.int64)) // BLOCK
        try:
            for at in _files(first, count):
                rows = np.flatnonzero(places == at)
                arrays: dict[str, Any] = rows_of(part.arrays, rows) if len(rows) else {}
                with written_file(self._path(at)) as partial:
                    np.savez(partial, facts=np.array(json.dumps(said)), **arrays)
                said = {"problems": [], "other_side": 0}
        except OSError as error:
            raise full(self.folder, error) from error
        return first, count

    def load(self) -> None:
        """Read what is small of all blocks. Raises HandoptError where one is damaged."""
        parts, places = [], []
        for number, path in enumerate(sorted(self.folder.glob("*.npz"))):
            with _opened(path) as block:
                facts = json.loads(str(block["facts"]))
                self.problems += [tuple(each) for each in facts["problems"]]
                self.other_side += facts["other_side"]
                if "number" in block.files:
                    parts.append({name: block[name] for name in SMALL})
                    places += [(number, row) for row in range(len(parts[-1]["number"]))]
        self.small = {name: np.concatenate([part[name] for part in parts]) for name in SMALL} if parts else {}
        self._places = np.array(places, np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._places)

    def targets(self, rows: AnyArray) -> Arrays:
        """Points, splats, field, weight and the rest of frames, read from disk. rows: (B,) of this store."""
        found: dict[str, list[Any]] = {}
        order: list[AnyArray] = []
        places = self._places[rows]
        for number in np.unique(places[:, 0]):
            chosen = np.flatnonzero(places[:, 0] == number)
            order.append(chosen)
            with _opened(self._path(int(number))) as block:
                for name in ("points", "splats", "field", "weight", "coefficients", "mm_per_px", "centre"):
                    found.setdefault(name, []).append(block[name][places[chosen, 1]])
        back = np.argsort(np.concatenate(order), kind="stable")
        return {name: np.concatenate(each)[back].astype(np.float32) for name, each in found.items()}

    def remove(self) -> None:
        """Delete the blocks, and what a process that was killed has left here; other files stay. Raises OSError."""
        remove_stale(self.folder)
        remove_stale(self.folder.parent)
        for path in [*self.folder.glob("*.npz"), self.folder / INDEX]:
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npz"

    def _write_index(self, complete: bool) -> None:
        try:
            with written_file(self.folder / INDEX) as partial:
                facts = {"identity": self.identity, "side": self.side, "complete": complete}
                partial.write_text(json.dumps(facts) + "\n", encoding="utf-8")
        except OSError as error:
            raise full(self.folder, error) from error


def full(folder: Path, error: OSError) -> OutputError:
    """The error for a place that cannot be written."""
    return OutputError(f"{folder} cannot be written: {error.strerror or error}; free some space")


def _parts(frames: Iterable[AdaptFrame]) -> Iterator[list[AdaptFrame]]:
    given = iter(frames)
    while part := list(islice(given, PART)):
        yield part


def _files(first: int, count: int) -> range:
    """The numbers of the files that hold some frames from a part's first one on."""
    return range(first // BLOCK, -(-(first + count) // BLOCK))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The arrays of a block. Raises HandoptError where it, or what is read of it meanwhile, is damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as block:
            yield block
    except Exception as error:  # zipfile, zlib and NumPy raise almost anything on damaged files
        raise HandoptError(f"{path} is damaged: begin anew with overwrite=True") from error
