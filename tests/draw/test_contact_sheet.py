"""Sheets of overlays."""

from pathlib import Path

import numpy as np
from PIL import Image
from support.fitted import fit_folder

from handopt.draw.contact_sheet import Tile, contact_sheet
from handopt.draw.overlay import PANEL_PX, panel_origin

__all__ = ["fit_folder"]


def test_a_sheet_shows_the_panels_of_overlays_alone(fit_folder: Path) -> None:
    sheet = contact_sheet([Tile("open", 0.97, fit_folder / "overlay.png")], 1, width=974)
    with Image.open(fit_folder / "overlay.png") as whole:
        overlay = np.asarray(whole.convert("RGB")).astype(int)
    left, top = panel_origin(0)
    panels = overlay[top : top + PANEL_PX, left : panel_origin(2)[0] + PANEL_PX]
    assert sheet.shape[0] == 22 + round(974 * PANEL_PX / panels.shape[1])
    assert abs(sheet[22:].mean() - panels.mean()) < 2, "all of the panels, and nothing else"
