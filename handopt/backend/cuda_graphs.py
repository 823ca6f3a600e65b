"""CUDA graphs: the launches of a call that comes again with the same sizes and numbers are replayed by one launch.

A call's first time is launched as it is, which also compiles and loads its kernels. Its second is captured, over arrays
of the graph's own. From then on one launch copies the inputs there, one replays the graph, and what was found is copied
from there, so that no later call can touch it. Nothing waits for the device. HANDOPT_CUDA_GRAPHS=0 turns graphs off.
"""

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from math import prod
from typing import Any, Final, Protocol, TypeVar, cast

import numpy as np

from handopt.backend.devices import Array, device_of, namespace_of, using
from handopt.backend.launch import launch

GRAPHS_VARIABLE: Final = "HANDOPT_CUDA_GRAPHS"
MOST_GRAPHS: Final = 32
MOST_BYTES: Final = 256 << 20
"""Of all arrays of the graphs of a thread; a call with larger ones is not captured."""
MOST_CALLS: Final = 256
"""That a thread remembers to have come once."""
REALS, WHOLES = 27, 8
"""How many arrays of reals and of int32 one launch of copy_arrays takes."""

Found = TypeVar("Found", covariant=True)
Inputs = Mapping[str, Array]


class Launches(Protocol[Found]):
    """The launches of a call, over arrays that are there already."""

    nbytes: int
    """Of its arrays but the inputs."""

    def launch(self) -> None:
        """Make them. Allocate nothing, and wait for nothing. The arrays must be as at first when it is made again."""

    def found(self, *, copied: bool) -> Found:
        """What was found. copied: in arrays that the launches do not write to, should they be made again."""


def launched(key: Hashable | None, inputs: Inputs, prepare: Callable[[Inputs], Launches[Found]]) -> Found:
    """What the launches of a call find, on the CPU or a GPU.

    key: all that they depend on but the numbers in `inputs`, with all sizes; None where a graph is not worth it
    inputs: contiguous arrays on one device, of one real type as the first or of int32
    prepare: allocates what else the launches need
    """
    first, own = next(iter(inputs.values())), None
    if key is not None and not isinstance(first, np.ndarray) and _is_on():
        with using(device_of(first)):
            try:
                own = _own_key(first, key)
                graph = _graphs.graph(own, inputs, prepare)
                if graph is not None:
                    return cast(Found, graph.replay(inputs))
            except Exception as error:  # of CuPy, CUDA or the driver: what is wrong with the call itself comes again
                _turn_off(error)
    elif _failures:
        _graphs.forget()  # of this thread, where another one has turned them off
    calls = prepare(inputs)
    calls.launch()
    if own is not None and calls.nbytes + sum(each.nbytes for each in inputs.values()) <= MOST_BYTES:
        _graphs.remember(own)
    return calls.found(copied=False)


def copy_arrays(arrays: Iterable[Array], reals: Array, wholes: Array) -> None:
    """Copy arrays into two, one after the other: those of reals and those of int32. Raises ValueError.

    One launch does it, where there are not more of them than it takes.
    """
    given = list(arrays)
    from_reals = [each for each in given if each.dtype == reals.dtype]
    from_wholes = [each for each in given if each.dtype == wholes.dtype]
    if len(from_reals) + len(from_wholes) != len(given):
        raise ValueError(f"arrays: expected {reals.dtype} or {wholes.dtype}")
    for some, into in ((from_reals, reals), (from_wholes, wholes)):
        if sum(each.size for each in some) > into.size:
            raise ValueError(f"{into.size} numbers of {into.dtype} are too few for what is copied there")
    while from_reals or from_wholes:
        own_reals, own_wholes = from_reals[:REALS], from_wholes[:WHOLES]
        _copy(own_reals, own_wholes, reals, wholes)
        reals = reals[sum(each.size for each in own_reals) :]
        wholes = wholes[sum(each.size for each in own_wholes) :]
        from_reals, from_wholes = from_reals[REALS:], from_wholes[WHOLES:]


