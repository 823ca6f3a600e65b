"""The server of `handopt report`, for tests of its page."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handopt.cli.local_page import open_server
from handopt.cli.report import _replies
from handopt.storage.fit_rows import find_rows
from handopt.viewer.report import report_page
from handopt.viewer.report_rows import ReportRows
from handopt.viewer.review import read_review
from handopt.viewer.server import PageReply, PageRequest


@contextmanager
def served(fits: Path, slow_s: float = 0.0) -> Iterator[str]:
    """The address of the report on a folder of fits; slow_s: what each answer to a decision waits for."""
    rows, review = find_rows(fits), fits / "review.jsonl"
    values, decisions = [row.to_list() for row in rows], read_review(review) if review.exists() else {}
    page = report_page("fits", values, decisions)
    reply = _replies(fits, rows, ReportRows(values, decisions), page, review)

    def answer(request: PageRequest) -> PageReply:
        if request.method == "POST":
            time.sleep(slow_s)
        return reply(request)

    with open_server(answer, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()
