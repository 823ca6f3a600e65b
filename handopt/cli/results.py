"""Results that commands are given: folders of handopt fit and handopt track, and folders of such folders."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from handopt.cli.console import Console, group_of
from handopt.files import is_file, is_folder, resolved


@dataclass(frozen=True)
class Result:
    """A folder of results, as the user named it; place: its name relative to what was named."""

    folder: Path
    place: Path


def find_results(
    named: tuple[Path, ...], console: Console, other: Callable[[Path], bool] = lambda path: False
) -> list[Result]:
    """The results among what is named and in it, each once; files of a result stand for it.

    other: whether a file is taken as it is. Other things are skipped with a note, as a pattern takes what lies beside
    results too; they are errors where nothing else is named. Raises UsageError.
    """
    from handopt.draw.film import SOURCE_NAMES

    results: dict[Path, Result] = {}
    others: list[Path] = []
    for each in named:
        if is_file(each):
            beside = [Result(each.parent, Path(name_of(each.parent)))] if each.name in SOURCE_NAMES else []
            inside = [Result(each, Path(each.name))] if other(each) else beside
        else:
            inside = list(_results_in(each, Path(name_of(each)), Path()))
        for result in inside:
            results.setdefault(resolved(result.folder), result)
        if not inside:
            others.append(each)
    names = [click.format_filename(each) for each in others]
    if not results:
        verb = "is not a result" if len(names) == 1 else "are not results"
        raise click.UsageError(
            f"{group_of(names, 'path')} {verb}: give folders that handopt track or handopt fit wrote"
        )
    if others:
        which = f"{names[0]} is not a result and was"
        console.note(f"{which if len(names) == 1 else f'{names[0]} and {len(names) - 1} more were'} skipped.")
    return list(results.values())


def _results_in(folder: Path, whole: Path, below: Path) -> Iterator[Result]:
    """A folder if it is a result, else the results in it and in folders below it.

    whole: its place if it is one itself. below: where it lies in the folder that was named.
    """
    from handopt.draw.film import SOURCE_NAMES

    if any(is_file(folder / name) for name in SOURCE_NAMES):
        yield Result(folder, whole)
        return
    try:
        inside = sorted(each for each in folder.iterdir() if is_folder(each) and each.name[0] != ".")
    except OSError as error:
        raise click.UsageError(f"the folder {folder} cannot be read: {error.strerror}") from None
    for each in inside:
        yield from _results_in(each, below / each.name, below / each.name)


def name_of(folder: Path) -> str:
    """The name of a folder, also of . and .."""
    return folder.name if folder.name not in ("", "..") else resolved(folder).name
