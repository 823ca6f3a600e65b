"""Reading a depth image together with what lies beside it or was said about it: camera, unit, hand."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handopt.errors import CameraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from handopt.input.camera import Camera, Sidecar

# Presets speak of a sensor's own files, which are 16-bit PNG; floating point files come in mm or metres.
_SENSOR_SUFFIX = ".png"


@dataclass(frozen=True)
class DepthInput:
    """A depth image (H, W) in mm and its camera. hand: 'right', 'left' or 'auto'. assumptions: sentences."""

    depth_mm: "NDArray[np.float32]"
    camera: "Camera"
    hand: str
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class Reader:
    """Reads images by the options --camera, --unit, --encoding and --hand, and the side of --model."""

    camera: str | None = None
    unit: float | None = None
    encoding: str = "auto"
    hand: str | None = None
    model_side: str | None = None

    def read(self, image: Path) -> DepthInput:
        """Read an image, and what the options leave open from beside it. Raises DepthError, CameraError."""
        from handopt.input.depth import read_depth

        notes: list[str] = []
        beside = self.beside(image)
        depth = read_depth(image, unit=self.unit_of(image, beside, notes), encoding=self.encoding)
        notes += depth.assumptions
        height, width = depth.depth_mm.shape
        camera = self.camera_of(image, beside, width, height, notes)
        hand = self._hand(beside, notes)
        return DepthInput(depth.depth_mm, camera, hand, tuple(dict.fromkeys(notes)))

    def beside(self, image: Path) -> "Sidecar | None":
        """What the file beside an image says; a bad one does not matter where options say all. Raises CameraError."""
        from handopt.input.camera import sidecar

        try:
            return sidecar(image)
        except CameraError:
            if self.camera is not None and self.unit is not None:
                return None
            raise

    def unit_of(self, image: Path, beside: "Sidecar | None", notes: list[str]) -> float | None:
        """Mm per count by --unit, the --camera file, the file beside the image or the preset; None leaves a guess."""
        from handopt.input.camera import presets, unit_of

        if self.unit is not None:
            return self.unit
        named = None if self.camera is None else unit_of(self.camera)
        is_preset = self.camera is not None and self.camera.strip().lower().replace("_", "-") in presets()
        if named is not None and not is_preset:
            notes.append(f"One count is {named:g} mm, as {self.camera} says.")
            return named
        if beside is not None and beside.unit_mm is not None:
            notes.append(beside.notes["unit"])
            return beside.unit_mm
        if named is not None and image.suffix.lower() == _SENSOR_SUFFIX:
            notes.append(f"One count was taken for {named:g} mm, as is usual for {self.camera} (--unit changes this).")
            return named
        return None

    def camera_of(self, image: Path, beside: "Sidecar | None", width: int, height: int, notes: list[str]) -> "Camera":
        """The camera by --camera or the file beside the image. Raises CameraError."""
        from handopt.input.camera import load_camera

        if self.camera is not None:
            camera = load_camera(self.camera, width, height)
        elif beside is not None and beside.camera is not None:
            notes.append(beside.notes["camera"])
            camera = beside.camera.sized(width, height)
        else:
            raise CameraError(
                f"{image}: its camera is unknown: give --camera (a preset such as kinect, a JSON file, or "
                f"fx,fy,cx,cy), or put {image.stem}.json or camera.json beside the image"
            )
        notes += camera.assumptions
        return camera

    def _hand(self, beside: "Sidecar | None", notes: list[str]) -> str:
        """The side by --hand, the --camera file, the file beside the image or the model."""
        from handopt.input.camera import hand_of

        if self.hand is not None:
            return self.hand
        named = None if self.camera is None else hand_of(self.camera)
        if named is not None:
            notes.append(f"The hand is a {named} hand, as {self.camera} says.")
            return named
        if beside is not None and beside.hand is not None:
            notes.append(beside.notes["hand"])
            return beside.hand
        if self.model_side is not None:
            notes.append(f"The hand was taken for a {self.model_side} one, as --model is (--hand changes this).")
            return self.model_side
        notes.append("The hand was taken for a right one (--hand changes this).")
        return "right"
