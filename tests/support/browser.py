"""Debian's Chromium, without a window and with a software WebGL, for tests of pages."""

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SIZE_PX = (1280, 800)
SECONDS = 60


def require_chromium() -> None:
    """Skip the test where there is no Chromium to test with, and say what is missing."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found: apt-get install chromium chromium-driver")
    pytest.importorskip("selenium", reason="selenium not found: pip install '.[test]' in handopt's source folder")


@contextmanager
def chromium(downloads: Path) -> Iterator[Any]:
    """A browser; what pages save goes into a folder."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader", "--no-first-run"),
        *("--enable-unsafe-swiftshader", "--disable-background-networking", "--disable-component-update"),
        *(f"--window-size={SIZE_PX[0]},{SIZE_PX[1]}", "--force-device-scale-factor=1"),
    ):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(SECONDS)
    driver.set_page_load_timeout(SECONDS)
    try:
        yield driver
    finally:
        driver.quit()


def wait_for(driver: Any, condition: str) -> None:
    """Wait until a JavaScript expression is true; on the way an error of the page fails the test."""
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    try:
        WebDriverWait(driver, SECONDS, 0.1).until(lambda each: each.execute_script(f"return Boolean({condition})"))
    except TimeoutException:
        raise AssertionError(f"{condition} never came true; the page says {driver.get_log('browser')}") from None


def pixels(driver: Any, element: str = "view") -> np.ndarray:
    """What an element looks like, (H, W, 3)."""
    from selenium.webdriver.common.by import By

    picture = Image.open(io.BytesIO(driver.find_element(By.ID, element).screenshot_as_png))
    return np.asarray(picture.convert("RGB"), np.int32)


def requests(driver: Any) -> list[str]:
    """The addresses that pages asked for since the last call, without what they hold themselves (data:, blob:)."""
    found = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            found.append(message["params"]["request"]["url"])
    return [url for url in found if not url.startswith(("data:", "blob:", "chrome"))]


def complaints(driver: Any) -> list[str]:
    """Warnings and errors of the pages since the last call."""
    return [each["message"] for each in driver.get_log("browser") if each["level"] in ("WARNING", "SEVERE")]
