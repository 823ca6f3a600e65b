"""The script that rebuilds the shipped hands."""

import json
import struct
import sys
from pathlib import Path

import build_hands
import pytest

from handopt.assets import asset


def test_rebuilding_from_the_shipped_right_hand_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = asset("hands/right.glb")
    monkeypatch.setattr(sys, "argv", ["build_hands.py", str(right), "-o", str(tmp_path / "hands")])
    assert build_hands.main() == 0
    for name in ("right.glb", "left.glb"):
        assert (tmp_path / "hands" / name).read_bytes() == asset(f"hands/{name}").read_bytes()


def test_mirroring_twice_gives_the_original_geometry() -> None:
    left = asset("hands/left.glb").read_bytes()
    right = asset("hands/right.glb").read_bytes()
    again = build_hands.mirror_glb(left)
    size = struct.unpack("<I", right[12:16])[0]
    size_again = struct.unpack("<I", again[12:16])[0]
    geometry = build_hands.values
    for index in (0, 1, 5, 6):
        first, second = (
            geometry(json.loads(data[20 : 20 + length]), bytearray(data[28 + length :]), index)
            for data, length in ((right, size), (again, size_again))
        )
        assert (first == second).all()


def test_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["build_hands.py", str(asset("hands/left.glb")), "-o", str(tmp_path / "hands")])
    assert build_hands.main() == 1
    assert "not the original" in capsys.readouterr().err
    assert not (tmp_path / "hands").exists()
