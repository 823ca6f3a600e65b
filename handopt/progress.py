"""Progress bars in notebooks; elsewhere nothing is shown, and commands have bars of their own (cli/console)."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

T = TypeVar("T")


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def counted(items: Iterable[T], total: int | None, unit: str) -> Iterator[T]:
    """The same items, in a notebook with a bar that counts them. total: how many there are, None if that is unknown."""
    if not in_notebook():
        return iter(items)
    return _counted(items, total, unit)


def _counted(items: Iterable[T], total: int | None, unit: str) -> Iterator[T]:
    with _bar(total, unit) as bar:
        for item in items:
            yield item
            bar.update()


@contextmanager
def parts_shown(unit: str) -> Iterator[Callable[[str, int, int], None]]:
    """Gives a function that is called with a part's name, how much of it is done, and how much there is."""
    if not in_notebook():
        yield lambda *_: None
        return
    with _bar(None, unit) as bar:

        def show(part: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_description_str(part, refresh=False)
            bar.n = done
            bar.refresh()

        yield show


def _bar(total: int | None, unit: str) -> Any:
    if find_spec("ipywidgets") is None:  # tqdm.auto would warn
        from tqdm.std import tqdm
    else:
        from tqdm.auto import tqdm
    return tqdm(total=total, unit=f" {unit}", leave=False)
