"""The documents: links lead somewhere, commands and Python in them work, and the README stays short.

A block of shell commands is parsed by the real commands. One below <!-- run --> is also run, in the order of its
document, in a folder that holds nothing but the assets; a console block is run and its output compared. Python blocks
run, too; <!-- not run: REASON --> leaves it at compiling them.
"""

import argparse
import os
import re
import runpy
import sys
import tomllib
from pathlib import Path

import click
import pytest
import update_help
from click.testing import CliRunner
from PIL import Image
from support.documents import PROJECT, Block, anchors, blocks, commands, documents, links, parse

from handopt.cli.main import main as program
from handopt.result import schema

README = PROJECT / "README.md"
DEMO = PROJECT / "assets" / "images" / "demo.gif"
SHELL = ("bash", "console")
# Programs other than handopt that the documents call.
OTHERS = {"cd", "dask", "export", "find", "for", "done", "head", "jq", "sort"}
EXTRA = re.compile(r"\[([a-z0-9,]+)\]")
SECONDS = re.compile(r"\b\d+(\.\d+)? (s|frames/s)(?=\t|$)", re.MULTILINE)


def shell_blocks() -> list[Block]:
    return [block for document in documents() for block in blocks(document, *SHELL)]


def script_of(block: Block) -> str:
    """The commands of a block; in a console block they stand behind $."""
    if block.language == "bash":
        return block.text
    return "\n".join(line[2:] for line in block.text.splitlines() if line.startswith("$ "))


def to_run(document: Path) -> list[Block]:
    """The blocks of a document that run: console, Python, and bash below <!-- run -->."""
    found = blocks(document, "bash", "console", "python")
    return [
        block
        for block in found
        if (block.language == "bash" and block.note == "run")
        or block.language == "console"
        or (block.language == "python" and not block.note.startswith("not run: "))
    ]


def named(document: Path) -> str:
    return document.relative_to(PROJECT).as_posix()


# ----------------------------------------------------------------------------------------------------- links


@pytest.mark.parametrize("document", documents(), ids=named)
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for target in links(document):
        path, _, anchor = target.partition("#")
        goal = (document.parent / path).resolve() if path else document
        if not goal.exists() or (anchor and anchor not in anchors(goal)):
            broken.append(target)
    assert not broken, f"{named(document)}: {', '.join(broken)}"


def test_every_room_has_a_document_and_the_architecture_links_to_it() -> None:
    rooms = {path.parent.name for path in (PROJECT / "handopt").glob("*/__init__.py")}
    house = PROJECT / "handopt" / "README.md"
    linked = {target.split("/")[0] for target in links(house) if target.endswith("/README.md")}
    assert rooms - {path.parent.name for path in documents()} == set()
    assert rooms - linked == set()


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [README]
    while waiting:
        document = waiting.pop()
        if document in reached or document.suffix != ".md":
            continue
        reached.add(document)
        paths = (target.partition("#")[0] for target in links(document))
        waiting += [(document.parent / path).resolve() for path in paths if path]
    assert set(documents()) - reached == set()


# -------------------------------------------------------------------------------------------------- the README


def test_the_readme_is_short_and_its_picture_moves() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 200
    shown = next(number for number, line in enumerate(lines) if named(DEMO) in line)
    assert shown < 20, "the picture belongs in the first screen"
    assert DEMO.stat().st_size <= 3_000_000
    with Image.open(DEMO) as picture:
        assert getattr(picture, "n_frames", 1) > 50
        assert picture.info["loop"] == 0


def test_the_readme_keeps_the_two_commands() -> None:
    given = [line for block in blocks(README, "bash") for line in block.text.splitlines()]
    assert "pip install . && handopt fit assets/examples/open.png" in given
    assert "pip install '.[test]' && pytest" in given


def test_the_help_texts_are_up_to_date() -> None:
    document = update_help.README.read_text(encoding="utf-8")
    assert document == update_help.updated(document, update_help.help_texts()), "run scripts/check/update_help.py"


def test_the_document_of_the_input_names_every_camera_preset() -> None:
    presets = tomllib.loads((PROJECT / "assets" / "cameras.toml").read_text(encoding="utf-8"))
    described = (PROJECT / "handopt" / "input" / "README.md").read_text(encoding="utf-8")
    assert [name for name in presets if f"`{name}`" not in described] == []


# ---------------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize("block", shell_blocks(), ids=str)
def test_commands_are_understood(block: Block) -> None:
    for words in commands(script_of(block)):
        try:
            check(words)
        except click.UsageError as error:
            pytest.fail(f"{block}: {' '.join(words)}: {error.format_message()}")


