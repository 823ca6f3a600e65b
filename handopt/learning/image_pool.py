"""Images to learn from, made on the fly by other processes: the same for a seed, however many processes there are.

Block n of a seed and a kind is always the same. At a given step the pool always holds the same blocks; where the
processes are too slow, training waits.
"""

import multiprocessing
import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from handopt.learning.images import Arrays, render_images, sample_poses, with_unknown_labels
from handopt.learning.labelled_images import labelled_images
from handopt.learning.people import People
from handopt.learning.settings import TrainSettings
from handopt.typing import Floats

if TYPE_CHECKING:
    from multiprocessing.pool import AsyncResult, Pool
    from typing import Self

TRAINING, HELD_OUT, PERSONAL = 0, 1, 2
"""Purposes of blocks, to learn from, to judge by, and of one person to learn from; no block is for two."""
ROWS, LABELLED_ROWS = 3, 5
"""What the generator of a step's rows is for, beside those of poses and images."""
AHEAD: Final = 2
"""Blocks of a kind that each process is given in advance."""


def block_of(
    seed: int, purpose: int, number: int, images: int, poses: int, people: Callable[[Floats], People] = People
) -> Arrays:
    """The rendered images of a block, see handopt.learning.images.render_images. people: made of poses (N, 15, 3)"""
    key = (seed, purpose, number)
    return render_images(people(sample_poses(poses, key, 1)), images, key, 1)


def labelled_block_of(seed: int, purpose: int, number: int, images: int) -> Arrays:
    """The labelled images of a block, see handopt.learning.labelled_images."""
    return labelled_images(images, (seed, purpose, number))


class ImagePool:
    """The newest blocks of images of both kinds, and batches of them; to be entered with `with`, which starts the
    processes."""

    def __init__(self, settings: TrainSettings, seed: int, workers: int) -> None:
        """workers: processes that make images; with 0 this one does, in between."""
        self._settings, self._seed, self._workers = settings, seed, workers
        self._pool: Pool | None = None
        chosen, self._labelled_rows = settings, round(settings.labelled_share * settings.batch)
        self._rendered = _Blocks(self._ask_rendered, chosen.block_images, chosen.pool_blocks, AHEAD * workers)
        self._labelled = _Blocks(self._ask_labelled, chosen.labelled_images, chosen.pool_blocks, AHEAD * workers)

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
        """The images of a step, the labelled ones last."""
        settings, labelled = self._settings, self._labelled_rows
        parts = []
        if labelled < settings.batch:
            newest = settings.first_blocks + step // settings.steps_per_block
            rng = np.random.default_rng((self._seed, ROWS, step))
            parts.append(with_unknown_labels(self._rendered.drawn(newest, settings.batch - labelled, rng)))
        if labelled:
            newest = settings.first_blocks + step // settings.steps_per_labelled_block
            rng = np.random.default_rng((self._seed, LABELLED_ROWS, step))
            parts.append(self._labelled.drawn(newest, labelled, rng))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def held_out(self) -> Arrays:
        """The rendered images that score the network."""
        return with_unknown_labels(self._held_out(self._ask_rendered))

    def labelled_held_out(self) -> Arrays | None:
        """The labelled images that score the network; None where it learns from none."""
        return self._held_out(self._ask_labelled) if self._labelled_rows else None

    def _held_out(self, ask: "Callable[[int, int], Any]") -> Arrays:
        asked = [ask(HELD_OUT, number) for number in range(self._settings.held_out_blocks)]
        blocks = [_made(each) for each in asked]
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    def _ask_rendered(self, purpose: int, number: int) -> Any:
        settings = self._settings
        return self._ask(block_of, purpose, number, settings.block_images, settings.block_poses)

    def _ask_labelled(self, purpose: int, number: int) -> Any:
        return self._ask(labelled_block_of, purpose, number, self._settings.labelled_images)

    def _ask(self, make: Callable[..., Arrays], *arguments: int) -> Any:
        """A block, or where processes make them the promise of one."""
        given = (self._seed, *arguments)
        return make(*given) if self._pool is None else self._pool.apply_async(make, given)


class _Blocks:
    """The newest blocks of a kind of images."""

    def __init__(self, ask: Callable[[int, int], Any], images: int, most: int, ahead: int) -> None:
        """ask: for a block of a purpose and a number. images: of a block; most: blocks; ahead: asked for in advance."""
        self._ask, self._images, self._most, self._ahead = ask, images, most, ahead
        self._asked: dict[int, AsyncResult[Arrays]] = {}
        self._arrays: Arrays = {}
        self._blocks: set[int] = set()

    def drawn(self, newest: int, count: int, rng: np.random.Generator) -> Arrays:
        """Images that are drawn from the blocks before the one of a number."""
        self._fill(range(max(0, newest - self._most), newest))
        rows = rng.integers(len(self._blocks) * self._images, size=count)
        return {name: values[rows] for name, values in self._arrays.items()}

    def _fill(self, wanted: range) -> None:
        """Have all blocks that are wanted, each in the place that its number gives it."""
        missing = [number for number in wanted if number not in self._blocks]
        if missing and self._ahead:
            for number in range(missing[0], wanted.stop + self._ahead):
                if number not in self._blocks and number not in self._asked:
                    self._asked[number] = self._ask(TRAINING, number)
        for number in missing:
            self._put(_made(self._asked.pop(number) if self._ahead else self._ask(TRAINING, number)), number)
        self._blocks = set(wanted)

    def _put(self, block: Arrays, number: int) -> None:
        if not self._arrays:
            self._arrays = {
                name: np.zeros((self._most * self._images, *each.shape[1:]), each.dtype) for name, each in block.items()
            }
        place = number % self._most * self._images
        for name, values in block.items():
            self._arrays[name][place : place + self._images] = values


def _made(block: Any) -> Arrays:
    return block if isinstance(block, dict) else block.get()


def ignore_interrupts() -> None:
    """Ctrl-C reaches all processes; the one that trains ends the others."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
