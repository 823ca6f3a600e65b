"""Which hand a sequence shows, where nothing says so: some of its frames are asked, as single images."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from handopt.backend import cpu_threads, resolve_device
from handopt.config import FitSettings
from handopt.errors import NumericalError, ObservationError
from handopt.fitting import fit
from handopt.input.camera import Camera
from handopt.input.sequence.base import split_ignored
from handopt.rig import Rig
from handopt.tracking.config import SideConfig
from handopt.typing import FloatImage


class SideVotes:
    """Asks the first frame with a hand, and a few more where that is not sure of it."""

    def __init__(
        self, camera: Camera, rig: Rig | None, settings: FitSettings, config: SideConfig, *, live: bool = False
    ) -> None:
        """camera: of the source. rig: of a hand of either side, handopt's own if None. live: to wait for no fit after
        the first one that found a hand; what a frame says counts as soon as it is known.
        """
        self._camera, self._rig, self._settings, self._config = camera, rig, settings, config
        self._first: int | None = None
        self._votes: float | None = None
        self._begun: dict[int, Future[float | None]] = {}
        self._pool: ThreadPoolExecutor | None = None
        if cpu_threads() > 1 and resolve_device(settings.device).kind == "cpu":
            self._pool = ThreadPoolExecutor(1, "handopt-side")
        self._live = live and self._pool is not None

    def decide(self, number: int, depth_mm: FloatImage) -> str | None:
        """The side from a frame on; None where it stays as it is, or no frame has shown a hand yet.

        number: of the frame. depth_mm: (H, W), NaN where pixels are left out.
        """
        if self._live and self._first is not None:
            return self._decide_later(number, depth_mm)
        if not self._is_due(number):
            return None
        begun = self._begun.pop(number, None)
        return self._count(number, self._guess(depth_mm) if begun is None else begun.result())

    def _is_due(self, number: int) -> bool:
        """Whether a frame is to be asked."""
        return self._first is None or (self._votes is not None and number - self._first in self._config.asked)

    def _count(self, number: int, votes: float | None) -> str | None:
        """The side with what a frame says."""
        if votes is None:
            return None
        if self._first is None:
            self._first, self._votes = number, 0.0
        assert self._votes is not None
        self._votes += votes
        side = "right" if self._votes >= 0 else "left"
        if abs(self._votes) >= self._config.sure or number - self._first >= self._config.asked[-1]:
            self._votes = None
        return side

    def _decide_later(self, number: int, depth_mm: FloatImage) -> str | None:
        """`decide` without waiting: frames that are due while another one is asked are not."""
        side = None
        if self._begun:
            ((asked, begun),) = self._begun.items()
            if not begun.done():
                return None
            self._begun.clear()
            side = self._count(asked, begun.result())
        if self._pool is not None and self._is_due(number) and (depth_mm > 0).any():
            self._begun[number] = self._pool.submit(self._guess, depth_mm)
        return side

    def foresee(self, number: int, upcoming: Callable[[], Iterator[tuple[int, FloatImage]]]) -> None:
        """Ask the frame that is the next to be asked on another thread, before its turn comes.

        number: of the frame in hand. upcoming: numbers and depths (H, W), mm, of those after it.
        """
        if self._live or self._pool is None or self._first is None or self._votes is None:
            return
        asked = next((self._first + since for since in self._config.asked if self._first + since > number), None)
        if asked is None or asked in self._begun:
            return
        for at, depth_mm in upcoming():
            if at == asked:
                self._begun[asked] = self._pool.submit(self._guess, depth_mm)
                return

    def _guess(self, depth_mm: FloatImage) -> float | None:
        """How clearly a frame shows a right hand, below 0 for a left one; None where it shows none."""
        if not (depth_mm > 0).any():
            return None
        depth, ignored = split_ignored(depth_mm)
        given = self._settings
        try:
            found = fit(
                depth, self._camera, hand="auto", rig=self._rig, ignore=ignored,
                config=given.config, device=given.device, seed=given.seed, proposals=given.proposals,
            )  # fmt: skip
        except (ObservationError, NumericalError):
            return None
        clear = found.confidence * max(found.hand_margin or 0.0, 0.0)
        return clear if found.hand == "right" else -clear
