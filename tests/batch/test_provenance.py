"""provenance.json: what a result was made of, and whether another run would make the same."""

import json
import os
from pathlib import Path

import pytest

from handopt.batch.provenance import Provenance
from handopt.errors import DepthError
from handopt.storage.digests import digests_of

SETTINGS = {"handopt": "0.1", "shape": "scale", "solver": "auto", "unit": None, "mask": "0a" * 32}
NAMES = ["result.json", "mesh.glb"]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(b"depth")
    (tmp_path / "camera.json").write_text("{}")
    return tmp_path / "a.png"


@pytest.fixture
def folder(image: Path) -> Path:
    """The complete result of the image."""
    folder = image.parent / "out"
    folder.mkdir()
    (folder / "result.json").write_text('{"hand": "left"}')
    (folder / "mesh.glb").write_text("mesh")
    document = {**Provenance(image).document(SETTINGS), "results": digests_of(folder)}
    (folder / "provenance.json").write_text(json.dumps(document))
    return folder


def reason(image: Path, folder: Path, names: list[str] = NAMES, **changes: object) -> str:
    found = Provenance(image).found(folder, {**SETTINGS, **changes}, names)
    assert (found.result is None) == bool(found.reason)
    return found.reason


def test_a_document_names_all_files_with_their_contents(image: Path) -> None:
    document = Provenance(image).document(SETTINGS)
    assert document["format"] == "handopt.provenance/2"
    assert document["settings"] == SETTINGS
    assert list(document["files"]) == ["a.png", "camera.json"]
    assert document["files"]["a.png"] == {
        "bytes": 5,
        "mtime_ns": image.stat().st_mtime_ns,
        "sha256": "ded32129b05bfc16ce501e654a169960583352cbc974824ed16ce94855904386",
    }


def test_the_same_files_and_settings_are_found_again(image: Path, folder: Path) -> None:
    found = Provenance(image).found(folder, SETTINGS, NAMES)
    assert found.result == {"hand": "left"}
    os.utime(image, ns=(1, 1))
    assert reason(image, folder) == "", "a copy of the same content"


def test_what_differs_is_named(image: Path, folder: Path) -> None:
    assert reason(image, folder, shape="none") == "was made with another shape= (scale, now none)"
    assert reason(image, folder, unit=0.5) == "was made with another unit= (none, now 0.5)"
    assert reason(image, folder, handopt="0.2") == "was made with another handopt's version (0.1, now 0.2)"
    assert reason(image, folder, mask="1b" * 32) == "was made with another mask (mask=)"
    assert reason(image, folder, config="1b" * 32) == "was made with another config=", "its hash tells nobody anything"
    assert reason(image, folder, mask=None) == "was made with a mask (mask=), now without"
    assert reason(image, folder, ignore="1b" * 32) == "was made without a mask (ignore=), now with one"
    assert reason(image, folder, names=[*NAMES, "mesh.ply"]) == "has no mesh.ply"
    (folder / "mesh.glb").write_text("")
    assert reason(image, folder) == "has no mesh.glb", "a file without content"
    (image.parent / "a.json").write_text("{}")
    assert reason(image, folder) == "was made without a.json beside the image"
    (image.parent / "a.json").unlink()
    (image.parent / "camera.json").unlink()
    assert reason(image, folder) == "was made with camera.json beside the image"
    (image.parent / "camera.json").write_text("{}")
    image.write_bytes(b"hands")
    assert reason(image, folder) == "was made from another version of a.png"
    (image.parent / "b.png").write_bytes(b"depth")
    assert reason(image.parent / "b.png", folder) == "holds the result of another image, a.png"


@pytest.mark.parametrize("content", ["", "[]", "{}", None])
def test_results_that_do_not_say_where_they_are_from(image: Path, folder: Path, content: str | None) -> None:
    (folder / "provenance.json").unlink()
    if content is not None:
        (folder / "provenance.json").write_text(content)
    assert reason(image, folder) == "exists, but was not made by this version of handopt fit"


def test_files_that_change_or_vanish_meanwhile(image: Path) -> None:
    source = Provenance(image)
    source.check()
    image.write_bytes(b"depths")
    with pytest.raises(DepthError, match=r"a\.png: changed while it was read; run the same command again"):
        source.check()
    source = Provenance(image)
    image.unlink()
    with pytest.raises(DepthError, match="vanished while it was read"):
        source.check()
    with pytest.raises(DepthError, match="cannot be read any more"):
        source.document(SETTINGS)
    Provenance(image).check()


def test_text_that_is_not_utf_8_is_no_provenance(image: Path, folder: Path) -> None:
    (folder / "provenance.json").write_text(json.dumps("\udcff"))
    assert reason(image, folder) == "exists, but was not made by this version of handopt fit"
