"""Reading a depth image together with what is known of it: its camera, the unit of its counts, the hand in it.

What the caller says goes first, then the JSON file that was given as the camera, then the file beside the image, then
the camera's preset, then a guess, which the assumptions mention.
"""

from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from handopt.errors import CameraError

if TYPE_CHECKING:
    from handopt.input.camera import Camera
    from handopt.input.camera_spec import CameraSpec
    from handopt.input.ignore import IgnoreMasks
    from handopt.input.sidecar import Sidecar
    from handopt.typing import AnyArray, BoolImage, FloatImage

# A preset's unit is that of the sensor's own files, 16-bit PNG; floating point files come in mm or metres.
_SENSOR_SUFFIX = ".png"


@dataclass(frozen=True)
class DepthInput:
    """A depth image (H, W) in mm and its camera. hand: 'right', 'left' or 'auto'. assumptions: sentences.

    ignore: (H, W) pixels to leave out, None for none. mirrored: whether the image is mirrored left to right. step: of a
    very large image every step-th row and column was taken, and the camera is that of the smaller image.
    """

    depth_mm: "FloatImage"
    camera: "Camera"
    hand: str
    assumptions: tuple[str, ...]
    ignore: "BoolImage | None" = None
    mirrored: bool = False
    step: int = 1

    def subsampled(self) -> "DepthInput":
        """The same with so few rows and columns that memory and time of a fit stay within bounds."""
        from dataclasses import replace

        from handopt.input.subsample import step_of, subsampled, subsampled_camera

        step = step_of(self.depth_mm.shape)
        if step == 1:
            return self
        height, width = self.depth_mm.shape
        note = f"The image has {width} x {height} pixels, of which one in {step} rows and columns was taken."
        return replace(
            self,
            depth_mm=subsampled(self.depth_mm, step),
            camera=subsampled_camera(self.camera, step),
            assumptions=(*self.assumptions, note),
            ignore=None if self.ignore is None else subsampled(self.ignore, step),
            step=step,
        )


def read_image(
    path: str | PathLike[str],
    *,
    camera: "Camera | str | None" = None,
    unit: float | None = None,
    encoding: str = "auto",
    hand: str | None = None,
) -> DepthInput:
    """Read a depth image together with its camera, as `handopt fit` does.

    >>> image = handopt.read_image("frames/000.png")  # with frames/000.json or frames/camera.json beside it
    >>> result = handopt.fit(image.depth_mm, image.camera, hand=image.hand, mirrored=image.mirrored)

    What is None is looked for in `<stem>.json` and `camera.json` beside the image, and assumed where these say nothing.
    camera: a Camera, a preset's name, a JSON file, or "fx,fy,cx,cy"; one for another size is scaled to the image's.
    unit: mm per count. encoding: as in handopt.read_depth. hand: 'right', 'left' or 'auto'. Of an image of more than 4
    million pixels only every n-th row and column is taken, which the assumptions say.
    Raises DepthError, and CameraError where nothing says which camera it is.
    """
    return Reader(camera, unit, encoding, hand).read(Path(path))