def check(words: list[str]) -> None:
    """Check one command of a document. Raises UsageError or AssertionError."""
    words = [word for word in words if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    first, *rest = words
    if first == "handopt":
        parse(program, rest)
    elif first in ("python", "python3"):
        check_script(rest)
    elif first == "pip":
        assert rest[0] == "install", words
        check_extras(rest[1:])
    elif first == "pytest":
        assert all((PROJECT / word).exists() for word in rest if not word.startswith("-") and "/" in word), words
    elif first.endswith(".sh"):
        assert os.access(PROJECT / first, os.X_OK), f"{first} cannot be run"
    else:
        assert first in OTHERS, f"{first} is no program that the documents may call; add it to OTHERS"


def check_extras(words: list[str]) -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for word in words:
        match = EXTRA.search(word)
        if word.startswith(".") and match:
            assert set(match[1].split(",")) <= set(extras), f"{word} is no extra"


class Parsed(Exception):
    """The arguments of a script were understood."""


def check_script(words: list[str]) -> None:
    """Let a script's own parser read its arguments, and stop it there."""
    script = PROJECT / words[0]
    assert script.is_file(), f"{words[0]} does not exist"
    real = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser, arguments: object = None, space: object = None) -> None:
        real(parser, words[1:])
        raise Parsed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
        patch.setattr(sys, "argv", words)
        try:
            runpy.run_path(str(script), run_name="__main__")
        except Parsed:
            return
        except SystemExit as error:
            if "needs PyTorch" not in str(error.code):
                raise AssertionError(f"{' '.join(words)} is not understood") from error
            # Without torch the script cannot begin, so that its options are looked up in its source.
            source = script.read_text(encoding="utf-8")
            unknown = [word for word in words if word.startswith("-") and f'"{word}"' not in source]
            assert not unknown, f"{words[0]} has no {', '.join(unknown)}"
            return
    raise AssertionError(f"{words[0]} does not read its arguments")


def test_a_wrong_option_command_value_or_script_is_noticed() -> None:
    for line in (
        "handopt fit a.png --outptu b",
        "handopt fitt a.png",
        "handopt fit a.png --shape round",
        "handopt shape",
    ):
        with pytest.raises((click.UsageError, AssertionError)):
            check(next(iter(commands(line))))
    for line in ("python scripts/bench/bench_fits.py a --wihtout x", "python scripts/gone.py", "pip install '.[gpu]'"):
        with pytest.raises(AssertionError):
            check(next(iter(commands(line))))
    check(next(iter(commands("handopt fit a.png --shape vertices -o b  # and why"))))


def test_shell_lines_are_taken_apart() -> None:
    line = "A=1 one -x 'two three' | four > file && five; for f in *.png; do six \"$f\"; done  # seven"
    found = list(commands(line))
    assert found == [
        ["A=1", "one", "-x", "two three"],
        ["four"],
        ["five"],
        ["for", "f", "in", "*.png"],
        ["six", "$f"],
        ["done"],
    ]


# ----------------------------------------------------------------------------------------------- what is run


@pytest.mark.parametrize("document", [path for path in documents() if to_run(path)], ids=named)
def test_what_a_document_shows_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "assets").symlink_to(PROJECT / "assets")
    monkeypatch.chdir(tmp_path)
    for block in to_run(document):
        if block.language == "python":
            exec(compile(block.text, str(block), "exec"), {"__name__": "document"})
            continue
        printed = "".join(output_of(words, block) for words in commands(script_of(block)))
        if block.language == "console":
            expected = [line for line in block.text.splitlines() if not line.startswith("$ ")]
            assert without_seconds(printed).splitlines() == without_seconds("\n".join(expected)).splitlines()


def output_of(words: list[str], block: Block) -> str:
    """What a command of handopt prints on standard output. It must succeed."""
    assert words[0] == "handopt", f"{block}: only commands of handopt are run, got {' '.join(words)}"
    done = CliRunner().invoke(program, words[1:], prog_name="handopt")
    assert done.exit_code == 0, f"{block}: {' '.join(words)}:\n{done.output}\n{done.exception!r}"
    return done.stdout


def without_seconds(text: str) -> str:
    """Output without the figures that differ from run to run."""
    return SECONDS.sub("TIME", text)


@pytest.mark.parametrize("block", [each for path in documents() for each in blocks(path, "python")], ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


def test_every_key_of_a_result_is_described() -> None:
    rows = (PROJECT / "handopt" / "storage" / "README.md").read_text(encoding="utf-8").splitlines()
    described = {name for row in rows if row.startswith("| `") for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert len(described) > 50
    assert set(schema()["properties"]) - described == set()