def _copy(from_reals: list[Array], from_wholes: list[Array], reals: Array, wholes: Array) -> None:
    """Copy what one launch can."""
    sizes = [each.size for each in from_reals] + [0] * (REALS - len(from_reals))
    sizes += [each.size for each in from_wholes] + [0] * (WHOLES - len(from_wholes))
    unused = [reals] * (REALS - len(from_reals)), [wholes] * (WHOLES - len(from_wholes))
    launch("copy_arrays", max(sizes), *from_reals, *unused[0], *from_wholes, *unused[1], reals, wholes, *sizes)


def split(array: Array, shapes: Iterable[tuple[int, ...]]) -> list[Array]:
    """Views of a flat array, one after the other."""
    views, start = [], 0
    for shape in shapes:
        end = start + prod(shape)
        views.append(array[start:end].reshape(shape))
        start = end
    return views


class _Graph:
    """The launches of a call as a graph, and the arrays that it reads and writes."""

    def __init__(self, inputs: Inputs, prepare: Callable[[Inputs], Launches[Any]]) -> None:
        own: dict[str, Array] = {}
        kept: list[Array] = []
        first = next(iter(inputs.values()))
        for is_real in (True, False):
            some = {name: each for name, each in inputs.items() if (each.dtype == first.dtype) == is_real}
            total = sum(each.size for each in some.values())
            flat = namespace_of(first).empty(total, first.dtype if is_real else np.int32)
            own |= dict(zip(some, split(flat, [each.shape for each in some.values()]), strict=True))
            kept.append(flat)
        self._reals, self._wholes = kept
        self._calls = prepare(own)
        self._graph = _captured(self._calls.launch)
        self.nbytes = self._calls.nbytes + sum(each.nbytes for each in kept)

    def replay(self, inputs: Inputs) -> Any:
        """What the launches find."""
        copy_arrays(inputs.values(), self._reals, self._wholes)
        self._graph.launch()
        return self._calls.found(copied=True)


class _Graphs(threading.local):
    """The graphs of a thread, and which calls it has seen; what was used longest ago goes first.

    Each thread has its own, so that none copies inputs to where a graph of another's is about to read.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, _Graph] = OrderedDict()
        self._seen: OrderedDict[Hashable, None] = OrderedDict()

    def graph(self, key: Hashable, inputs: Inputs, prepare: Callable[[Inputs], Launches[Any]]) -> _Graph | None:
        """The graph of a call, which is captured when the call comes for the second time."""
        if key in self._kept:
            self._kept.move_to_end(key)
        elif key in self._seen:
            self._keep(key, _Graph(inputs, prepare))
        return self._kept.get(key)

    def remember(self, key: Hashable) -> None:
        """Remember that a call has come."""
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > MOST_CALLS:
            self._seen.popitem(last=False)

    def forget(self) -> None:
        """Free all arrays of graphs."""
        self._kept.clear()
        self._seen.clear()

    def _keep(self, key: Hashable, graph: _Graph) -> None:
        """Keep a graph. Arrays of one that goes are used again on its own stream alone, after its last launch."""
        self._kept[key] = graph
        while len(self._kept) > MOST_GRAPHS or sum(each.nbytes for each in self._kept.values()) > MOST_BYTES:
            gone, _ = self._kept.popitem(last=False)
            self._seen.pop(gone, None)  # it has to come twice again


_graphs = _Graphs()
_failures: list[str] = []
"""Why launches could not be captured or replayed in this process; after the first none are."""


def _is_on() -> bool:
    return not _failures and os.environ.get(GRAPHS_VARIABLE, "1") != "0"


def _turn_off(error: Exception) -> None:
    """From now on launch everything as it is, and say so once."""
    _graphs.forget()
    _failures.append(f"{type(error).__name__}: {error}")
    if len(_failures) == 1:
        logging.getLogger(__name__).warning("CUDA graphs are not used from here on: %s", _failures[0])


def _own_key(first: Array, key: Hashable) -> Hashable:
    """A key with what else a graph and its arrays depend on."""
    import cupy

    return device_of(first), cupy.cuda.get_current_stream().ptr, first.dtype, key


def _captured(make_launches: Callable[[], None]) -> Any:
    """A CUDA graph of launches, which are not executed."""
    import cupy

    stream = cupy.cuda.Stream(non_blocking=True)  # the default stream cannot be captured
    with stream:
        stream.begin_capture()
        try:
            make_launches()
        finally:
            graph = stream.end_capture()
    return graph
