"""The example page that a WebSocket drives: a message puts the hand on the screen."""

from pathlib import Path

import numpy as np
from support.browser import chromium, pixels, require_chromium

PAGE = Path(__file__).parents[2] / "scripts" / "examples" / "hand_page.html"


def test_a_message_puts_the_hand_on_the_screen(tmp_path: Path) -> None:
    require_chromium()
    joints = [[8.0 * (index % 5), 6.0 * index - 60.0, 450.0] for index in range(21)]
    message = {"sequence": 0, "frame": 7, "tracked": True, "hand": "right", "confidence": 0.98, "sent_s": 0}
    with chromium(tmp_path) as driver:
        driver.get(PAGE.as_uri() + "?stream=ws://127.0.0.1:9")
        driver.execute_script("show(arguments[0])", {**message, "joints_mm": joints})
        assert "frame 7, right hand, confidence 0.98" in driver.execute_script("return told.textContent")
        driver.execute_script("told.remove(); document.querySelector('canvas').id = 'view'")
        picture = pixels(driver)
    bright = (picture.max(axis=2) > 120) & (np.ptp(picture, axis=2) > 60)
    assert bright.sum() > 500, "coloured joints"
