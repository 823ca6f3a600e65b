"""What the user gives as a camera: a Camera, a preset's name, a file, or the four numbers fx,fy,cx,cy."""

from dataclasses import dataclass, replace
from pathlib import Path

from handopt.errors import CameraError, did_you_mean
from handopt.files import exists
from handopt.input.camera import CAMERA_KEYS, INTRINSICS, Camera, Preset, find_preset, presets
from handopt.input.camera_files import CameraFile, read_camera_file
from handopt.input.sidecar import Sidecar, read_sidecar


@dataclass(frozen=True)
class CameraSpec:
    """A camera as it was given. preset, sidecar, file, given: what it is, None if it is not of that kind.

    sidecar: of a JSON file of handopt. file: of another program.
    """

    text: str
    preset: Preset | None = None
    sidecar: Sidecar | None = None
    file: CameraFile | None = None
    given: Camera | None = None

    @classmethod
    def of(cls, spec: Camera | str | Path) -> "CameraSpec":
        """Look up a preset, or read an existing file. Raises CameraError if the file is malformed."""
        if isinstance(spec, Camera):
            return cls(spec.source, given=spec)
        text = str(spec).strip()
        preset = find_preset(text)
        if preset is not None or not _exists(text):
            return cls(text, preset)
        file = read_camera_file(Path(text))
        return cls(text, sidecar=read_sidecar(Path(text)) if file is None else None, file=file)

    @property
    def unit_mm(self) -> float | None:
        """Mm per count that goes with the camera, or None."""
        if self.preset is not None:
            return self.preset.unit_mm
        return None if self.sidecar is None else self.sidecar.unit_mm

    @property
    def hand(self) -> str | None:
        """The hand that the JSON file names, "right" or "left", or None."""
        return None if self.sidecar is None else self.sidecar.hand

    @property
    def mirrored(self) -> bool | None:
        """Whether images are mirrored, as the JSON file says, or None."""
        return None if self.sidecar is None else self.sidecar.mirrored

    def camera(self, width: int | None = None, height: int | None = None) -> Camera:
        """The camera for images of this size; the four numbers need the size. Raises CameraError."""
        if self.given is not None:
            camera = self.given
        elif self.preset is not None:
            note = f"The camera is the preset {self.preset.name}: {self.preset.source}."
            camera = replace(self.preset.camera, assumptions=(note,))
        elif "," in self.text and not _exists(self.text):
            return _from_numbers(self.text, width, height)
        elif self.file is not None:
            camera = self.file.camera(width, height)
        elif self.text.lower().endswith(".json") or _exists(self.text):
            camera = self._from_file()
        else:
            raise CameraError(
                f"camera={self.text!r} is no preset{did_you_mean(self.text, list(presets()))}, no JSON file and not "
                f"fx,fy,cx,cy; the presets are {', '.join(presets())}"
            )
        return camera if width is None or height is None else camera.sized(width, height)

    def _from_file(self) -> Camera:
        path = Path(self.text)
        found = read_sidecar(path) if self.sidecar is None else self.sidecar
        if found is None or found.camera is None:
            raise CameraError(f"{path}: holds no camera; camera= needs a JSON object with {', '.join(CAMERA_KEYS)}")
        return found.camera


def load_camera(spec: Camera | str | Path, width: int | None = None, height: int | None = None) -> Camera:
    """Return the camera that a preset's name, a JSON file, or "fx,fy,cx,cy" stands for; a Camera for itself.

    width, height: size of the image in pixels, if it is known; the camera is scaled to it, and the four numbers need
    it. Raises CameraError.
    """
    return CameraSpec.of(spec).camera(width, height)


def _exists(text: str) -> bool:
    return bool(text) and exists(text)


def _from_numbers(text: str, width: int | None, height: int | None) -> Camera:
    parts = text.split(",")
    if len(parts) != len(INTRINSICS):
        raise CameraError(f"camera={text!r} has {len(parts)} numbers, expected four: fx,fy,cx,cy in pixels")
    try:
        fx, fy, cx, cy = (float(part) for part in parts)
    except ValueError:
        raise CameraError(f"camera={text!r} is not four numbers fx,fy,cx,cy in pixels") from None
    if width is None or height is None:
        raise CameraError(f"camera={text!r} does not say the image size; give a JSON file with width and height")
    return Camera(fx, fy, cx, cy, width, height, source=f"camera={text}")
