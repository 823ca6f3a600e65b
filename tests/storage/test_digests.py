"""Digests of a folder's files: any damage is found, and equal results have equal digests."""

import json
from pathlib import Path

import pytest

from handopt.storage.digests import digests_of, first_damage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "renders").mkdir()
    (tmp_path / "renders" / "0.png").write_bytes(b"picture")
    (tmp_path / "mesh.glb").write_bytes(b"mesh")
    (tmp_path / "result.json").write_text('{"hand": "left", "seconds": {"read": 0.1}}')
    return tmp_path


def known(folder: Path) -> dict[str, tuple[int, str]]:
    return {name: (each["bytes"], each["sha256"]) for name, each in digests_of(folder).items()}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("mesh.glb", b"", "has a damaged mesh.glb"),
        ("mesh.glb", b"mash", "has a damaged mesh.glb"),
        ("renders/0.png", b"pictur", "has a damaged renders/0.png"),
        ("renders/0.png", None, "has no renders/0.png"),
        ("result.json", b'{"hand": "right", "seconds": {}}', "has a damaged result.json"),
        ("result.json", b'{"hand": "left"', "has a damaged result.json"),
    ],
)
def test_damage_is_found(folder: Path, name: str, content: bytes | None, reason: str) -> None:
    digests = known(folder)
    assert list(digests) == ["mesh.glb", "renders/0.png", "result.json"]
    assert first_damage(folder, digests) is None
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    assert first_damage(folder, digests) == reason


def test_times_do_not_count_and_names_stay_inside(folder: Path) -> None:
    digests = known(folder)
    (folder / "result.json").write_text(json.dumps({"seconds": {"read": 0.2}, "hand": "left"}))
    assert known(folder) == digests
    assert digests["mesh.glb"] == (4, "d30ca7a7a32bf5772dc5eb2a2e7bd35737eff795ad74f2479b359716b59abdfa")
    for name in ("../x", "/etc/passwd"):
        assert first_damage(folder, {name: (0, "")}) == f"names a file outside of it, {name}"
