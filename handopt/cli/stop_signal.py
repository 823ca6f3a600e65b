"""Following a hand until Ctrl-C."""

import signal
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handopt.typing import Item


def ending_signals() -> list[signal.Signals]:
    """Signals that end a program in order: SIGTERM, and SIGHUP of a terminal that closes, unless nohup ignores it."""
    return [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]


class StopOnSignal:
    """Ends frames at Ctrl-C or SIGTERM: at once while one is waited for, else after the one in hand.

    A second Ctrl-C is an ordinary one. count: frames so far. exit_code: of a command that was stopped, as a shell's.
    """

    def __init__(self) -> None:
        self.stopped, self.count, self.exit_code = False, 0, 0
        self._waiting = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopOnSignal":
        """Take over the signals."""
        self._before = {each: signal.signal(each, self._stop) for each in (signal.SIGINT, *ending_signals())}
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for each, before in self._before.items():
            signal.signal(each, before)

    def frames(self, frames: "Iterable[Item]") -> "Iterator[Item]":
        """The frames until the user has enough."""
        iterator = iter(frames)
        try:
            while not self.stopped:
                self._waiting = True
                frame = next(iterator)
                self._waiting = False
                self.count += 1
                yield frame
        except StopIteration:
            return
        except KeyboardInterrupt:
            self.stopped = True
        finally:
            self._waiting = False

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.exit_code = 128 + number
        if self._waiting or self.stopped:
            raise KeyboardInterrupt
        self.stopped = True
