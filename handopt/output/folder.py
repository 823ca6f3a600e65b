"""A folder of results that appears complete or not at all."""

import csv
import errno
import json
import os
import secrets
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np

from handopt.errors import OutputError
from handopt.output.mesh import write_glb, write_obj, write_ply
from handopt.output.overlay import write_overlay
from handopt.output.renders import write_renders
from handopt.output.video import write_video

if TYPE_CHECKING:
    from handopt.result import FitResult

RESULT_NAME = "result.json"
OUR_NAMES = frozenset(
    (RESULT_NAME, "history.csv", "mesh.glb", "mesh.obj", "mesh.ply", "optimisation.mp4", "overlay.png", "renders")
)
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Contents:
    """By what a folder of handopt's is known: a JSON file, how its format begins, and all names that may lie in it."""

    marker: str
    format: str
    names: frozenset[str]


RESULT = Contents(RESULT_NAME, "handopt.result/", OUR_NAMES)


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
    with written_aside(folder, overwrite) as partial:
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
        if video:
            write_video(result, partial / "optimisation.mp4")
    return folder


def check_free(folder: Path, *, overwrite: bool = False, contents: Contents = RESULT) -> None:
    """Refuse a place for results that is taken: without overwrite by anything, with it by what handopt did not write.

    Worth calling before a fit, to fail early. Raises OutputError.
    """
    try:
        if not folder.is_symlink() and not folder.exists():
            return
        if not folder.is_dir() or folder.is_symlink():
            raise OutputError(f"{folder} is in the way and is not a folder: choose another with -o")
        if not overwrite:
            raise OutputError(f"{folder} exists and was kept: replace it with --overwrite or choose another with -o")
        if any(folder.iterdir()) and not _is_ours(folder, contents):
            raise OutputError(f"{folder} holds no result of handopt and was kept: choose another with -o")
        if foreign := sorted(path.name for path in folder.iterdir() if path.name not in contents.names):
            raise OutputError(f"{folder} holds {foreign[0]}, which is not handopt's, and was kept: move it elsewhere")
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot look into {folder}: {error.strerror}; choose another with -o") from error


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


def _is_ours(folder: Path, contents: Contents) -> bool:
    """Whether a folder holds the marker of such contents."""
    try:
        document = json.loads((folder / contents.marker).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and str(document.get("format", "")).startswith(contents.format)


@contextmanager
def written_aside(folder: Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder beside the place of another to write into; put it there at the end, or remove every trace."""
    made: list[Path] = []
    partial = folder.parent / f".handopt-{secrets.token_hex(6)}.partial"
    try:
        _make_parents(folder.parent, made)
        partial.mkdir()
        yield partial
        _put(partial, folder, overwrite)
    except BaseException as error:
        _remove(partial)
        for parent in reversed(made):
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise _explained(error, folder, partial) from error
        raise


def _make_parents(parent: Path, made: list[Path]) -> None:
    """Create a folder and those above it, noting each in made as soon as it exists."""
    missing = [path for path in (parent, *parent.parents) if not path.exists()]
    for path in reversed(missing):
        with suppress(FileExistsError):  # another process was quicker, so the folder is not ours to remove
            path.mkdir()
            made.append(path)


def _put(partial: Path, folder: Path, overwrite: bool) -> None:
    """Rename a complete folder to its place; with overwrite an old one goes first, and comes back if that fails."""
    old = partial.with_suffix(".old")
    try:
        if overwrite and folder.exists():
            folder.rename(old)
        partial.rename(folder)
    except BaseException as error:
        if old.exists() and not folder.exists():
            try:
                old.rename(folder)
            except OSError:
                raise OutputError(
                    f"{folder} could not be replaced ({error}); its old results are now in {old}"
                ) from error
        raise
    finally:
        if folder.exists():
            _remove(old)


def _remove(folder: Path) -> None:
    """Delete a folder of ours, and go on to the end if Ctrl-C arrives meanwhile."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _explained(error: OSError, folder: Path, partial: Path) -> OutputError:
    """The error for the user: what could not be written, what is left, and which option to change."""
    left = "what was there was kept" if os.path.lexists(folder) else "nothing was left there"
    if os.path.lexists(partial):
        left = f"an unfinished {partial} could not be removed"
    if isinstance(error, OutputError):
        return OutputError(f"{folder} was not written, and {left}: {error}")
    if error.errno in FULL_DISK:
        return OutputError(
            f"the disk is full: {folder} was not written, and {left}; free some space or choose another with -o"
        )
    reason = error.strerror or str(error) or type(error).__name__
    return OutputError(f"cannot write {folder}: {reason}; {left}; choose another with -o")
