"""`handopt report` and `handopt fit --review`: what is listed, what is asked for, and what is fitted again."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.browser import chromium, complaints, pixels, requests, require_chromium, wait_for
from support.commands import run
from support.fit_cli import FakeFit, fake_fit, write_camera, write_depth
from support.fitted import EXAMPLES, fit_folder
from support.report_server import served

from handopt.cli.report import _replies
from handopt.storage.fit_rows import depth_picture, find_rows, thumbnail
from handopt.viewer.report import report_page
from handopt.viewer.report_rows import FIELDS, ReportRows
from handopt.viewer.review import OTHER_HAND, PALM, Decision, add_decision, read_review
from handopt.viewer.server import PageRequest

__all__ = ["fake_fit", "fit_folder"]


@pytest.fixture
def fits(fit_folder: Path, tmp_path: Path) -> Path:
    """Three fits of one image with different figures, and a folder that holds no result."""
    root = tmp_path / "fits"
    for name, confidence, hand in (("a", 0.97, "right"), ("b", 0.31, "left"), ("deep/c", 0.62, "right")):
        shutil.copytree(fit_folder, root / name)
        path = root / name / "result.json"
        document = json.loads(path.read_text()) | {"confidence": confidence, "hand": hand}
        path.write_text(json.dumps(document))
    (root / "empty").mkdir()
    return root


def test_it_is_told_how_far_the_listing_is(fits: Path) -> None:
    told: list[tuple[int, int | None]] = []
    rows = find_rows(fits, lambda count, total: told.append((count, total)))
    found = [count for count, total in told if total is None]
    assert found == list(range(1, len(found) + 1))
    assert told[len(found) :] == [(number, len(found)) for number in range(len(found))]
    assert 0 < len(found) <= len(rows)


def test_every_result_is_a_row(fits: Path) -> None:
    (fits / "b" / "result.json").write_text("{}")
    rows = {row.folder: row for row in find_rows(fits)}
    assert list(rows) == ["a", "b", "deep/c"]
    assert (rows["a"].confidence, rows["a"].hand, rows["a"].outcome) == (0.97, "right", "done")
    assert rows["b"].outcome == "failed"
    assert "has the format None" in rows["b"].status
    assert len(rows["a"].to_list()) == len(FIELDS)


def painted(root: Path, confidences: dict[str, float | None]) -> Path:
    """Fits of which the summary tells, with overlays of one grey each; without a confidence there is no result."""
    lines = []
    for number, (name, confidence) in enumerate(confidences.items()):
        if confidence is not None:
            (root / name).mkdir(parents=True)
            Image.fromarray(np.full((48, 96, 3), 20 * number, np.uint8)).save(root / name / "overlay.png")
            (root / name / "result.json").write_text("{}")
            os.utime(root / name / "result.json", (1, 1))
        facts = {"hand": "right", "confidence": confidence, "residual_mm": {"median": 1.0}, "silhouette_iou": 0.9}
        lines.append({
            "image": f"{name}.png", "outcome": "done", "error": None, "folder": f"fits/{name}", "status": "ok", **facts,
        })  # fmt: skip
        if confidence is None:
            nothing = dict.fromkeys(("folder", "status", *facts))
            lines[-1] |= {"outcome": "failed", "error": "is damaged", **nothing}
    (root / "summary.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def test_a_sheet_shows_the_doubtful_ones_first(tmp_path: Path) -> None:
    fits, sheet = painted(tmp_path / "fits", {"a": 0.9, "bad": None, "c": 0.3, "d": 0.6}), tmp_path / "sheet.png"
    done = run("report", fits, "--sheet", sheet, "--columns", "2")
    assert done.exit_code == 1
    assert done.stdout == f"{sheet}\n"
    assert "Error: bad (no result): is damaged" in done.stderr
    assert "3 of 4 fits are shown." in done.stderr
    picture = np.asarray(Image.open(sheet))
    assert picture.shape == (2 * 262 + 6, 2 * 480 + 6, 3), "a name of 22 pixels above 240, and gaps of 6"
    assert [picture[row, column, 0] for row, column in ((100, 100), (100, 600), (400, 100))] == [40, 60, 0]
    assert "exists and was kept" in run("report", fits, "--sheet", sheet).stderr
    assert run("report", fits, "--sheet", sheet, "--overwrite", "--most", "1").exit_code == 1
    assert np.asarray(Image.open(sheet)).shape == (262, 480, 3)


def test_what_makes_no_sheet_is_said(tmp_path: Path) -> None:
    fits = painted(tmp_path / "fits", {"a": 0.9})
    (fits / "a" / "overlay.png").write_bytes(b"no picture")
    assert "overlay.png is damaged" in run("report", fits, "--sheet", tmp_path / "s.png").stderr
    (fits / "a" / "overlay.png").unlink()
    assert "fit without --no-overlay" in run("report", fits, "--sheet", tmp_path / "s.png").stderr
    assert "ends in .png" in run("report", fits, "--sheet", tmp_path / "s.jpg").stderr
    both = run("report", fits, "--sheet", tmp_path / "s.png", "--html", tmp_path / "s.html")
    assert "--html and --sheet exclude each other" in both.stderr


def test_the_summary_is_believed_until_a_result_is_newer(fits: Path) -> None:
    line = {
        "image": "x/a.png", "outcome": "done", "error": None, "folder": "elsewhere/fits/a", "hand": "left",
        "confidence": 0.5, "residual_mm": {"median": 1.25}, "silhouette_iou": 0.9, "status": "told",
    }  # fmt: skip
    failed = {**line, "image": "x/bad.png", "outcome": "failed", "error": "is empty", "folder": None, "status": None}
    failed |= {"hand": None, "confidence": None, "residual_mm": None, "silhouette_iou": None}
    text = "\n".join([json.dumps(line), json.dumps(failed), "damaged"])
    (fits / "summary.jsonl").write_text(text)
    later = time.time() + 5
    os.utime(fits / "summary.jsonl", (later, later))
    rows = {row.folder: row for row in find_rows(fits)}
    assert (rows["a"].confidence, rows["a"].residual_mm, rows["a"].status) == (0.5, 1.25, "told")
    assert rows["bad (no result)"].status == "is empty"
    os.utime(fits / "a" / "result.json", (later + 5, later + 5))
    assert {row.folder: row for row in find_rows(fits)}["a"].confidence == 0.97


def test_thumbnails_show_the_fit_with_or_without_an_overlay(fit_folder: Path, tmp_path: Path) -> None:
    import io

    bare = tmp_path / "bare"
    shutil.copytree(fit_folder, bare)
    (bare / "overlay.png").unlink()
    for folder in (fit_folder, bare):
        with Image.open(io.BytesIO(thumbnail(folder))) as picture:
            assert picture.format == "WEBP"
            pixels = np.asarray(picture.convert("RGB"), np.int32)
        assert pixels.shape == (180, 180, 3)
        assert (np.ptp(pixels, axis=2) > 30).mean() > 0.1, "the hand is in colours, half of them through its skin"


def test_a_depth_picture_has_the_size_of_the_file() -> None:
    data, width, height = depth_picture(EXAMPLES / "open.png")
    assert (width, height) == (640, 480)
    assert data.startswith(b"\xff\xd8\xff")


def test_one_file_holds_all_thumbnails(fits: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = run("report", fits, "--html", page)
    assert (done.exit_code, done.stdout) == (0, f"{page}\n")
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/webp;base64,") == 3
    assert "connect-src 'none'" in text


def test_a_folder_without_fits_and_a_damaged_review_are_named(fits: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run("report", tmp_path / "empty")
    assert done.exit_code == 2
    assert "holds no result of handopt fit: give the folder of -o" in done.stderr
    (fits / "review.jsonl").write_text("{}\n")
    done = run("report", fits)
    assert done.exit_code == 2
    assert "line 1: expected a line of the format handopt.review/1" in done.stderr


def test_labels_give_each_fit_its_error(fit_folder: Path, tmp_path: Path) -> None:
    root, page = tmp_path / "fits", tmp_path / "report.html"
    shutil.copytree(fit_folder, root / "open")
    done = run("report", root, "--html", page, "--labels", EXAMPLES)
    assert done.exit_code == 0, done.stderr
    settings = json.loads(page.read_text().partition('id="settings">')[2].partition("</script>")[0])
    assert list(settings["errors_mm"]) == ["open"]
    assert 0 < settings["errors_mm"]["open"] < 20


# ---------------------------------------------------------------------------------------------- fit --review


def test_what_was_corrected_is_fitted_again_and_only_once(tmp_path: Path, fake_fit: FakeFit) -> None:
    write_camera(tmp_path)
    images = [write_depth(tmp_path / f"{name}.png") for name in "abc"]
    out, review = tmp_path / "fits", tmp_path / "fits" / "review.jsonl"
    assert run("fit", *images, "-o", out).exit_code == 0
    add_decision(review, Decision("a", str(images[0]), OTHER_HAND, "right"))
    add_decision(review, Decision("b", str(images[1]), PALM, "right", (80.0, 60.0)))
    add_decision(review, Decision("c", str(images[2]), "accept", "right"))
    fake_fit.calls.clear()
    done = run("fit", "--review", review, "-o", out)
    assert done.exit_code == 0, done.stderr
    assert [(call["hand"], call["center"]) for call in fake_fit.calls] == [("left", None), ("right", (80.0, 60.0))]
    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == [str(out / "a"), str(out / "b")]
    fake_fit.calls.clear()
    assert run("fit", "--review", review, "-o", out).exit_code == 0
    assert fake_fit.calls == [], "it is done already"


def test_a_review_leaves_no_room_for_other_images(tmp_path: Path, fake_fit: FakeFit) -> None:
    write_camera(tmp_path)
    image, review = write_depth(tmp_path / "a.png"), tmp_path / "review.jsonl"
    add_decision(review, Decision("a", None, OTHER_HAND, "right"))
    done = run("fit", image, "--review", review, "--center", "3,4")
    assert done.exit_code == 2
    assert "--review says what is to be fitted and where: leave out IMAGE and --center" in done.stderr
    assert "Missing argument 'IMAGE...'" in run("fit").stderr
    nameless = run("fit", "--review", review, "-o", tmp_path / "out")
    assert nameless.exit_code == 0
    assert "a cannot be fitted again, as its result does not name its image" in nameless.stderr
    review.write_text("[]\n")
    assert "expected a line of the format" in run("fit", "--review", review).stderr
    assert fake_fit.calls == []


# --------------------------------------------------------------------------------------------------- Chromium


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    require_chromium()
    with chromium(tmp_path_factory.mktemp("downloads")) as driver:
        yield driver


def press(browser: Any, keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser).send_keys(keys).perform()


def test_fits_are_reviewed_by_keyboard(browser: Any, fits: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    with served(fits) as url:
        requests(browser)
        browser.get(url)
        wait_for(browser, "document.querySelectorAll('.card img').length === 3")
        wait_for(browser, "[...document.querySelectorAll('.card img')].every((each) => each.naturalWidth === 180)")
        order = browser.execute_script("return report.shown.map((row) => row.folder)")
        assert order == ["b", "deep/c", "a"], "the least sure first"
        press(browser, "oyn")
        press(browser, "p")
        wait_for(browser, "document.getElementById('depth')?.naturalWidth === 640")
        depth = browser.find_element(By.ID, "depth")
        shown = pixels(browser, "depth")
        assert (np.ptp(shown, axis=2) > 60).mean() > 0.02, "the hand is in colours"
        ActionChains(browser).move_to_element(depth).click().perform()
        wait_for(browser, "report.decisions.get('a')?.decision === 'palm'")
        press(browser, "3")
        browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))
        wait_for(browser, "window.handopt && window.handopt.ready")
        browser.switch_to.default_content()
        wait_for(browser, "document.getElementById('counts').textContent.includes('1 palm')")
        asked = requests(browser)
    assert complaints(browser) == []
    assert all(each.startswith(url) for each in asked)
    found = read_review(fits / "review.jsonl")
    assert {name: each.decision for name, each in found.items()} == {"b": OTHER_HAND, "deep/c": "accept", "a": PALM}
    assert found["a"].center_px == pytest.approx((319.5, 239.5), abs=2), "a click on the middle is the middle"


def test_filters_leave_what_they_say(browser: Any, fits: Path) -> None:
    with served(fits) as url:
        browser.get(url)
        wait_for(browser, "window.report && report.shown.length === 3")
        for field, value, expected in (("search", "deep", ["deep/c"]), ("search", "", ["b", "deep/c", "a"]),
                                       ("hand", "left", ["b"]), ("hand", "", ["b", "deep/c", "a"]),
                                       ("low", "0.9", ["a"]), ("low", "0", ["b", "deep/c", "a"]),
                                       ("sort", "folder", ["a", "b", "deep/c"])):  # fmt: skip
            browser.execute_script(
                "const e = document.getElementById(arguments[0]); e.value = arguments[1];"
                "e.dispatchEvent(new Event('input'));", field, value,
            )  # fmt: skip
            wait_for(browser, f"report.shown.map((row) => row.folder).join() === '{','.join(expected)}'")


def test_a_slow_server_does_not_fall_behind_and_the_page_asks_before_it_is_left(browser: Any, fits: Path) -> None:
    # drivers of browsers leave a page without a question, so the event is made here
    event = "const e = new Event('beforeunload', { cancelable: true });"
    leaving = f"{event} window.dispatchEvent(e); return e.defaultPrevented"
    with served(fits, slow_s=1.0) as url:
        browser.get(url)
        wait_for(browser, "window.report && report.shown.length === 3")
        started = time.perf_counter()
        press(browser, "y")
        browser.execute_script(
            "for (let n = 0; n < 40; n++) { report.select(0); report.decide(n % 2 ? 'accept' : 'reject'); }"
        )
        assert browser.execute_script("return report.unsaved.length") > 30
        assert browser.execute_script(leaving)
        wait_for(browser, "report.unsaved.length === 0")
        assert time.perf_counter() - started < 30, "one after another they take 41 s"
        assert not browser.execute_script(leaving)
    lines = [json.loads(line) for line in (fits / "review.jsonl").read_text().splitlines()]
    assert [each["decision"] for each in lines] == ["accept", *["reject", "accept"] * 20]


def test_what_the_server_cannot_save_is_said(browser: Any, fits: Path) -> None:
    with served(fits) as url:
        browser.get(url)
        wait_for(browser, "window.report && report.shown.length === 3")
        (fits / "review.jsonl").mkdir()
        press(browser, "y")
        wait_for(browser, "document.getElementById('message').textContent.includes('was not saved')")
        assert browser.execute_script("return report.decisions.size") == 0
    complaints(browser)


def test_thousands_of_fits_open_quickly_and_scroll(browser: Any, fit_folder: Path, tmp_path: Path) -> None:
    row, picture = ["", "a.png", "done", "right", 0.5, 0.7, 0.9, "fine"], thumbnail(fit_folder)
    rows = [[f"{index:04d}", *row[1:4], index / 2000, *row[5:]] for index in range(2000)]
    page = tmp_path / "many.html"
    page.write_text(report_page("many", rows, {}, thumbnails=[picture] * 2000), encoding="utf-8")
    started = time.perf_counter()
    browser.get(page.as_uri())
    wait_for(browser, "window.report && document.querySelectorAll('.card img').length > 5")
    seconds = time.perf_counter() - started
    cards = browser.execute_script("return document.querySelectorAll('.card').length")
    assert cards < 100, "only what is in view exists"
    card = "document.querySelector('[data-folder=\"0020\"]')"
    browser.execute_script(f"window.same = {card}; document.getElementById('scroll').scrollTop = 756")
    wait_for(browser, "!document.querySelector('[data-folder=\"0000\"]')")
    assert browser.execute_script(f"same.click(); return same === {card} && report.current === 20"), "not built anew"
    browser.execute_script("report.close(); document.getElementById('scroll').scrollTop = 1e9")
    wait_for(browser, "document.querySelector('[data-folder=\"1999\"]')")
    browser.execute_script("report.select(1000)")
    assert browser.execute_script("return document.querySelector('.card.current').dataset.folder") == "1000"
    assert seconds < 20, f"it took {seconds:.1f} s on a machine that may be busy; alone it takes less than 2"


def test_the_server_answers_with_what_is_there(fits: Path) -> None:
    rows = find_rows(fits)
    reply = _replies(fits, rows, ReportRows([row.to_list() for row in rows], {}), "page", fits / "review.jsonl")
    (fits / "a" / "overlay.png").unlink()
    for path, status in (("", 200), ("thumbnail/0", 200), ("overlay/0", 422), ("overlay/1", 200), ("depth/0", 200),
                         ("view/0", 200), ("thumbnail/3", 404), ("thumbnail/x", 404), ("other/0", 404),
                         ("../../etc/passwd", 404), ("rows", 422)):  # fmt: skip
        assert reply(PageRequest("GET", path, "", b"")).status == status, path
    strange = Decision("../x", None, "accept", "right").to_json().encode()
    assert reply(PageRequest("POST", "review", "", strange)).status == 422
    assert not (fits / "review.jsonl").exists()
    known = [Decision(name, None, "accept", "right") for name in ("a", "b")]
    both = json.dumps([json.loads(each.to_json()) for each in (*known, Decision("../x", None, "accept", "right"))])
    assert reply(PageRequest("POST", "review", "", both.encode())).status == 422
    assert not (fits / "review.jsonl").exists(), "all of them or none"
    both = json.dumps([json.loads(each.to_json()) for each in known])
    assert reply(PageRequest("POST", "review", "", both.encode())).status == 200
    assert list(read_review(fits / "review.jsonl")) == ["a", "b"]
