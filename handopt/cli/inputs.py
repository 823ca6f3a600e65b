"""What commands are given: files, folders, patterns, lists from standard input, and sequences."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

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


def find_images(
    paths: Sequence[Path], *, recursive: bool = False, null: bool = False, output: Path | None = None
) -> dict[Path, Path]:
    """Return each image once, in order, with the folder that its results are named relative to.

    paths: files, which need not be depth files; folders, of which the depth files in them, and if recursive in folders
    below, are taken, but not what is hidden, handopt's results, or what lies in output; - for a list from standard
    input, where each line may be any of these or missing. Raises UsageError.
    """
    places: dict[Path, Path] = {}
    images: dict[Path, tuple[Path, Path]] = {}
    for path in paths:
        named = read_path_list(null) if str(path) == STANDARD_INPUT else [path]
        for each in named:
            for image, base in _expanded(each, recursive, output):
                parent = places.get(image.parent)
                if parent is None:
                    parent = places[image.parent] = image.parent.resolve()
                images.setdefault(parent / image.name, (image, base))
    return dict(images.values())


def _expanded(path: Path, recursive: bool, output: Path | None) -> Iterable[tuple[Path, Path]]:
    if not path.is_dir():
        return [(path, path.parent)]
    found = [(image, path) for image in _depth_files(path, recursive, output)]
    if not found:
        below = not recursive and any(each.is_dir() for each in path.iterdir())
        hint = ": --recursive looks into the folders in it" if below else ""
        raise click.UsageError(f"{_no_images(path)}{hint}")
    return found


def _depth_files(folder: Path, recursive: bool, output: Path | None) -> Iterator[Path]:
    """Depth files in a folder in order, those in folders below after them."""
    from handopt.input.depth import is_depth_file

    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise click.UsageError(f"the folder {folder} cannot be read: {error.strerror}") from None
    visible = [each for each in inside if each.name[0] != "."]
    yield from (each for each in visible if is_depth_file(each) and each.is_file())
    if recursive:
        for each in visible:
            if each.is_dir() and not each.is_symlink() and not (each / _RESULT_MARKER).is_file():
                if output is not None and each.resolve() == output.resolve():
                    continue
                yield from _depth_files(each, recursive, output)


def check_sequence(source: Path) -> None:
    """Refuse a folder that handopt track cannot follow a hand through, and say what it is. Raises UsageError."""
    if not source.is_dir():
        return
    name = click.format_filename(source)
    frames = "handopt track needs the depth images"
    if (source / _TRACK_MARKER).is_file():
        raise click.UsageError(
            f"{name} is a track already: handopt video {name} shows it, handopt eval {name} TRUTH scores it; {frames}"
        )
    if (source / _RESULT_MARKER).is_file():
        raise click.UsageError(f"{name} is a result of handopt fit: handopt video {name} shows it; {frames}")
    if next(_depth_files(source, False, None), None) is not None:
        return
    below = sorted(each for each in source.iterdir() if each.is_dir() and each.name[0] != ".")
    results = [each.name for each in below if (each / _RESULT_MARKER).is_file()]
    if results:
        shown = ", ".join(results[:3]) + (", …" if len(results) > 3 else "")
        raise click.UsageError(
            f"{name} is a folder of results of handopt fit ({shown}): handopt video {name} shows them; {frames}"
        )
    nested = [each for each in below if next(_depth_files(each, False, None), None) is not None]
    hint = f": a folder in it does, handopt track {click.format_filename(nested[0])}" if nested else ""
    raise click.UsageError(f"{_no_images(source)}{hint}")


def _no_images(folder: Path) -> str:
    from handopt.input.depth import DEPTH_SUFFIXES

    return f"the folder {folder} holds no depth images ({', '.join(sorted(DEPTH_SUFFIXES))})"


def read_mask(path: Path) -> "NDArray[np.bool_]":
    """Read a mask (H, W) from an image or .npy file, nonzero on the hand in any colour channel. Raises UsageError."""
    import numpy as np

    from handopt.input.decode import decode_file

    with naming_option("--mask"):
        values: NDArray[Any] = decode_file(path, [])
        if values.ndim == 3:
            colours = values.shape[2] - (values.shape[2] in (2, 4))
            values = np.asarray(values[..., :colours].any(axis=2))
        mask = np.asarray(values != 0)
        if not mask.any() or mask.all():
            raise DepthError(f"{path}: every pixel is {'nonzero' if mask.all() else '0'}, which marks no hand")
    return mask
