"""Where results go: what every command checks before any work."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from handopt.cli.errors import naming_option


def require_place(path: Path, check_free: Callable[[], None]) -> None:
    """Refuse a place that is taken or cannot be written, and remove what killed runs have left there.

    path: of a folder, or of a file and the folder that goes with it. check_free: raises OutputError where it is taken.
    Raises UsageError.
    """
    for folder in (path, path.parent):
        remove_leftovers(folder)
    with naming_option("-o"):
        check_free()
    require_writable(path.parent if path.suffix and not path.is_dir() else path)


def require_writable(folder: Path, option: str = "-o") -> None:
    """Refuse a folder, which exists or not, into which nothing can be written. Raises UsageError.

    option: which names it.
    """
    place = existing_place(folder)
    try:
        if not place.is_dir():
            raise click.UsageError(f"{option} {folder}: {place} is not a folder; choose another with {option}")
        Path(tempfile.mkdtemp(prefix=".handopt-", dir=place)).rmdir()
    except OSError as error:
        raise click.UsageError(
            f"{option} {folder} cannot be written: {error.strerror}; choose another with {option}"
        ) from None


def require_outside_results(folder: Path) -> None:
    """Refuse a folder for results that is a result itself, or lies in one, which may be replaced. Raises UsageError."""
    from handopt.storage.fit_folder import RESULT
    from handopt.storage.track_folder import TRACK

    for place in (folder, *folder.absolute().parents):
        for kind in (RESULT, TRACK):
            if place.is_dir() and kind.holds(place):
                where = f"is a {kind.noun}" if place == folder else f"lies in {place}, which is a {kind.noun}"
                raise click.UsageError(f"-o {folder} {where} of handopt and may be replaced: choose another with -o")


def existing_place(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next((each for each in (folder, *folder.absolute().parents) if each.exists() or each.is_symlink()), Path())


def require_free_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that exists, unless it may be replaced, and remove what killed runs have left beside it.

    Raises UsageError.
    """
    remove_leftovers(path.parent)
    if path.is_dir():
        raise click.UsageError(f"-o {path} is a folder: choose another with -o")
    if (path.exists() or path.is_symlink()) and not overwrite:
        raise click.UsageError(exists(str(path)))


def exists(name: str, verb: str = "exists and was kept: replace it") -> str:
    """What is said of results that exist and may not be replaced."""
    return f"{name} {verb} with --overwrite or choose another with -o"


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed have left half written in a folder."""
    from handopt.atomic_folder import remove_stale

    remove_stale(folder)
