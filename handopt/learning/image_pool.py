"""Images to learn from, rendered on the fly by other processes: the same for a seed, however many processes there are.

Block n of a seed is always the same. At a given step the pool always holds the same blocks; where the processes are
too slow, training waits.
"""

import multiprocessing
import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from handopt.learning.images import Arrays, render_images, sample_poses
from handopt.learning.settings import TrainSettings

if TYPE_CHECKING:
    from multiprocessing.pool import AsyncResult, Pool
    from typing import Self

TRAINING, HELD_OUT = 0, 1
"""Purposes of blocks; no block is for both."""
ROWS: Final = 3
"""What the generator of a step's rows is for, beside those of poses and images."""
AHEAD: Final = 2
"""Blocks that each process is given in advance."""


def block_of(seed: int, purpose: int, number: int, images: int, poses: int) -> Arrays:
    """The images of a block, see handopt.learning.images.render_images."""
    key = (seed, purpose, number)
    return render_images(sample_poses(poses, key, 1), images, key, 1)


class ImagePool:
    """The newest blocks of images, and batches of them; to be entered with `with`, which starts the processes."""

    def __init__(self, settings: TrainSettings, seed: int, workers: int) -> None:
        """workers: processes that render; with 0 this one does, in between."""
        self._settings, self._seed, self._workers = settings, seed, workers
        self._pool: Pool | None = None
        self._asked: dict[int, AsyncResult[Arrays]] = {}
        self._arrays: Arrays = {}
        self._blocks: set[int] = set()

    def __enter__(self) -> "Self":
        """Start the processes."""
        if self._workers:
            os.environ.setdefault("OMP_NUM_THREADS", "1")
            self._pool = multiprocessing.get_context("spawn").Pool(self._workers, ignore_interrupts)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End them."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool.join()

    def batch(self, step: int) -> Arrays:
        """The images of a step."""
        settings = self._settings
        newest = settings.first_blocks + step // settings.steps_per_block
        self._fill(range(max(0, newest - settings.pool_blocks), newest))
        rng = np.random.default_rng((self._seed, ROWS, step))
        rows = rng.integers(len(self._blocks) * settings.block_images, size=settings.batch)
        return {name: values[rows] for name, values in self._arrays.items()}

    def held_out(self) -> Arrays:
        """The images that score the network."""
        asked = [self._ask(HELD_OUT, number) for number in range(self._settings.held_out_blocks)]
        blocks = [each if isinstance(each, dict) else each.get() for each in asked]
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    def _fill(self, wanted: range) -> None:
        """Have all blocks that are wanted, each in the place that its number gives it."""
        missing = [number for number in wanted if number not in self._blocks]
        if missing and self._workers:
            for number in range(missing[0], wanted.stop + AHEAD * self._workers):
                if number not in self._blocks and number not in self._asked:
                    self._asked[number] = self._ask(TRAINING, number)
        for number in missing:
            self._put(self._asked.pop(number).get() if self._workers else self._ask(TRAINING, number), number)
        self._blocks = set(wanted)

    def _ask(self, purpose: int, number: int) -> Any:
        """A block, or where processes render the promise of one."""
        settings = self._settings
        arguments = (self._seed, purpose, number, settings.block_images, settings.block_poses)
        return block_of(*arguments) if self._pool is None else self._pool.apply_async(block_of, arguments)

    def _put(self, block: Arrays, number: int) -> None:
        size, places = self._settings.block_images, self._settings.pool_blocks
        if not self._arrays:
            self._arrays = {
                name: np.zeros((places * size, *each.shape[1:]), each.dtype) for name, each in block.items()
            }
        place = number % places * size
        for name, values in block.items():
            self._arrays[name][place : place + size] = values


def ignore_interrupts() -> None:
    """Ctrl-C reaches all processes; the one that trains ends the others."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
