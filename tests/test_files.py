"""Files that anybody may have made: special files, names, sizes, nesting and numbers."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from support.permissions import forbid

from handopt import files
from handopt.files import UnreadableError


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, a_socket, lambda path: path.symlink_to("/dev/zero")])
def test_special_files_are_refused_and_never_waited_for(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "x"
    make(path)
    with pytest.raises(UnreadableError, match=r"is not a regular file|No such device"):
        files.read_bytes(path)
    assert not files.is_file(path)


def test_paths_that_no_file_has_are_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (loop, tmp_path / ("x" * 5000), tmp_path / "a\0b", tmp_path / "missing"):
        assert not any(ask(path) for ask in (files.is_file, files.is_folder, files.exists))
        with pytest.raises(UnreadableError):
            files.read_bytes(path)
    assert files.resolved(loop) == loop
    with pytest.raises(UnreadableError, match="is a folder"):
        files.read_bytes(tmp_path)
    (tmp_path / "locked").touch()
    forbid(monkeypatch, tmp_path / "locked")
    with pytest.raises(UnreadableError, match=r"cannot be read \(Permission denied\)"):
        files.read_bytes(tmp_path / "locked")


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(3 << 20)
    with pytest.raises(UnreadableError, match="has 3 MiB, the limit is 2 MiB"):
        files.read_bytes(tmp_path / "huge", 2 << 20)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "9" * 400, "9" * 5000, "\udcff", "[1," + "8" * 301 + "]"])
def test_json_that_is_none_or_has_numbers_beyond_a_float(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UnreadableError, match="is not valid JSON"):
        files.read_json(path)


@pytest.mark.parametrize("text", ["a", "a = " + "[" * 100_000, "a = " + "9" * 400, "a = [{b = " + "9" * 5000 + "}]"])
def test_toml_that_is_none_or_has_numbers_beyond_a_float(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(UnreadableError, match="is not valid TOML"):
        files.read_toml(tmp_path / "a.toml")


def test_what_can_be_read_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5, null]}')
    assert files.read_json(tmp_path / "a.json") == {"a": [1, 2.5, None]}
    (tmp_path / "a.toml").write_text("a = 10_000\n[b]\nc = true")
    assert files.read_toml(tmp_path / "a.toml") == {"a": 10_000, "b": {"c": True}}


def test_text_that_is_printed_stays_on_its_line() -> None:
    assert files.on_one_line("a\tä 手.png") == "a\tä 手.png"
    assert files.on_one_line("a\nb\x1b[31m\u2028\r") == r"a\nb\x1b[31m\u2028\r"
    assert files.readable("a\udcff.png") == "a\ufffd.png"
