"""The trial of faults: it finds none in a small folder, and finds one that is planted."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import faults
import pytest
from support.fit_cli import EXAMPLES, QUICK

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("cc") is None, reason="cc is not installed, which compiles the shim of faults"),
    pytest.mark.skipif(sys.platform != "linux", reason="the shim of faults is for Linux"),
]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with an image."""
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy(EXAMPLES / "open.json", folder / "open.json")
    shutil.copy(EXAMPLES / "open.png", folder / "open.png")
    (tmp_path / "quick.toml").write_text(QUICK)
    return folder


def trial(images: Path, kind: str, **environment: str) -> tuple[int, dict[str, object]]:
    """A trial of one fault."""
    more = ("-r", "--no-renders", "--config", images.with_name("quick.toml"))
    words = [images, "-o", images.with_name("trial"), "--trials", "1", "--only", kind, "--", *more]
    command = [sys.executable, faults.__file__, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["full", "power cut"])
def test_nothing_is_lost_or_torn(images: Path, kind: str) -> None:
    status, report = trial(images, kind)
    assert (status, report["faults"]) == (0, [])
    assert report["trials"] == {kind: 1}
    calls = report["calls"]
    assert isinstance(calls, int)
    assert calls > 30, "what changes the output is counted"


def test_a_file_that_is_not_synced_becomes_empty(tmp_path: Path) -> None:
    synced, written = tmp_path / "synced", tmp_path / "written"
    for path in (synced, written):
        path.write_text("whole")
    record = tmp_path.with_name("calls.txt")
    first, second = (path.stat().st_ino for path in (synced, written))
    record.write_text(f"w {first}\nw {second}\ns {first}\n")
    assert faults._cut(tmp_path, record) == ["written"]
    assert (synced.read_text(), written.read_text()) == ("whole", "")


@pytest.mark.parametrize("name", ["a", "easy/a"])
def test_a_torn_result_is_noticed(tmp_path: Path, name: str) -> None:
    whole, other = tmp_path / "whole", tmp_path / "other"
    for folder in (whole / name, other / name, whole / (name[:-1] + "b")):
        folder.mkdir(parents=True)
        (folder / "result.json").write_text("{}")
        (folder / "mesh.glb").write_text("mesh")
    assert faults._results(other, whole) == [name], "b is not there yet, which tears nothing"
    assert faults._is_whole(other, whole, name)
    (other / name / "mesh.glb").write_text("")
    assert not faults._is_whole(other, whole, name)
    (other / name / "result.json").unlink()
    assert faults._results(other, whole) == [name]
