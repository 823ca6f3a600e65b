#!/usr/bin/env python3
"""Rewrite the --help texts of handopt/cli/README.md: blocks between <!-- help: handopt fit --> and <!-- /help -->."""

import argparse
import re
import sys
from pathlib import Path

import click
from click.testing import CliRunner

from handopt.cli.main import main as program

README = Path(__file__).resolve().parents[2] / "handopt" / "cli" / "README.md"
COLUMNS = 80
_BLOCK = re.compile(r"<!-- help: (?P<command>[^>]+?) -->\n.*?<!-- /help -->", re.DOTALL)


def help_texts() -> dict[str, str]:
    """What --help prints on a terminal of 80 columns, for the program and each of its commands."""
    runner = CliRunner(env={"COLUMNS": str(COLUMNS)})
    texts = {}
    for words in command_paths(program):
        printed = runner.invoke(program, [*words, "--help"], prog_name="handopt", catch_exceptions=False)
        texts[" ".join(("handopt", *words))] = printed.stdout
    return texts


def command_paths(command: click.Command, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words that lead to a command and to each command below it."""
    paths = [words]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            paths += command_paths(below, (*words, name))
    return paths


def updated(readme: str, texts: dict[str, str]) -> str:
    """The document with each block filled anew. Raises ValueError for a command without a block, or the reverse."""
    found = {match["command"] for match in _BLOCK.finditer(readme)}
    for names, problem in ((texts.keys() - found, "no block for"), (found - texts.keys(), "a block for no command")):
        if names:
            raise ValueError(f"{README.name} has {problem}: {', '.join(sorted(names))}")

    def fill(match: re.Match[str]) -> str:
        command = match["command"]
        return f"<!-- help: {command} -->\n```text\n{texts[command]}```\n<!-- /help -->"

    return _BLOCK.sub(fill, readme)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if they are out of date")
    arguments = parser.parse_args()
    before = README.read_text(encoding="utf-8")
    try:
        after = updated(before, help_texts())
    except ValueError as error:
        sys.exit(str(error))
    if arguments.check:
        sys.exit(
            "handopt/cli/README.md has other --help texts: run scripts/check/update_help.py" if after != before else 0
        )
    README.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
