"""In which frames hands touch each other, so that none of them is called sure there."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from handopt.fit_hands import HANDS, come_near
from handopt.rig.joints import palm_of
from handopt.tracking.config import SeveralHandsConfig
from handopt.typing import Reals

Mesh = tuple[Reals, Reals]
"""Vertices (V, 3) and joints (21, 3) of a hand in a frame, mm."""


class Contacts:
    """Tells frame by frame which hands touch.

    A hand that is lost while it touches another one is taken to be still there, until it is found or the other hand has
    gone away from that place.
    """

    def __init__(self, config: SeveralHandsConfig) -> None:
        """config: how far away that is."""
        self._config = config
        self._palms: dict[int, Reals] = {}
        self._touching: set[tuple[int, int]] = set()

    def step(self, meshes: Sequence[Mesh | None]) -> list[bool]:
        """Whether each hand touches another one in the next frame. meshes: None where a hand is not known."""
        for pair in combinations(range(len(meshes)), 2):
            one, other = (meshes[each] for each in pair)
            if one is not None and other is not None:
                touch = _touch(one[0], other[0])
            elif one is None and other is None:
                touch = False
            else:
                touch = pair in self._touching and self._is_near(meshes, pair)
            (self._touching.add if touch else self._touching.discard)(pair)
        for index, mesh in enumerate(meshes):
            if mesh is not None:
                self._palms[index] = palm_of(mesh[1])
        touching = {index for pair in self._touching for index in pair}
        return [index in touching for index in range(len(meshes))]

    def _is_near(self, meshes: Sequence[Mesh | None], pair: tuple[int, int]) -> bool:
        """Whether the hand of a pair that is known is near the place where the other one was lost."""
        known, lost = pair if meshes[pair[0]] is not None else pair[::-1]
        mesh = meshes[known]
        assert mesh is not None
        return bool(np.linalg.norm(palm_of(mesh[1]) - self._palms[lost]) < self._config.touch_ends_mm)


def _touch(one: Reals, other: Reals) -> bool:
    """Whether two meshes (V, 3) mm touch."""
    low = np.maximum(np.min(one, axis=0), np.min(other, axis=0))
    high = np.minimum(np.max(one, axis=0), np.max(other, axis=0))
    return bool((low - high < HANDS.touching_mm).all()) and come_near(one, other)
