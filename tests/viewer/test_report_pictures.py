"""The pictures of a report that stands alone: each at its own fit, read when it is looked at."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.browser import chromium, complaints, require_chromium, wait_for

from handopt.viewer.report import PICTURES_OF_A_BLOCK, report_page

ROWS = 3 * PICTURES_OF_A_BLOCK + 7
COLOUR = """
const picture = document.querySelector(`[data-folder="${arguments[0]}"] img`);
const canvas = document.createElement("canvas");
const paint = canvas.getContext("2d");
paint.drawImage(picture, 0, 0);
return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
"""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    require_chromium()
    with chromium(tmp_path) as driver:
        yield driver


def colour_of(number: int) -> tuple[int, int, int]:
    return (number * 7 % 256, number * 31 % 256, number)


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour_of(number)).save(file, "WEBP", lossless=True)
    return file.getvalue()


def page_of_many(folder: Path) -> Path:
    """Fits whose names run against their confidence; number 5 has no picture, number 9 was not fitted."""
    rows: list[list[Any]] = [
        [f"{number:03d}", f"{number}.png", "done", "right", 1 - number / ROWS, 0.7, 0.9, "fine"]
        for number in range(ROWS)
    ]
    rows[9][2:5] = ["failed", None, None]
    pictures = [None if number in (5, 9) else picture(number) for number in range(ROWS)]
    page = folder / "many.html"
    page.write_text(report_page("many", rows, {}, thumbnails=pictures), encoding="utf-8")
    return page


def loaded(folder: str) -> str:
    image = f"document.querySelector('[data-folder=\"{folder}\"] img')"
    return f"{image}?.complete && {image}.naturalWidth"


def test_each_fit_has_its_own_picture(browser: Any, tmp_path: Path) -> None:
    browser.get(page_of_many(tmp_path).as_uri())
    wait_for(browser, "window.report && report.count")
    for order in ("confidence", "folder"):
        browser.execute_script(f"sort.value = '{order}'; sort.dispatchEvent(new Event('input'))")
        for number in (0, 1, PICTURES_OF_A_BLOCK, 99, ROWS - 1):
            name = f"{number:03d}"
            browser.execute_script(f"report.select(report.shown.findIndex((row) => row.folder === '{name}'))")
            wait_for(browser, loaded(name))
            assert tuple(browser.execute_script(COLOUR, name)) == colour_of(number), (order, name)
    for name, words in (("005", "fine"), ("009", "fine")):
        browser.execute_script(f"report.select(report.shown.findIndex((row) => row.folder === '{name}'))")
        box = f"document.querySelector('[data-folder=\"{name}\"]')"
        assert browser.execute_script(f"return {box}.querySelector('.none').textContent") == words
        assert browser.execute_script(f"return {box}.querySelector('img')") is None
    assert complaints(browser) == []


def test_pictures_in_view_stand_first_in_the_file_and_behind_the_script(tmp_path: Path) -> None:
    text = page_of_many(tmp_path).read_text(encoding="utf-8")
    assert text.index("<script>") < text.index('id="pictures-0"')
    blocks = text.count('type="text/plain"')
    assert blocks == 4
    least_sure = "data:image/webp;base64," + base64.b64encode(picture(ROWS - 1)).decode()
    assert text.partition('id="pictures-0">')[2].startswith(least_sure)


def test_only_what_is_looked_at_is_read(browser: Any, tmp_path: Path) -> None:
    browser.get(page_of_many(tmp_path).as_uri())
    wait_for(browser, "window.report && document.readyState === 'complete'")
    wait_for(browser, loaded(f"{ROWS - 1:03d}"))
    blocks = "return [...document.querySelectorAll('script[type=\"text/plain\"]')].map((each) => each.id)"
    assert browser.execute_script(blocks) == ["pictures-1", "pictures-2", "pictures-3"]
