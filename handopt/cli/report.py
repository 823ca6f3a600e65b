"""`handopt report`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handopt.cli.console import Console
from handopt.cli.help import SectionedCommand, option
from handopt.cli.local_page import open_server, page_options, show_page
from handopt.cli.options import verbosity_options
from handopt.cli.view import check_page_file, write_page

if TYPE_CHECKING:
    from handopt.storage.fit_rows import FitRow
    from handopt.viewer.report_rows import ReportRows
    from handopt.viewer.server import PageReply, PageRequest

MOST_INLINED = 10_000
THUMBNAIL_KEPT_S = 60  # so that scrolling back asks for nothing, and a fit that was made anew is soon seen


@click.command(
    cls=SectionedCommand,
    examples=(
        ("go through the fits of a folder; decisions go to fits/review.jsonl", "handopt report fits"),
        ("fit again what was corrected", "handopt fit --review fits/review.jsonl -o fits"),
        ("one file with all thumbnails, for somebody else to review", "handopt report fits --html fits.html"),
        ("one picture of the most doubtful fits", "handopt report fits --sheet doubtful.png"),
    ),
)
@click.argument("fits", metavar="FITS", type=click.Path(exists=True, file_okay=False, path_type=Path))
@option(
    "Input",
    "--labels",
    type=click.Path(exists=True, path_type=Path),
    metavar="TRUTH",
    help="Labels as for handopt eval: the page shows the error of each fit's worst joint, and the curve of all.",
)
@option(
    "Input",
    "--review",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where decisions are kept.  [default: review.jsonl in FITS]",
)
@page_options
@option(
    "Output",
    "--html",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the page into one file that needs no network, and show nothing.",
)
@option(
    "Output",
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write one PNG picture of the overlays, the least confident first, and show nothing.",
)
@option(
    "Output",
    "--columns",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    metavar="N",
    help="Pictures side by side in --sheet.",
)
@option(
    "Output",
    "--most",
    type=click.IntRange(1, 1000),
    default=100,
    show_default=True,
    metavar="N",
    help="Pictures in --sheet.",
)
@option("Output", "--overwrite", is_flag=True, help="Replace a file that exists.")
@verbosity_options
def report(
    fits: Path,
    labels: Path | None,
    review: Path | None,
    html: Path | None,
    sheet: Path | None,
    columns: int,
    most: int,
    overwrite: bool,
    port: int,
    browser: bool,
) -> None:
    """Show the fits below FITS, a folder of handopt fit, as a page of thumbnails.

    They can be sorted and filtered by confidence, residual, hand and outcome. Keys accept (y) or reject (n) a fit, say
    that it is the other hand (o), or where the palm is (p, then a click); Enter shows the overlay, 3 the hand in 3D.
    Decisions are appended to review.jsonl as they are made, the last one counts; handopt fit --review fits again what
    was corrected. A page written with --html saves review.jsonl by a button.

    The address, or the file with --html or --sheet, goes to stdout. The page is served to this machine alone, until
    Ctrl-C.
    """
    from handopt.cli.errors import naming_option
    from handopt.storage.fit_rows import find_rows
    from handopt.viewer.report import report_page
    from handopt.viewer.report_rows import ReportRows
    from handopt.viewer.review import NAME, read_review

    console, path = Console(), review or fits / NAME
    if html is not None and sheet is not None:
        raise click.UsageError("--html and --sheet exclude each other")
    if html is not None:
        check_page_file(html, overwrite=overwrite)
    if sheet is not None:
        check_page_file(sheet, overwrite=overwrite, suffixes=(".png",), name="--sheet")
    with console.bar(None, "fit") as bar:
        rows = find_rows(fits, bar.to)
    if not rows:
        raise click.UsageError(f"{fits} holds no result of handopt fit: give the folder of -o")
    if sheet is not None:
        click.get_current_context().exit(_write_sheet(sheet, fits, rows, (columns, most), console))
    with naming_option("--review"):
        decisions = read_review(path) if path.exists() else {}
    errors = None if labels is None else _errors(fits, labels)
    name = fits.resolve().name
    values = [row.to_list() for row in rows]
    if html is not None:
        if len(rows) > MOST_INLINED:
            raise click.UsageError(f"--html holds {MOST_INLINED} fits at most, these are {len(rows)}: leave it out")
        pictures = _thumbnails(fits, rows, console)
        text = report_page(name, values, decisions, errors_mm=errors, thumbnails=pictures, review_name=path.name)
        write_page(html, text, console)
        return
    page = report_page(name, values, decisions, errors_mm=errors, review_name=path.name)
    table = ReportRows(values, decisions, errors)
    console.say(f"Decisions go to {click.format_filename(path)}.")
    show_page(open_server(_replies(fits, rows, table, page, path), port), console, browser=browser)


def _write_sheet(
    path: Path, fits: Path, rows: "list[FitRow]", columns_and_most: tuple[int, int], console: Console
) -> int:
    """Write the picture of the overlays, the least confident first; returns the exit code."""
    from handopt.atomic_folder import written_file
    from handopt.draw.contact_sheet import Tile, contact_sheet
    from handopt.draw.png import encode_rgb

    columns, most = columns_and_most
    tiles = []
    for row in rows:
        overlay = fits / row.folder / "overlay.png"
        if row.confidence is not None and overlay.is_file():
            tiles.append(Tile(row.folder, row.confidence, overlay))
        else:
            console.error_about(row.folder, row.status if row.outcome != "done" else "it has no overlay.png")
    console.say_groups("fit")
    if not tiles:
        raise click.ClickException(
            "there is no overlay.png to show: fit without --no-overlay, or predict with --overlay"
        )
    tiles.sort(key=lambda each: each.confidence)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_file(path) as partial:
        partial.write_bytes(encode_rgb(contact_sheet(tiles[:most], columns)))
    console.say(f"{min(most, len(tiles))} of {len(rows)} fits are shown.")
    console.result(click.format_filename(path))
    return 0 if len(tiles) == len(rows) else 1


def _errors(fits: Path, labels: Path) -> dict[str, float]:
    """The error of the worst joint of each fit that has a label, mm, by its folder."""
    import numpy as np

    from handopt.evaluation import evaluate
    from handopt.evaluation.metrics import frame_worst

    scored = evaluate(fits, labels)
    worst = frame_worst(scored.errors_mm)
    found = {}
    for prediction, value in zip(scored.predictions, worst, strict=True):
        if prediction is not None and np.isfinite(value):
            folder = Path(prediction)
            folder = folder.parent if folder.suffix == ".json" else folder
            inside = folder.relative_to(fits) if folder.is_relative_to(fits) else folder
            found[inside.as_posix()] = round(float(value), 2)
    return found


def _thumbnails(fits: Path, rows: "list[FitRow]", console: Console) -> list[bytes | None]:
    """A thumbnail of each fit; of what cannot be drawn there is none."""
    from handopt.errors import OutputError
    from handopt.storage.fit_rows import thumbnail

    pictures: list[bytes | None] = []
    with console.bar(len(rows), "thumbnail") as bar:
        for row in rows:
            try:
                pictures.append(thumbnail(fits / row.folder) if row.hand is not None else None)
            except OutputError:
                pictures.append(None)
            bar.advance()
    return pictures


def _replies(
    fits: Path, rows: "list[FitRow]", table: "ReportRows", page: str, review: Path
) -> "Callable[[PageRequest], PageReply]":
    """What the page's server answers."""
    from handopt.errors import HandoptError
    from handopt.viewer.review import Decision, add_decision
    from handopt.viewer.server import PageReply

    def answer(request: "PageRequest") -> "PageReply":
        what, _, number = request.path.partition("/")
        if request.method == "POST" and what == "review":
            document = request.json()
            decisions = [Decision.of(each) for each in (document if isinstance(document, list) else [document])]
            unknown = [each.folder for each in decisions if each.folder not in table]
            if unknown:
                return PageReply.error(f"{unknown[0]} is not in this report", 422)
            for decision in decisions:
                add_decision(review, decision)
                table.decide(decision)
            return PageReply.of_json({"saved": [each.folder for each in decisions]})
        if request.path in ("", "index.html"):
            return PageReply.page(page)
        if request.path in ("find", "rows"):
            return _table_rows(request, table)
        if not number.isdecimal() or int(number) >= len(rows):
            return PageReply.error("there is nothing here")
        row = rows[int(number)]
        try:
            return _picture(what, fits / row.folder, row)
        except (HandoptError, OSError) as error:
            return PageReply.error(str(error), 422)

    return answer


