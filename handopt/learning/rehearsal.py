"""The rendered images that an adaptation learns from beside its frames."""

from collections.abc import Callable

import numpy as np

from handopt.learning.adapt_settings import AdaptSettings
from handopt.learning.fitted_frames import rows_of
from handopt.learning.image_pool import block_of
from handopt.learning.images import Arrays, with_unknown_labels
from handopt.learning.people import People
from handopt.typing import Floats


class Rehearsal:
    """Blocks of rendered images, always the same ones for a seed and people."""

    def __init__(
        self,
        settings: AdaptSettings,
        key: tuple[int, int],
        steps_per_block: int,
        people: Callable[[Floats], People] = People,
    ) -> None:
        """key: seed and purpose of the blocks. people: whose hands a block shows, made of poses (N, 15, 3)."""
        self._settings, self._key, self._people = settings, key, people
        self.steps_per_block = steps_per_block
        self._block: tuple[int, Arrays] | None = None

    def drawn(self, step: int, rng: np.random.Generator) -> Arrays:
        """As many images as a step takes of each part, drawn from the block of a step."""
        settings, number = self._settings, step // self.steps_per_block
        if self._block is None or self._block[0] != number:
            sizes = settings.rehearsed_images, settings.rehearsed_poses
            self._block = number, with_unknown_labels(block_of(*self._key, number, *sizes, self._people))
        images = self._block[1]
        rows = rng.integers(len(images["scale"]), size=settings.windows * settings.window)
        return rows_of(images, rows)
