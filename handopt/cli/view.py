"""`handopt view`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.console import Console
from handopt.cli.help import SectionedCommand, option
from handopt.cli.local_page import open_server, page_options, show_page
from handopt.cli.options import verbosity_options
from handopt.cli.outputs import require_writable
from handopt.cli.results import Result, find_results

if TYPE_CHECKING:
    from handopt.viewer.page import Item
    from handopt.viewer.server import PageReply, PageRequest

MOST_INLINED = 200
BIG_BYTES = 50 * 2**20


@click.command(
    cls=SectionedCommand,
    examples=(
        ("turn a fit around, and step through its iterations", "handopt view handopt-out/open"),
        ("one file with a track, for a mail", "handopt view walk-track --html walk.html"),
        ("all fits of a folder, on a port of your choice", "handopt view fits --port 8000 --no-browser"),
    ),
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@page_options
@option(
    "Output",
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the page into one file that needs no network, and show nothing.",
)
@option("Output", "--overwrite", is_flag=True, help="Replace a file that exists.")
@verbosity_options
def view(paths: tuple[Path, ...], html: Path | None, overwrite: bool, port: int, browser: bool) -> None:
    """Show PATH in 3D: a folder of handopt fit or handopt track, folders of such folders, or a .glb file.

    The page shows the observed points, the hand (solid, half transparent, or coloured by the residual in mm), the
    skeleton, a ball around each joint that holds the true one in two of three cases, and the camera's view. A track
    has a timeline on which doubtful frames are red, a fit its iterations and alternatives. Pictures and videos of the
    view are saved from the page.

    The address, or the file with --html, goes to stdout. The page is served to this machine alone, until Ctrl-C.
    """
    from handopt.storage.scenes import packed_scene
    from handopt.viewer.page import view_page
    from handopt.viewer.server import PageReply

    console = Console()
    results = find_results(paths, console, other=_is_glb)
    title = results[0].place.name if len(results) == 1 else f"{len(results)} results"
    if html is not None:
        check_page_file(html, overwrite=overwrite)
        if len(results) > MOST_INLINED:
            raise click.UsageError(
                f"--html holds {MOST_INLINED} results at most, these are {len(results)}: leave it out, or use handopt "
                "report"
            )
        _write(html, results, title, console)
        return
    if len(results) == 1:
        packed_scene(results[0].folder)  # what is damaged is said here, rather than in the page
    page = PageReply.page(view_page([_item(each) for each in results], title))

    def answer(request: "PageRequest") -> "PageReply":
        if request.path in ("", "index.html"):
            return page
        name = request.path.removeprefix("scene/")
        if name.isdecimal() and int(name) < len(results):
            return scene_reply(results[int(name)].folder)
        return PageReply.error("there is nothing here")

    show_page(open_server(answer, port), console, browser=browser)


def _is_glb(path: Path) -> bool:
    return path.suffix.lower() == ".glb"


def scene_reply(folder: Path) -> "PageReply":
    """The scene of a result for a page, or why it cannot be shown."""
    from handopt.errors import OutputError
    from handopt.storage.scenes import packed_scene
    from handopt.viewer.server import PageReply

    try:
        return PageReply.of_json(packed_scene(folder))
    except OutputError as error:
        return PageReply.error(str(error), 422)


def _item(result: Result, packed: dict[str, Any] | None = None) -> "Item":
    from handopt.viewer.page import Item

    inside = result.place.parent
    return Item(result.place.name, "" if inside == Path() else str(inside), packed)


def check_page_file(
    path: Path, *, overwrite: bool, suffixes: tuple[str, ...] = (".html", ".htm"), name: str = "--html"
) -> None:
    """Refuse a place that cannot be written. suffixes: of its names; name: the option. Raises UsageError."""
    if path.suffix.lower() not in suffixes:
        raise click.UsageError(f"{name} {path}: give a name that ends in {suffixes[0]}")
    if path.is_dir() or ((path.exists() or path.is_symlink()) and not overwrite):
        what = (
            "is a folder: choose another name" if path.is_dir() else "exists and was kept: replace it with --overwrite"
        )
        raise click.UsageError(f"{name} {path} {what}")
    require_writable(path.parent, name)


def write_page(path: Path, text: str, console: Console) -> None:
    """Write a page into a file, complete or not at all, and print its name."""
    from handopt.atomic_folder import written_file

    if len(text) > BIG_BYTES:
        console.note(f"{click.format_filename(path)} has {len(text) >> 20} MiB, which may be too much for a mail.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    console.result(click.format_filename(path))


def _write(path: Path, results: list[Result], title: str, console: Console) -> None:
    """Write the page of all results that can be shown; exit with 1 where one cannot."""
    from handopt.errors import OutputError
    from handopt.storage.scenes import packed_scene
    from handopt.viewer.page import view_page

    items: list[Item] = []
    failed = 0
    for result in results:
        try:
            items.append(_item(result, packed_scene(result.folder)))
        except OutputError as error:
            failed += 1
            if len(results) == 1:
                raise
            console.failed(error, result.folder, several=True)
    console.say_groups("result")
    if not items:
        raise click.ClickException("none of the results can be shown")
    write_page(path, view_page(items, title), console)
    if failed:
        click.get_current_context().exit(1)
