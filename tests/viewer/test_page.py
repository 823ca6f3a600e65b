"""The page as text: nothing in it asks a network for anything, and no text of a user ends a script."""

import json
import re

from support.fitted import fitted

from handopt.viewer.page import Item, json_block, three, view_page


def test_no_text_can_end_a_script() -> None:
    evil = "</script><script>alert(1)</script><!--"
    block = json_block("settings", {"title": evil})
    assert block.count("</script") == 1
    assert json.loads(block.partition(">")[2].removesuffix("</script>")) == {"title": evil}
    page = view_page([Item(evil, evil)], evil)
    assert "<script>alert" not in page


def test_the_page_holds_everything_that_it_needs() -> None:
    page = view_page([Item("a", packed={"kind": "glb", "facts": {"title": "a", "subtitle": ""}, "data": ""})], "a")
    assert not re.search(r"<(script|img|link|iframe)[^>]+(src|href)=.(?!data:)", page)
    assert "url(" not in page.partition("</style>")[0]
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "http" not in policy[1]
    assert "'self'" not in policy[1], "a page that is complete may not even ask its own server"
    served = view_page([Item("a")], "a")
    assert "connect-src 'self'" in served


def test_three_comes_with_its_licence() -> None:
    assert three().startswith("/* three.js, MIT licence, Copyright")
    assert "</script" not in three()


def test_a_notebook_shows_a_result_in_3d() -> None:
    shown = fitted()._repr_html_()
    assert shown.startswith("<iframe")
    assert 'sandbox="allow-scripts' in shown
    assert "open.png" in shown
    assert shown.count("<iframe") == 1
    assert '"' not in shown.partition('srcdoc="')[2].partition('" style=')[0]
