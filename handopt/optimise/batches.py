"""Parts of a stream, as itertools.batched of Python 3.12 makes them."""

from collections.abc import Iterable, Iterator
from itertools import islice

from handopt.typing import Item


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last of what is left. Items are asked for only when their list is."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
