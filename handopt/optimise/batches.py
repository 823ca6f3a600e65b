"""Parts of a stream, as itertools.batched of Python 3.12 makes them."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of so many items, the last one of what is left; items are taken as they are needed."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
