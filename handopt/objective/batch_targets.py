"""The targets of a batch, made on the host, on their way to a device: one copy for all images and arrays."""

from collections.abc import Sequence
from itertools import accumulate

from handopt.backend import CopiesAhead, Device, PendingCopy
from handopt.objective.targets import FitTargets


class BatchTargets:
    """Targets in groups: the images of a group are fitted together.

    groups: targets on the host. copies: starts to copy them at once; without it they are copied when they are needed.
    """

    def __init__(
        self, groups: Sequence[Sequence[FitTargets]], device: Device, copies: CopiesAhead | None = None
    ) -> None:
        self._groups, self._joined = [list(group) for group in groups], list[FitTargets]()
        if device.kind == "cpu":
            return
        self._joined = [group[0] if len(group) == 1 else FitTargets.joined(group) for group in self._groups]
        arrays = [array for each in self._joined for array in each.arrays().values()]
        self._copy = PendingCopy(device, arrays) if copies is None else copies.start(arrays)

    def on_device(self) -> list[tuple[FitTargets | None, list[FitTargets]]]:
        """Of each group the targets joined, None where that is still to be done, and those of each image."""
        if not self._joined:
            return [(None, group) for group in self._groups]
        arrays = iter(self._copy.arrays())
        groups: list[tuple[FitTargets | None, list[FitTargets]]] = []
        for host, several in zip(self._joined, self._groups, strict=True):
            joined = host.with_arrays({name: next(arrays) for name in host.arrays()})
            ends = list(accumulate(len(each.grids) for each in several))
            parts = [joined.part(end - len(each.grids), end) for end, each in zip(ends, several, strict=True)]
            groups.append((joined, parts))
        return groups
