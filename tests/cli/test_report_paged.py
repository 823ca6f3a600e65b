"""`handopt report` of more fits than a page can hold."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import chromium, complaints, require_chromium, wait_for

from handopt.cli.local_page import open_server
from handopt.cli.report import _replies
from handopt.viewer.report import report_page
from handopt.viewer.report_rows import ReportRows
from handopt.viewer.review import read_review


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    require_chromium()
    with chromium(tmp_path) as driver:
        yield driver


def test_a_hundred_thousand_fits_are_paged(browser: Any, tmp_path: Path) -> None:
    values = [
        [f"{index:06d}", f"{index}.png", "done", "right", None, 0.7, 0.9, "fine"] for index in range(100_000)
    ]  # without a confidence no thumbnail is asked for
    page = report_page("many", values, {})
    assert len(page) < 100_000, "the page holds no rows"
    reply = _replies(tmp_path, [], ReportRows(values, {}), page, tmp_path / "review.jsonl")
    with open_server(reply, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            browser.get(server.url)
            wait_for(browser, "window.report && document.querySelector('[data-folder=\"000000\"]')")
            assert "100000 of 100000" in browser.execute_script("return document.getElementById('counts').textContent")
            browser.execute_script("report.select(54321)")
            wait_for(browser, "document.querySelector('.card.current')?.dataset.folder === '054321'")
            browser.execute_script("report.decide('accept')")
            wait_for(browser, "document.querySelector('.card.current')?.dataset.folder === '054322'")
            for place in range(0, 100_000, 1000):
                browser.execute_script(f"report.select({place})")
            browser.execute_script("document.getElementById('scroll').scrollTop = 1e9")
            wait_for(browser, "document.querySelector('[data-folder=\"099999\"]')")
            assert browser.execute_script("return report.rows.parts.size") <= 42, "what is out of view is forgotten"
            assert browser.execute_script("return document.querySelectorAll('.card').length") < 100
        finally:
            server.shutdown()
            thread.join()
    assert complaints(browser) == []
    assert list(read_review(tmp_path / "review.jsonl")) == ["054321"]
