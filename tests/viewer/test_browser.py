"""The viewer in Debian's Chromium: what is on the screen, and that nothing is asked of a network."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.browser import chromium, complaints, pixels, requests, require_chromium, wait_for
from support.commands import run, tracked
from support.fitted import fit_folder
from support.sequences import COUNT, DROPOUT, mano_track

from handopt.cli.local_page import open_server
from handopt.storage.scenes import packed_scene
from handopt.storage.track_folder import save_track
from handopt.viewer.page import Item, view_page
from handopt.viewer.server import PageReply, PageRequest

__all__ = ["fit_folder", "tracked"]

READY = "window.handopt && window.handopt.ready"
BACKGROUND = (18, 20, 25)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    require_chromium()
    with chromium(tmp_path_factory.mktemp("downloads")) as driver:
        yield driver


def opened(browser: Any, page: Path) -> Any:
    requests(browser)
    browser.get(page.as_uri())
    wait_for(browser, READY)
    return browser


def drawn(browser: Any) -> np.ndarray:
    """The middle of the picture, where nothing but the scene is, after what was asked for is on the screen."""
    browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()));"
    )
    return pixels(browser)[120:520, 320:900]


def skin(picture: np.ndarray) -> np.ndarray:
    """Which pixels have the colour of the skin: red above green above blue, and not dark."""
    red, green, blue = np.moveaxis(picture, -1, 0)
    return (red > 100) & (red - green > 15) & (green - blue > 10)


@pytest.fixture
def fit_page(browser: Any, fit_folder: Path, tmp_path: Path) -> Any:
    done = run("view", fit_folder, "--html", tmp_path / "fit.html")
    assert done.exit_code == 0, done.output
    return opened(browser, tmp_path / "fit.html")


def test_one_file_shows_the_hand_without_a_network(fit_page: Any) -> None:
    assert 0.1 < skin(drawn(fit_page)).mean() < 0.5, "the mesh is on the screen"
    asked = requests(fit_page)
    assert len(asked) == 1
    assert asked[0].startswith("file://")
    assert complaints(fit_page) == []


def test_keys_choose_what_is_shown(fit_page: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    def press(keys: str) -> None:
        ActionChains(fit_page).send_keys(keys).perform()

    solid = skin(drawn(fit_page)).mean()
    shown = "return ['scale', 'ticks'].map((id) => document.getElementById(id).getClientRects().length)"
    assert fit_page.execute_script(shown) == [0, 0]
    press("3")
    assert fit_page.execute_script(shown) == [1, 1], "the colours of the residual are explained where they are shown"
    press("4p")
    assert (drawn(fit_page) == BACKGROUND).all(axis=2).mean() > 0.999, "without mesh and points nothing is left"
    press("p")
    points = drawn(fit_page)
    assert skin(points).mean() == 0
    assert 0.01 < (points.max(axis=2) > 60).mean() < solid
    press("p3")
    residual = drawn(fit_page)
    assert skin(residual).mean() < 0.2 * solid
    assert (residual.min(axis=2) > 180).mean() > 0.3 * solid, "residuals near 0 are white"

    def ring_finger() -> int:
        picture = drawn(fit_page)
        return int(((picture[..., 2] > 200) & (picture[..., 0] < 120)).sum())

    press("1")
    without = ring_finger()
    press("k")
    assert ring_finger() > without + 50, "the ring finger's bones are blue"
    assert fit_page.execute_script("return document.getElementById('skeleton').checked")


def test_the_slider_goes_through_the_iterations(fit_page: Any) -> None:
    last = drawn(fit_page)
    fit_page.execute_script(
        "const s = document.getElementById('slider'); s.value = 0; s.dispatchEvent(new Event('input'));"
    )
    first = drawn(fit_page)
    assert np.abs(first - last).max(axis=2).astype(bool).mean() > 0.02
    assert "iteration 1 of" in fit_page.execute_script("return document.getElementById('caption').textContent")
    count = fit_page.execute_script("return handopt.scene.count")
    fit_page.execute_script("document.getElementById('play').click()")
    wait_for(fit_page, f"!handopt.playing && handopt.frame === {count - 1}")
    assert np.array_equal(drawn(fit_page), last)


def test_a_picture_can_be_saved(fit_page: Any, tmp_path: Path) -> None:
    size = fit_page.execute_async_script(
        "const done = arguments[0]; document.getElementById('view').toBlob((blob) => done(blob.size));"
    )
    assert size > 10_000


def test_a_track_has_a_strip_that_shows_gaps(browser: Any, tracked: Path, tmp_path: Path) -> None:
    assert run("view", tracked, "--html", tmp_path / "track.html").exit_code == 0
    page = opened(browser, tmp_path / "track.html")
    strip = pixels(page, "strip")[8]
    columns = ((np.arange(COUNT) + 0.5) / COUNT * len(strip)).astype(int)
    greens = [bool(strip[column][1] > strip[column][0]) for column in columns]
    gap = set(range(DROPOUT[0], DROPOUT[0] + DROPOUT[1]))
    assert not any(greens[frame] for frame in gap), "a bridged frame is not green"
    assert sum(greens[frame] for frame in range(1, COUNT) if frame not in gap) > COUNT // 2
    page.execute_script("handopt.seek(5)")
    fifth = drawn(page)
    page.execute_script("handopt.seek(15)")
    assert 0.02 < skin(fifth).mean() < 0.5
    assert np.abs(drawn(page) - fifth).max() > 50
    assert complaints(page) == []


@pytest.mark.parametrize("side", ["right", "left"])
def test_pose_correctives_move_the_skin_on_the_page(browser: Any, side: str, tmp_path: Path) -> None:
    track = mano_track(side)
    folder = save_track(track, tmp_path / "track", video=False)
    assert run("view", folder, "--html", tmp_path / "track.html").exit_code == 0
    page = opened(browser, tmp_path / "track.html")
    plain = replace(track, rig=replace(track.rig, pose_correctives=None))
    for frame in np.flatnonzero(track.known).tolist():
        page.execute_script(f"handopt.seek({frame})")
        shown = np.array(page.execute_script("return handopt.vertices()")).reshape(-1, 3)
        expected = track.vertices_mm(frame)
        assert np.linalg.norm(shown - expected, axis=1).max() < 0.01, frame
    assert np.linalg.norm(plain.vertices_mm(9) - track.vertices_mm(9), axis=1).max() > 0.3, "correctives move nothing"


def test_a_glb_is_shown(browser: Any, fit_folder: Path, tmp_path: Path) -> None:
    assert run("view", fit_folder / "mesh.glb", "--html", tmp_path / "mesh.html").exit_code == 0
    page = opened(browser, tmp_path / "mesh.html")
    assert skin(drawn(page)).mean() > 0.05
    assert complaints(page) == []


def test_a_served_page_asks_nobody_but_its_own_server(browser: Any, fit_folder: Path, tracked: Path) -> None:
    folders = [fit_folder, tracked]
    page = view_page([Item("one"), Item("two")], "two results")

    def answer(request: PageRequest) -> PageReply:
        number = request.path.removeprefix("scene/")
        return PageReply.of_json(packed_scene(folders[int(number)])) if number.isdecimal() else PageReply.page(page)

    with open_server(answer, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            requests(browser)
            browser.get(server.url)
            wait_for(browser, READY)
            browser.execute_script("document.querySelectorAll('#items a')[1].click()")
            wait_for(browser, "handopt.scene.kind === 'track'")
            assert skin(drawn(browser)).mean() > 0.02
            asked = requests(browser)
        finally:
            server.shutdown()
            thread.join()
    assert all(url.startswith(server.url) for url in asked), asked
    assert any("/scene/1" in url for url in asked)
