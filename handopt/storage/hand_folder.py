"""A personal hand on disk: the rig's .glb, and beside it a folder with everything else; complete or not at all."""

import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from handopt import atomic_folder
from handopt.draw.comparison import write_comparison
from handopt.errors import OutputError
from handopt.export.mesh import write_rest_obj, write_rest_ply
from handopt.export.rig_gltf import write_rig
from handopt.files import readable
from handopt.storage.fit_folder import save, write_columns
from handopt.storage.naming import result_folders

if TYPE_CHECKING:
    from handopt.shape import ShapeResult

MEASUREMENTS_NAME: Final = "measurements.json"
FITS_NAME: Final = "fits"
OUR_NAMES: Final = frozenset(
    (MEASUREMENTS_NAME, FITS_NAME, "rest.obj", "rest.ply", "history.csv", "turntable.mp4", "turntable.png")
)
PERSONAL: Final = atomic_folder.Kind(
    "personal hand", MEASUREMENTS_NAME, "handopt.shape/", atomic_folder.other_than(OUR_NAMES)
)


def folder_of(path: Path) -> Path:
    """The folder beside a rig's .glb: its name without the suffix."""
    return path.with_suffix("")


def check_free(path: Path, *, overwrite: bool = False, option: str = "path=") -> None:
    """Refuse a place for a personal hand that is taken, or no .glb. Worth calling before the work. Raises OutputError.

    With overwrite, a .glb and a folder that handopt wrote may be replaced.
    """
    if path.suffix.lower() != ".glb" or not path.stem.strip("."):
        raise OutputError(f"{path} is not a name for a rig: choose one that ends with .glb with {option}")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: choose another name with {option}")
    if (path.exists() or path.is_symlink()) and not overwrite:
        raise OutputError(f"{path} exists and was kept: replace it with overwrite=True or choose another with {option}")
    folder = folder_of(path)
    if folder.is_dir() and not folder.is_symlink() and not overwrite:
        raise OutputError(
            f"{folder}, the folder that goes with {path}, exists and was kept: replace it with overwrite=True or "
            f"choose another name with {option}"
        )
    atomic_folder.check_free(folder, PERSONAL, overwrite=overwrite, option=option)


def save_shape(
    result: "ShapeResult",
    path: Path,
    *,
    renders: bool = True,
    video: bool = False,
    overwrite: bool = False,
    option: str = "path=",
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Path:
    """Write a personal hand: path, the rig as .glb; and a folder of the same name without the suffix.

    In the folder: measurements.json, rest.obj, rest.ply (coloured by confidence), history.csv, turntable.png, and in
    fits/ a folder of each image as handopt fit writes it; with video turntable.mp4, the generic and the personal hand
    side by side, and the optimisation of each image. All is written aside and renamed at the end; whatever interrupts
    it, nothing is left. progress: called with "writing", of how many images the results are written, and how many there
    are. Returns the folder. Raises OutputError.
    """
    path = Path(path)
    check_free(path, overwrite=overwrite, option=option)
    folder = folder_of(path)
    partial_rig = path.with_name(f".handopt-{secrets.token_hex(6)}.partial.glb")
    try:
        with atomic_folder.written_aside(folder, overwrite, option) as partial:
            _write_all(result, partial, renders, video, progress)
            write_rig(result.rig, partial_rig, {"measurements_mm": _lengths(result), "images": len(result.fits)})
        try:
            atomic_folder.flush(partial_rig)
            partial_rig.replace(path)
            atomic_folder.flush(path.parent)
        except OSError as error:
            atomic_folder.remove(folder)
            raise OutputError(
                f"cannot write {path}: {error.strerror}; nothing was left there; choose another with {option}"
            ) from error
    finally:
        with suppress(OSError):
            partial_rig.unlink()
    return folder


def _write_all(
    result: "ShapeResult", folder: Path, renders: bool, video: bool, progress: Callable[[str, int, int], None]
) -> None:
    (folder / MEASUREMENTS_NAME).write_text(
        readable(json.dumps(result.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)) + "\n", encoding="utf-8"
    )
    write_rest_obj(result.rig, folder / "rest.obj")
    write_rest_ply(result.rig, folder / "rest.ply", result.frontal_views)
    write_columns(result.history, folder / "history.csv")
    write_comparison(result.generic, result.rig, folder / "turntable.png")
    if video:
        write_comparison(result.generic, result.rig, folder / "turntable.mp4")
    images = [Path(each.image or f"{number:03d}") for number, each in enumerate(result.fits)]
    places = result_folders(images, folder / FITS_NAME)
    for number, (image, each) in enumerate(zip(images, result.fits, strict=True), 1):
        save(each, places[image], renders=renders, video=video)
        progress("writing", number, len(images))


def _lengths(result: "ShapeResult") -> dict[str, list[float]]:
    return {each.name: [round(each.value_mm, 2), round(each.deviation_mm, 2)] for each in result.measurements}
