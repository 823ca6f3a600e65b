"""The page of a track that goes on, in Chromium."""

from pathlib import Path
from typing import Any

import numpy as np
from support.browser import chromium, complaints, pixels, require_chromium, wait_for

from handopt.rig import default_rig
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices
from handopt.synth.poses import PALM_UPRIGHT
from handopt.viewer.live import LivePage


def frame(x_mm: float) -> dict[str, Any]:
    rig = default_rig("right")
    transforms = joint_transforms(
        rig, np.asarray(PALM_UPRIGHT)[None], np.array([[x_mm, 60.0, 500.0]]), np.zeros((1, 15, 3)), [1.0]
    )
    return {
        "hand": "right",
        "confidence": 0.4,
        "joints": posed_keypoints(rig, transforms)[0].tolist(),
        "vertices": posed_vertices(rig, transforms)[0].ravel().tolist(),
        "faces": np.asarray(rig.faces).ravel().tolist(),
    }


def skin_columns(browser: Any) -> np.ndarray:
    browser.execute_async_script(
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()));"
    )
    # below the text
    red, green, blue = np.moveaxis(pixels(browser)[80:], -1, 0)
    return np.flatnonzero(((red > 100) & (red - green > 15) & (green - blue > 10)).sum(axis=0) > 3)


def test_the_page_follows_the_hand(tmp_path: Path) -> None:
    require_chromium()
    page = LivePage("a <track>")
    try:
        with chromium(tmp_path) as browser:
            browser.get(page.url)
            page.show(3, lambda: frame(0.0))
            wait_for(browser, "live.seen === 3")
            assert "frame 3, right hand, confidence 0.40" in browser.page_source
            assert "a &lt;track&gt;" in browser.page_source
            before = skin_columns(browser)
            assert before.size > 50
            browser.save_screenshot(str(tmp_path / "live.png"))
            page.show(4, lambda: frame(40.0))
            wait_for(browser, "live.seen === 4")
            after = skin_columns(browser)
            assert after.mean() > before.mean() + 20
            page.show(5, lambda: {"hand": None, "confidence": None})
            wait_for(browser, "live.seen === 5")
            assert skin_columns(browser).size == 0
            assert not complaints(browser)
    finally:
        page.close()