def _table_rows(request: "PageRequest", table: "ReportRows") -> "PageReply":
    """A new order of the rows, or a part of one."""
    from urllib.parse import parse_qsl

    from handopt.viewer.server import PageReply

    wanted = dict(parse_qsl(request.query))
    try:
        if request.path == "find":
            return PageReply.of_json(table.find(wanted) | {"counts": table.counts()})
        number, start, count = (int(wanted[name]) for name in ("number", "start", "count"))
    except (ValueError, KeyError) as error:
        return PageReply.error(f"the list cannot be asked so: {error}", 422)
    return PageReply.of_json({"rows": table.part(number, start, count)})


def _picture(what: str, folder: Path, row: "FitRow") -> "PageReply":
    """A picture of a fit, or the hand in 3D. Raises HandoptError and OSError."""
    from handopt.storage.fit_rows import depth_picture, thumbnail
    from handopt.storage.scenes import packed_scene
    from handopt.viewer.page import Item, view_page
    from handopt.viewer.server import PageReply

    if what == "thumbnail":
        return PageReply(thumbnail(folder), "image/webp", kept_s=THUMBNAIL_KEPT_S)
    if what == "overlay":
        return PageReply((folder / "overlay.png").read_bytes(), "image/png")
    if what == "depth" and row.image is not None:
        return PageReply(depth_picture(Path(row.image))[0], "image/jpeg")
    if what == "view":
        return PageReply.page(view_page([Item(folder.name, packed=packed_scene(folder))], folder.name))
    return PageReply.error("there is nothing here")
