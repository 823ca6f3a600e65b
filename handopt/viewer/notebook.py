"""A scene in a notebook: the viewer's page in a frame of its own."""

import html
from typing import Any, Final

from handopt.viewer.page import Item, view_page

HEIGHT_PX: Final = 520


def framed_page(packed: dict[str, Any], label: str) -> str:
    """An <iframe> that holds the page of one scene. packed: as Scene.packed gives it. label: for screen readers."""
    page = view_page([Item(packed["facts"]["title"], packed=packed)], packed["facts"]["title"])
    return (
        f'<iframe title="{html.escape(label)}" sandbox="allow-scripts allow-downloads" srcdoc="{html.escape(page)}" '
        f'style="width: 100%; height: {HEIGHT_PX}px; border: 0"></iframe>'
    )
