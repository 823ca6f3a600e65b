"""What commands are given: files, folders, patterns, lists from standard input, and sequences."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from handopt import files
from handopt.cli.errors import naming_option
from handopt.errors import DepthError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STANDARD_INPUT = "-"
_RESULT_MARKER, _TRACK_MARKER = "result.json", "track.json"


class ImageArgument(click.ParamType):  # type: ignore[type-arg]
    """A file or folder that exists, a pattern that matches some, or - for a list from standard input."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Path, ...]:
        """The paths that one word of the command line stands for."""
        if isinstance(value, tuple):
            return value
        if value == STANDARD_INPUT or os.path.lexists(value):
            return (Path(value),)
        if glob.has_magic(value):
            found = sorted(glob.glob(value, recursive=True))  # noqa: PTH207 (absolute patterns as well)
            if not found:
                raise click.BadParameter(f"nothing matches {value!r}.", ctx, param)
            return tuple(Path(each) for each in found)
        raise click.BadParameter(f"Path {value!r} does not exist.", ctx, param)

    def shell_complete(self, _ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Files and folders."""
        return [CompletionItem(incomplete, type="file")]


def read_path_list(null: bool) -> list[Path]:
    """The paths on standard input, one a line, or with a zero byte after each. Raises UsageError."""
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("IMAGE - reads a list of images from standard input: pipe one in, as of find")
    words = sys.stdin.buffer.read().split(b"\0" if null else b"\n")
    lines = [line for word in words if (line := word if null else word.removesuffix(b"\r"))]
    paths = [Path(os.fsdecode(line)) for line in lines]
    if not paths:
        raise click.UsageError("the list of images on standard input is empty")
    if not null and any(b"\0" in line for line in lines):
        raise click.UsageError("the list on standard input has zero bytes in it: --null reads what find -print0 writes")
    return paths


@dataclass(frozen=True)
class Problem:
    """A folder whose images could not be found, and why. The other inputs do not suffer from it."""

    path: Path
    error: str


def find_images(
    paths: Sequence[Path],
    *,
    recursive: bool = False,
    null: bool = False,
    output: Path | None = None,
    problems: list[Problem] | None = None,
) -> dict[Path, Path]:
    """Return each image once, in order, with the folder that its results are named relative to.

    paths: files, which need not be depth files; folders, of which the depth files in them, and if recursive in folders
    below, are taken, but not what is hidden, handopt's results, or what lies in output; - for a list from standard
    input, where each line may be any of these or missing. Masks are left out where their images are named as well, as
    a pattern does. problems: gets the folders that cannot be read, or hold no images, where there are other inputs.
    Raises UsageError where nothing is left.
    """
    from handopt.input.depth import without_masks

    places: dict[Path, Path] = {}
    images: dict[Path, tuple[Path, Path]] = {}
    named = [each for path in paths for each in (read_path_list(null) if str(path) == STANDARD_INPUT else [path])]
    found: list[Problem] = []
    for each in without_masks(named):
        try:
            expanded = _expanded(each, recursive, output, found)
        except click.UsageError as error:
            if len(named) == 1:
                raise
            found.append(Problem(each, error.message))
            continue
        for image, base in expanded:
            parent = places.get(image.parent)
            if parent is None:
                parent = places[image.parent] = files.resolved(image.parent)
            images.setdefault(parent / image.name, (image, base))
    if found and (problems is None or not images):
        raise click.UsageError(found[0].error)
    if problems is not None:
        problems += found
    return dict(images.values())


def _expanded(path: Path, recursive: bool, output: Path | None, problems: list[Problem]) -> Iterable[tuple[Path, Path]]:
    if not files.is_folder(path):
        return [(path, path.parent)]
    _refuse_result(path)
    before = len(problems)
    found = [(image, path) for image in _depth_files(path, recursive, output, problems)]
    if not found and len(problems) == before:
        if not recursive and next(_depth_files(path, True, output, []), None) is not None:
            raise click.UsageError(f"{_no_images(path)}: --recursive looks into the folders in it")
        _refuse_folder_of_results(path)
        raise click.UsageError(_no_images(path))
    return found


def _depth_files(
    folder: Path, recursive: bool, output: Path | None, problems: list[Problem] | None = None
) -> Iterator[Path]:
    """Depth files in a folder in order, those in folders below after them.

    problems: gets a folder that cannot be read; without it, raises UsageError.
    """
    from handopt.input.depth import is_depth_file, without_masks

    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        reason = f"the folder {folder} cannot be read: {error.strerror}"
        if problems is None:
            raise click.UsageError(reason) from None
        problems.append(Problem(folder, reason))
        return
    visible = [each for each in inside if each.name[0] != "."]
    yield from without_masks(each for each in visible if is_depth_file(each) and files.is_file(each))
    if recursive:
        for each in visible:
            if files.is_folder(each) and not each.is_symlink() and not _is_result(each):
                if output is not None and files.resolved(each) == files.resolved(output):
                    continue
                yield from _depth_files(each, recursive, output, problems)


def check_sequence(source: Path) -> None:
    """Refuse a folder that handopt track cannot follow a hand through, and say what it is. Raises UsageError."""
    from handopt.input.sequence.open import is_recording

    if not files.is_folder(source) or is_recording(source):
        return
    _refuse_result(source)
    if next(_depth_files(source, False, None), None) is not None:
        return
    _refuse_folder_of_results(source)
    nested = [each for each in _folders_in(source) if next(_depth_files(each, False, None, []), None) is not None]
    hint = f": a folder in it does, handopt track {click.format_filename(nested[0])}" if nested else ""
    raise click.UsageError(f"{_no_images(source)}{hint}")


def _is_result(folder: Path) -> bool:
    return files.is_file(folder / _RESULT_MARKER) or files.is_file(folder / _TRACK_MARKER)


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(each for each in folder.iterdir() if files.is_folder(each) and each.name[0] != ".")
    except OSError:
        return []


def _refuse_result(folder: Path) -> None:
    """Say what a folder is that handopt itself wrote. Raises UsageError."""
    name = click.format_filename(folder)
    if files.is_file(folder / _TRACK_MARKER):
        raise click.UsageError(
            f"{name} is a track already: handopt video {name} shows it, handopt eval {name} TRUTH scores it; "
            f"{_needs_images()}"
        )
    if files.is_file(folder / _RESULT_MARKER):
        raise click.UsageError(f"{name} is a result of handopt fit: handopt video {name} shows it; {_needs_images()}")


def _refuse_folder_of_results(folder: Path) -> None:
    """Say what a folder is that has results in it, or in folders in it. Raises UsageError."""
    below = _folders_in(folder)
    for results in (below, [inner for each in below for inner in _folders_in(each)]):
        names = [str(each.relative_to(folder)) for each in results if _is_result(each)]
        if not names:
            continue
        fits = all(files.is_file(folder / each / _RESULT_MARKER) for each in names)
        name, shown = click.format_filename(folder), ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        raise click.UsageError(
            f"{name} is a folder of results of {'handopt fit' if fits else 'handopt'} ({shown}): handopt video {name} "
            f"shows them, handopt eval {name} TRUTH scores them; {_needs_images()}"
        )


def _needs_images() -> str:
    return f"handopt {click.get_current_context().info_name} needs the depth images"


def _no_images(folder: Path) -> str:
    from handopt.input.depth import DEPTH_SUFFIXES

    return f"the folder {folder} holds no depth images ({', '.join(sorted(DEPTH_SUFFIXES))})"


def read_mask(path: Path) -> "NDArray[np.bool_]":
    """Read a mask (H, W) from an image or .npy file, nonzero on the hand in any colour channel. Raises UsageError."""
    from handopt.input import ignore

    with naming_option("--mask"):
        mask = ignore.read_mask(path)
        if not mask.any() or mask.all():
            raise DepthError(f"{path}: every pixel is {'nonzero' if mask.all() else '0'}, which marks no hand")
    return mask
