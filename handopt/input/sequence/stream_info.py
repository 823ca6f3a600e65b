"""Camera, unit and hand of a sequence: from the caller, from files beside its first frame, and from that frame."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from handopt.errors import DepthError
from handopt.files import is_folder
from handopt.input.camera import Camera
from handopt.input.depth import counts_to_mm
from handopt.input.ignore import checked_mask
from handopt.input.no_depth import no_depth_constants
from handopt.input.reader import Reader
from handopt.input.sequence.base import StreamInfo
from handopt.typing import AnyArray, BoolImage


@dataclass(frozen=True)
class SourceOptions:
    """What the user says of a source; None leaves it open.

    camera: a Camera, a preset, a JSON file, or fx,fy,cx,cy. unit: mm per count. fps: frames per second. ignore: a mask
    of pixels to leave out of all frames, or a folder of masks named like a folder's images. mirrored: whether frames
    are mirrored left to right. hand: "right", "left" or "auto", to say where the files beside the frames differ. topic:
    of the depth images in a ROS bag. colour: whether frames bring pictures of the depth camera's view.
    """

    camera: Camera | str | None = None
    unit: float | None = None
    encoding: str = "auto"
    fps: float | None = None
    ignore: Path | None = None
    mirrored: bool | None = None
    hand: str | None = None
    topic: str | None = None
    colour: bool = False

    def one_mask(self, shape: tuple[int, int]) -> BoolImage | None:
        """The mask (H, W) of the pixels to leave out of all frames of a file. Raises DepthError."""
        if self.ignore is None:
            return None
        if is_folder(self.ignore):
            raise DepthError(f"ignore={self.ignore}: a folder of masks goes with a folder of images; give one mask")
        return checked_mask(self.ignore, shape)


def stream_info(counts: AnyArray, path: Path, options: SourceOptions, name: str) -> StreamInfo:
    """What holds for a whole sequence, by its first frame with depth in it.

    counts: (H, W) of that frame. path: of the file that it is in, beside which further files may lie. name: what
    messages call the frame. Raises CameraError and DepthError.
    """
    notes: list[str] = []
    reader = Reader(options.camera, options.unit, mirrored=options.mirrored)
    sidecar = reader.sidecar_of(path)
    unit = reader.unit_of(path, sidecar, notes)
    _, unit_mm = counts_to_mm(counts, Path(name), unit, notes)
    height, width = counts.shape
    camera = reader.camera_of(path, sidecar, width, height, notes)
    hand = reader.hand_of(sidecar, [])
    mirrored = reader.mirrored_of(sidecar, notes)
    notes += replace(reader, hand=options.hand).contradictions(sidecar, camera)
    no_depth = no_depth_constants(counts, unit_mm)
    camera, lens, said = camera.parted_from_lens()
    notes += said
    return StreamInfo(camera, unit_mm, hand, list(dict.fromkeys(notes)), no_depth, mirrored, lens)


def has_depth(counts: AnyArray) -> bool:
    """Whether anything is measured in counts (H, W)."""
    return bool(((counts > 0) & (counts < np.inf)).any()) if counts.dtype.kind == "f" else bool((counts > 0).any())
