"""The depth around the hand in each frame, for pictures: what is no longer changed goes to a file that has no name."""

from collections import deque
from os import PathLike
from typing import Any, Final

import numpy as np

from handopt.input.camera import Camera
from handopt.input.sequence.base import split_ignored
from handopt.observation.crop import Crop
from handopt.tracking.scratch_file import DEPTH, ScratchFile
from handopt.typing import AnyArray, FloatImage, Floats

SHOWN_PX, SHOWN_HALF_MM = 160, 150.0
"""The cube around the hand that a track keeps for pictures: pixels of its edge, and half of the edge in mm."""
IN_MEMORY_BYTES: Final = 32 << 20
"""What is kept in memory before a file is begun: about 650 frames. By hand."""
CROP_BYTES: Final = 2 * SHOWN_PX * SHOWN_PX


class DepthCrops:
    """Depth (S, S) uint16, mm, of frame after frame. The last `held` ones can be changed.

    scratch: folder of the temporary file; the system's if None.
    """

    def __init__(self, held: int, scratch: str | PathLike[str] | None = None) -> None:
        """Begin without a frame."""
        self._held, self._scratch = max(held, 1), scratch
        self.restart(0)

    def restart(self, count: int) -> None:
        """Begin again, with so many frames that show nothing."""
        self._file = ScratchFile(self._scratch, IN_MEMORY_BYTES, DEPTH)
        self._recent: deque[AnyArray] = deque(blank() for _ in range(min(count, self._held)))
        self._filed = count - len(self._recent)

    def __len__(self) -> int:
        return self._filed + len(self._recent)

    def append(self, crop: AnyArray) -> None:
        """Add the next frame. Raises OutputError where the temporary file cannot be written."""
        if len(self._recent) == self._held:
            self._write(self._recent.popleft())
        self._recent.append(crop)

    def last(self) -> AnyArray:
        """What was kept of the last frame; nothing to be shown before the first."""
        return self._recent[-1] if self._recent else blank()

    def change(self, frame: int, crop: AnyArray) -> None:
        """Replace one of the last `held` frames."""
        self._recent[frame - self._filed] = crop

    def frames(self, *, mirrored: bool = False) -> "AnyArray | StoredCrops":
        """All frames (T, S, S): an array as long as they are in memory."""
        stored = StoredCrops(self._file, self._filed, tuple(self._recent), mirrored)
        return stored if len(self) * CROP_BYTES > IN_MEMORY_BYTES else stored[:]

    def _write(self, crop: AnyArray) -> None:
        """Put a frame behind the others in the file; one that shows nothing takes no room there."""
        self._filed += 1
        if crop.any():
            self._file.write((self._filed - 1) * CROP_BYTES, np.ascontiguousarray(crop).tobytes())


class StoredCrops:
    """Depth (T, S, S) uint16, mm, most of it in a file: reads like an array, one frame or a slice at a time."""

    def __init__(self, file: ScratchFile, filed: int, recent: tuple[AnyArray, ...], mirrored: bool) -> None:
        """Made by DepthCrops. filed: frames in the file; recent: those behind them."""
        self._file, self._filed, self._recent, self._mirrored = file, filed, recent, mirrored
        self.shape = (filed + len(recent), SHOWN_PX, SHOWN_PX)
        self.dtype = np.dtype(np.uint16)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> AnyArray:
        """A frame (S, S), or a slice of frames (N, S, S) as an array in memory."""
        if not isinstance(index, slice):
            return self._frame(range(len(self))[index])
        rows = range(len(self))[index]
        out = np.zeros((len(rows), *self.shape[1:]), self.dtype)
        for place, row in enumerate(rows):
            out[place] = self._frame(row)
        return out

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> AnyArray:
        """All frames in memory."""
        return np.asarray(self[:], dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as an array: the file belongs to this process."""
        return np.asarray, (self[:],)

    def _frame(self, row: int) -> AnyArray:
        if row >= self._filed:
            crop = self._recent[row - self._filed]
        else:  # what was never written shows nothing
            data = self._file.read(row * CROP_BYTES, CROP_BYTES).ljust(CROP_BYTES, b"\0")
            crop = np.frombuffer(data, np.uint16).reshape(SHOWN_PX, SHOWN_PX)
        return crop[:, ::-1] if self._mirrored else crop


def crop_about(center_mm: Floats, depth_mm: FloatImage, camera: Camera) -> AnyArray:
    """The cube about a point (3,), mm, of a frame (H, W), as it is kept."""
    x, y, z = (float(value) for value in center_mm)
    shown, _ = split_ignored(Crop((x, y, z), SHOWN_HALF_MM, SHOWN_PX, camera).look_up(depth_mm)[2])
    return np.clip(shown, 0, 65535).astype(np.uint16)


def blank() -> AnyArray:
    """What is kept of a frame where nothing is to be shown."""
    return np.zeros((SHOWN_PX, SHOWN_PX), np.uint16)
