"""A folder of results that appears complete or not at all."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np

from handopt.output import aside
from handopt.output.film import TRACE_NAME, write_trace
from handopt.output.mesh import write_glb, write_obj, write_ply
from handopt.output.overlay import write_overlay
from handopt.output.renders import write_renders
from handopt.output.video import write_video

if TYPE_CHECKING:
    from handopt.result import FitResult

RESULT_NAME = "result.json"
OUR_NAMES = frozenset(
    (
        *(RESULT_NAME, "history.csv", "mesh.glb", "mesh.obj", "mesh.ply", "optimisation.mp4", "overlay.png", "renders"),
        TRACE_NAME,
    )
)
RESULT = aside.Kind("result", RESULT_NAME, "handopt.result/", aside.other_than(OUR_NAMES))


def save(
    result: "FitResult",
    folder: Path,
    *,
    ply: bool = False,
    obj: bool = False,
    video: bool = False,
    renders: bool = True,
    overwrite: bool = False,
) -> Path:
    """Write a result into a new folder: result.json, mesh.glb, overlay.png, history.csv and what is asked for.

    The folder is written aside, beside its place, and renamed when it is complete; whatever interrupts it, nothing is
    left. An existing folder is kept unless overwrite; then it is replaced if it is empty or holds a result of handopt.
    Returns the folder. Raises OutputError.
    """
    folder = Path(folder)
    check_free(folder, overwrite=overwrite)
    with aside.written_aside(folder, overwrite) as partial:
        (partial / RESULT_NAME).write_text(result.to_json(), encoding="utf-8")
        write_glb(result, partial / "mesh.glb")
        if ply:
            write_ply(result, partial / "mesh.ply")
        if obj:
            write_obj(result, partial / "mesh.obj")
        write_history(result, partial / "history.csv")
        write_overlay(result, partial / "overlay.png")
        if renders:
            (partial / "renders").mkdir()
            write_renders(result, partial / "renders")
            write_trace(result, partial / TRACE_NAME)
        if video:
            write_video(result, partial / "optimisation.mp4")
    return folder


def check_free(folder: Path, *, overwrite: bool = False) -> None:
    """Refuse a place for results that is taken: without overwrite by anything, with it by what handopt did not write.

    Worth calling before a fit, to fail early. Raises OutputError.
    """
    aside.check_free(folder, RESULT, overwrite=overwrite)


def write_history(result: "FitResult", path: Path) -> None:
    """Write every term at every iteration as CSV, in full precision; the first column counts iterations from 0."""
    columns = {name: np.asarray(values).tolist() for name, values in result.history.items()}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["iteration", *columns])
        for index, row in enumerate(zip(*columns.values(), strict=True)):
            writer.writerow([index, *row])


def result_folders(images: Sequence[Path], root: Path) -> dict[Path, Path]:
    """Choose the folder of each image's results: root/<stem>, or what tells equal stems apart.

    Images of equal stem in different folders keep the differing part of their folders (root/a/000, root/b/000); in one
    folder they keep their suffix (root/000_png, root/000_npy). No folder lies inside another's. One file named
    twice has one folder.
    """
    places = {image: image.parent.resolve() / image.name for image in images}
    by_stem: defaultdict[str, set[Path]] = defaultdict(set)
    for place in places.values():
        by_stem[place.stem].add(place)
    chosen: dict[Path, PurePath] = {}
    for stem, group in by_stem.items():
        shared = _shared_parts([place.parent.parts for place in group])
        for place in group:
            siblings = [other for other in group if other.parent == place.parent]
            plain = len(siblings) == 1 and stem.strip(".")  # a stem of dots would name another folder
            name = stem if plain else _with_suffix(place)
            chosen[place] = PurePath(*place.parent.parts[shared:], name)
    _separate(chosen)
    return {image: root / chosen[place] for image, place in places.items()}


def _shared_parts(parents: list[tuple[str, ...]]) -> int:
    """How many leading parts all the folders have in common."""
    return next(
        (index for index, parts in enumerate(zip(*parents, strict=False)) if len(set(parts)) > 1),
        min(len(parts) for parts in parents),
    )


def _with_suffix(place: Path) -> str:
    return place.name.replace(".", "_")


def _separate(chosen: dict[Path, PurePath]) -> None:
    """Rename, in place, what is equal to another folder or holds it, until every folder stands alone."""
    for place in sorted(chosen, key=str):
        original, attempt = chosen[place], 0
        while any(
            other != place and (path == chosen[place] or chosen[place] in path.parents)
            for other, path in chosen.items()
        ):
            attempt += 1
            ending = "" if attempt == 1 else f"_{attempt}"
            chosen[place] = original.with_name(_with_suffix(place) + ending)