@dataclass(frozen=True)
class Reader:
    """Reads depth images; None leaves a fact to the files beside an image.

    camera: a Camera, a preset, a JSON file, or fx,fy,cx,cy. unit: mm per count. encoding: as in handopt.read_depth.
    hand: "right", "left" or "auto". model_side: the side of the model, which the hand is assumed to have if nothing
    else says. ignore: a mask of pixels to leave out, or a folder of masks named like the images. mirrored: whether
    images are mirrored left to right.
    """

    camera: "Camera | str | None" = None
    unit: float | None = None
    encoding: str = "auto"
    hand: str | None = None
    model_side: str | None = None
    ignore: Path | None = None
    mirrored: bool | None = None

    def read(self, image: Path) -> DepthInput:
        """Read an image, its camera and its hand. Raises DepthError, CameraError."""
        from handopt.input.depth import read_depth
        from handopt.input.point_cloud import is_cloud

        notes: list[str] = []
        sidecar = self.sidecar_of(image)
        if is_cloud(image):
            return self._cloud(image, sidecar, notes)
        depth = read_depth(image, unit=self.unit_of(image, sidecar, notes), encoding=self.encoding)
        notes += depth.assumptions
        height, width = depth.depth_mm.shape
        camera = self.camera_of(image, sidecar, width, height, notes)
        hand = self.hand_of(sidecar, notes) or self._likely_hand(notes)
        mirrored = self.mirrored_of(sidecar, notes)
        notes += self.contradictions(sidecar, camera)
        ignore = self._ignored(image, (height, width), notes)
        depth_mm = depth.depth_mm
        if camera.lens is not None:
            depth_mm, ignore, camera = undistorted(depth_mm, ignore, camera, mirrored)
            notes.append(camera.assumptions[-1])
        read = DepthInput(depth_mm, camera, hand, tuple(dict.fromkeys(notes)), ignore, mirrored)
        del depth, depth_mm
        return read.subsampled()

    def _cloud(self, image: Path, sidecar: "Sidecar | None", notes: list[str]) -> DepthInput:
        """A point cloud as a depth image, seen by the camera that is named, or by one that fits its points."""
        from handopt.errors import DepthError
        from handopt.input.point_cloud import cloud_image

        if self.ignore is not None:
            raise DepthError(f"{image}: ignore= marks pixels, which points do not have; remove the points instead")
        named = self._spec()
        camera = None if named is None else named.camera()
        if camera is None and sidecar is not None:
            camera = sidecar.camera
        stated = self.unit if self.unit is not None else None if sidecar is None else sidecar.unit_mm
        depth_mm, camera, found = cloud_image(image, stated, camera)
        notes += found
        hand = self.hand_of(sidecar, notes) or self._likely_hand(notes)
        mirrored = self.mirrored_of(sidecar, notes)
        return DepthInput(depth_mm, camera, hand, tuple(dict.fromkeys(notes)), None, mirrored).subsampled()

    def sidecar_of(self, image: Path) -> "Sidecar | None":
        """What the files beside an image say. Raises CameraError if they are malformed and something is open."""
        from handopt.input.sidecar import find_sidecar

        try:
            return find_sidecar(image)
        except CameraError:
            if self.camera is not None and self.unit is not None:
                return None
            raise

    def unit_of(self, image: Path, sidecar: "Sidecar | None", notes: list[str]) -> float | None:
        """Mm per count, or None if it must be guessed from the image. A sentence on its origin goes into notes."""
        if self.unit is not None:
            return self.unit
        named = self._spec()
        if named is not None and named.preset is None and named.unit_mm is not None:
            notes.append(f"One count is {named.unit_mm:g} mm, as {self.camera} says.")
            return named.unit_mm
        if sidecar is not None and sidecar.unit_mm is not None:
            notes.append(sidecar.notes["unit"])
            return sidecar.unit_mm
        if named is not None and named.preset is not None and image.suffix.lower() == _SENSOR_SUFFIX:
            unit = named.preset.unit_mm
            notes.append(f"One count was assumed to be {unit:g} mm, as usual for {self.camera} (unit= changes this).")
            return unit
        return None

    def camera_of(self, image: Path, sidecar: "Sidecar | None", width: int, height: int, notes: list[str]) -> "Camera":
        """The camera of an image of width x height pixels. Its assumptions go into notes. Raises CameraError."""
        named = self._spec()
        if named is not None:
            camera = named.camera(width, height)
        elif sidecar is not None and sidecar.camera is not None:
            notes.append(sidecar.notes["camera"])
            camera = sidecar.camera.sized(width, height)
        else:
            raise CameraError(
                f"{image}: its camera is unknown: give camera= (a preset such as kinect, a JSON file, or "
                f"fx,fy,cx,cy), or put {image.stem}.json or camera.json beside the image"
            )
        notes += camera.assumptions
        return camera

    def hand_of(self, sidecar: "Sidecar | None", notes: list[str]) -> str | None:
        """The hand that the caller or a file names, or None. A sentence on its origin goes into notes."""
        if self.hand is not None:
            return self.hand
        named = self._spec()
        if named is not None and named.hand is not None:
            notes.append(f"The hand is a {named.hand} hand, as {self.camera} says.")
            return named.hand
        if sidecar is not None and sidecar.hand is not None:
            notes.append(sidecar.notes["hand"])
            return sidecar.hand
        return None

    def mirrored_of(self, sidecar: "Sidecar | None", notes: list[str]) -> bool:
        """Whether the image is mirrored left to right. A sentence on its origin goes into notes."""
        if self.mirrored is not None:
            return self.mirrored
        named = self._spec()
        if named is not None and named.mirrored is not None:
            notes.append(f"The image is {'' if named.mirrored else 'not '}mirrored, as {self.camera} says.")
            return named.mirrored
        if sidecar is not None and sidecar.mirrored is not None:
            notes.append(sidecar.notes["mirrored"])
            return sidecar.mirrored
        return False

    def contradictions(self, sidecar: "Sidecar | None", camera: "Camera") -> list[str]:
        """A sentence for each fact that the caller gives and the file that would count otherwise says differently.

        camera: of the image, as it is used. hand="auto" contradicts no file.
        """
        from handopt.input.sidecar import Sidecar

        named = self._spec()
        own = None if named is None else named.sidecar
        files = own.or_else(sidecar) if own and sidecar else own or sidecar or Sidecar(Path())
        hand = None if self.hand == "auto" else self.hand
        unit, unit_mm = self.unit, files.unit_mm
        compared = [
            ("unit", None if unit is None else f"{unit:g}", None if unit_mm is None else f"{unit_mm:g}"),
            ("hand", hand, files.hand),
            ("mirrored", self.mirrored, files.mirrored),
        ]
        notes = [
            f"{name}={given} is used; {files.origins[name]} says {str(said).lower()}."
            for name, given, said in compared
            if given is not None and said is not None and given != said
        ]
        beside = None if sidecar is None else sidecar.camera
        if self.camera is not None and beside is not None and not camera.is_close(beside):
            given = self.camera if isinstance(self.camera, str) else ""
            notes.append(f"camera={given} is used; {beside.source} says {beside.numbers()}.")
        return notes

    def ignore_file_of(self, image: Path) -> Path | None:
        """The mask of the pixels to leave out of an image, None where there is none. Raises DepthError."""
        return None if self._masks is None else self._masks.file_of(image)

    def _ignored(self, image: Path, shape: tuple[int, int], notes: list[str]) -> "BoolImage | None":
        """The pixels to leave out; that a folder has no mask for the image goes into notes. Raises DepthError."""
        if self._masks is None:
            return None
        mask = self._masks.mask_of(image, shape)
        if mask is None:
            notes.append(f"Nothing was left out: {self.ignore} has no mask of the image's name.")
        return mask

    @cached_property
    def _masks(self) -> "IgnoreMasks | None":
        from handopt.input.ignore import IgnoreMasks

        return None if self.ignore is None else IgnoreMasks(self.ignore)

    def _likely_hand(self, notes: list[str]) -> str:
        """The side of the model, or auto, which tries both."""
        if self.model_side is not None:
            side = self.model_side
            notes.append(f"The hand was assumed to be a {side} hand, like that of rig= (hand= changes this).")
            return self.model_side
        notes.append("Nothing says which hand it is, so that both were tried (hand= changes this).")
        return "auto"

    def _spec(self) -> "CameraSpec | None":
        from handopt.input.camera_spec import CameraSpec

        return None if self.camera is None else CameraSpec.of(self.camera)


def undistorted(
    depth_mm: "AnyArray", ignore: "AnyArray | None", camera: "Camera", mirrored: bool
) -> "tuple[AnyArray, AnyArray | None, Camera]":
    """Depth (H, W), pixels to leave out (H, W) and camera without lens distortion. The camera is of the true scene.

    mirrored: whether the arrays are mirrored left to right. Raises CameraError where the lens cannot be inverted.
    """
    step = -1 if mirrored else 1
    straight, plain = camera.undistorted(depth_mm[:, ::step])
    left_out = None if ignore is None else camera.undistorted(ignore[:, ::step])[0][:, ::step]
    return straight[:, ::step], left_out, plain
