"""A folder of results that appears complete or not at all."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handopt import atomic_folder
from handopt.draw.film import TRACE_NAME, write_trace
from handopt.draw.iteration_frames import write_renders
from handopt.draw.overlay import write_overlay
from handopt.draw.video import write_optimisation
from handopt.export.mesh import write_glb, write_obj, write_ply
from handopt.storage.digests import digests_of
from handopt.storage.hands_folder import OneOrSeveral, hand_names, unknown_in_hands, write_hands
from handopt.typing import AnyArray, Bytes

if TYPE_CHECKING:
    from handopt.result import FitResult

RESULT_NAME = "result.json"
PROVENANCE_NAME = "provenance.json"
MASK_NAME = "mask.png"
OUR_NAMES = frozenset(
    (
        *(RESULT_NAME, PROVENANCE_NAME, "history.csv", "mesh.glb", "mesh.obj", "mesh.ply", "optimisation.mp4"),
        *("overlay.png", "renders", TRACE_NAME, MASK_NAME),
    )
)
RESULT = OneOrSeveral("result", RESULT_NAME, "handopt.result/", unknown_in_hands(OUR_NAMES))


def save(
    result: "FitResult",
    folder: Path,
    *,
    ply: bool = False,
    obj: bool = False,
    masks: bool = False,
    video: bool = False,
    renders: bool = True,
    overlay: bool = True,
    colour: Bytes | None = None,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a result into a new folder: result.json, mesh.glb, history.csv, trace.npz, and what is asked for.

    masks: mask.png, see handopt.pixel_mask. colour: a picture (H, W, 3) of the depth camera's view, which overlay.png
    then shows. provenance: what provenance.json says of the files that the result was made of; digests of the result's
    own files are added.

    The folder is written aside, beside its place, and renamed when it is complete; whatever interrupts it, nothing is
    left. An existing folder is kept unless overwrite; then it is replaced if it is empty or holds a result of handopt.
    Returns the folder. Raises OutputError.
    """
    folder = Path(folder)
    check_free(folder, overwrite=overwrite)
    with atomic_folder.written_aside(folder, overwrite) as partial:
        (partial / RESULT_NAME).write_text(result.to_json(), encoding="utf-8")
        write_glb(result, partial / "mesh.glb")
        if ply:
            write_ply(result, partial / "mesh.ply")
        if obj:
            write_obj(result, partial / "mesh.obj")
        write_history(result, partial / "history.csv")
        write_trace(result, partial / TRACE_NAME)
        if overlay:
            write_overlay(result, partial / "overlay.png", colour)
        if masks:
            write_mask(result, partial / MASK_NAME)
        if renders:
            (partial / "renders").mkdir()
            write_renders(result, partial / "renders")
        if video:
            write_optimisation(result, partial / "optimisation.mp4")
        if provenance is not None:
            document = json.dumps({**provenance, "results": digests_of(partial)}, indent=2)
            (partial / PROVENANCE_NAME).write_text(document + "\n", encoding="utf-8")
    return folder


def save_hands(results: "Sequence[FitResult]", folder: Path, *, overwrite: bool = False, **files: Any) -> list[str]:
    """Write the results of an image's hands into a new folder: right and left, or numbered where sides are equal.

    Each is a folder of results, see save; files: its arguments. The folder of them all appears complete or not at all,
    and hands.json in it lists them. Returns their names, in the order of the results. Raises OutputError.
    """
    folder = Path(folder)
    check_free(folder, overwrite=overwrite)
    names = hand_names([result.hand for result in results])
    with atomic_folder.written_aside(folder, overwrite) as partial:
        for name, result in zip(names, results, strict=True):
            save(result, partial / name, **files)
        write_hands(partial, names)
    return names


def check_free(folder: Path, *, overwrite: bool = False) -> None:
    """Refuse a place for results that is taken: without overwrite by anything, with it by what handopt did not write.

    Worth calling before a fit, to fail early. Raises OutputError.
    """
    atomic_folder.check_free(folder, RESULT, overwrite=overwrite)


def write_mask(result: "FitResult", path: Path) -> None:
    """Write what each pixel around the hand is, see handopt.pixel_mask, as an image of 8 bits."""
    from PIL import Image

    from handopt.assess.pixel_mask import pixel_mask

    mask = pixel_mask(result.observation, result.fitted_depth_mm, result.joints_mm)
    Image.fromarray(mask).save(path)


def write_history(result: "FitResult", path: Path) -> None:
    """Write every term at every iteration as CSV, in full precision; the first column counts iterations from 0."""
    write_columns(result.history, path)


def write_columns(table: Mapping[str, AnyArray], path: Path) -> None:
    """Write columns of equal length as CSV, in full precision; the first column counts iterations from 0."""
    columns = {name: np.asarray(values).tolist() for name, values in table.items()}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["iteration", *columns])
        for index, row in enumerate(zip(*columns.values(), strict=True)):
            writer.writerow([index, *row])
