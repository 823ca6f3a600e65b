"""The program as a whole: help, start-up, version, completion, and what the README says of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import update_help
from click.testing import CliRunner
from support.fit_cli import EXAMPLES

from handopt.cli.commands import COMMANDS
from handopt.cli.errors import one_line
from handopt.cli.main import main
from handopt.cli.values import Numbers, Positive
from handopt.errors import DepthError, HandoptError

PROJECT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "scipy", "cupy", "imageio", "PIL", "tqdm", "pygltflib", "handopt.backend", "handopt.rig")
HELP_SECONDS = 0.2


def commands() -> Iterator[tuple[str, click.Command]]:
    for words in update_help.command_paths(main):
        command: click.Command | None = main
        for word in words:
            assert isinstance(command, click.Group)
            command = command.get_command(click.Context(command), word)
        assert command is not None
        yield " ".join(("handopt", *words)), command


def python(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    settings = {**os.environ, **environment}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=settings, check=False)


# -------------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=[name for name, _ in commands()])
def test_every_command_and_option_has_help(name: str, command: click.Command) -> None:
    assert command.help, f"{name} has no help"
    silent = [each.name for each in command.params if isinstance(each, click.Option) and not each.help]
    assert not silent, f"{name} has options without help"
    assert command.get_short_help_str(limit=60).endswith("."), f"the short help of {name} is cut off"
    text = update_help.help_texts()[name]
    absent = [each.opts[-1] for each in command.params if isinstance(each, click.Option) and each.opts[-1] not in text]
    assert not absent, f"the help of {name} leaves options out"


def test_the_readme_holds_the_help_of_every_command() -> None:
    readme = update_help.README.read_text(encoding="utf-8")
    assert readme == update_help.updated(readme, update_help.help_texts()), "run scripts/check/update_help.py"


def test_help_texts_fit_80_columns_and_name_the_program() -> None:
    texts = update_help.help_texts()
    assert set(texts) == {name for name, _ in commands()}
    for name, text in texts.items():
        assert text.startswith(f"Usage: {name} ")
        assert max(map(len, text.splitlines())) <= update_help.COLUMNS
        assert "-h, --help" in text


def test_updating_the_readme_fills_the_blocks_and_keeps_the_rest() -> None:
    readme = "# a\n<!-- help: x -->\nold\n<!-- /help -->\nb\n<!-- help: x y --><!-- never closed"
    with pytest.raises(ValueError, match="no block for: x y"):
        update_help.updated(readme, {"x": "new\n", "x y": "new\n"})
    with pytest.raises(ValueError, match="a block for no command: x"):
        update_help.updated(readme, {})
    expected = "# a\n<!-- help: x -->\n```text\nnew\n```\n<!-- /help -->\nb\n<!-- help: x y --><!-- never closed"
    once = update_help.updated(readme, {"x": "new\n"})
    assert once == expected
    assert update_help.updated(once, {"x": "new\n"}) == expected


# ---------------------------------------------------------------------------------------------- start-up


@pytest.mark.process
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["eval", "--help"],
        ["fit", "--help"],
        ["model", "show", "--help"],
        ["synth", "--help"],
        ["--version"],
    ],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import json, sys\nfrom handopt.cli.main import main\n"
        "try:\n    main(sys.argv[1:], prog_name='handopt')\n"
        "finally:\n    print(json.dumps(sorted(sys.modules)), file=sys.stderr)\n"
    )
    done = python("-c", code, *arguments)
    assert done.returncode == 0
    assert "handopt" in done.stdout
    modules = set(json.loads(done.stderr))
    assert not modules & set(HEAVY)
    loaded = {name for name, entry in COMMANDS.items() if f"handopt.cli.{entry.module}" in modules}
    assert loaded == {word for word in arguments[:1] if not word.startswith("-")}


@pytest.mark.process
def test_help_is_quick() -> None:
    taken = []
    for _ in range(5):
        before = os.times()
        assert python("-P", "-m", "handopt", "--help").returncode == 0
        after = os.times()  # seconds of processor time: other tests may be on the cores meanwhile
        taken.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(taken) <= HELP_SECONDS, f"the quickest of {len(taken)} runs"


@pytest.mark.process
def test_python_m_handopt_is_handopt() -> None:
    done = python("-P", "-m", "handopt", "--version")
    assert done.stdout == CliRunner().invoke(main, ["--version"]).stdout
    assert done.stdout.startswith("handopt ")
    failed = python("-P", "-m", "handopt", "fly")
    assert failed.returncode == 2
    assert "Usage: handopt [OPTIONS]" in failed.stderr
    assert "No such command 'fly'" in failed.stderr
    assert failed.stdout == ""


# -------------------------------------------------------------------------------------------- completion


@pytest.mark.process
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    printed = CliRunner().invoke(main, ["completion", shell], catch_exceptions=False)
    assert printed.exit_code == 0
    assert f"_HANDOPT_COMPLETE={shell}_complete" in printed.stdout
    assert "handopt" in printed.stdout


def test_completion_of_an_unknown_shell_is_a_usage_error() -> None:
    assert CliRunner().invoke(main, ["completion", "tcsh"]).exit_code == 2


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "cursor", "offered"),
    [
        ("handopt fit --vid", "2", ["plain,--video"]),
        ("handopt fit --hand ", "3", ["plain,right", "plain,left", "plain,auto"]),
        ("handopt fit --camera sr3", "3", ["plain,sr300", "plain,sr305", "file,sr3"]),
        ("handopt mo", "1", ["plain,model"]),
    ],
)
def test_the_shell_is_offered_completions(words: str, cursor: str, offered: list[str]) -> None:
    environment = {"_HANDOPT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": cursor}
    assert python("-P", "-m", "handopt", **environment).stdout.split() == offered


# ------------------------------------------------------------------------------------------------ errors


def test_an_error_of_the_library_is_one_line_and_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise HandoptError("the folder assets\nis missing")

    monkeypatch.setattr("handopt.cli.info.gather", fail)
    printed = CliRunner().invoke(main, ["info"])
    assert printed.exit_code == 1
    assert printed.stdout == ""
    assert printed.stderr == "Error: the folder assets is missing\n"
    monkeypatch.setenv("HANDOPT_TRACEBACK", "1")
    told = CliRunner().invoke(main, ["info"])
    assert told.exit_code == 1
    assert "Traceback (most recent call last)" in told.stderr
    assert told.stderr.endswith(printed.stderr)


def test_ctrl_c_is_one_line_and_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("handopt.cli.info.gather", interrupt)
    printed = CliRunner().invoke(main, ["info"])
    assert printed.exit_code == 130
    assert printed.stderr.startswith("Interrupted")
    assert printed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DepthError("x.png:  is\n empty"), "x.png: is empty"),
        (click.UsageError("no"), "no"),
        (PermissionError(13, "Permission denied"), "PermissionError: [Errno 13] Permission denied"),
        (MemoryError(), "MemoryError"),
        (ZeroDivisionError("by 0"), "ZeroDivisionError: by 0 (-vv shows where)"),
    ],
)
def test_errors_become_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line


# ------------------------------------------------------------------------------------------------ values


def test_numbers_are_read_by_count() -> None:
    assert Numbers(2, 3).convert("1,-2.5", None, None) == (1.0, -2.5)
    assert Numbers(4).convert((1.0, 2.0, 3.0, 4.0), None, None) == (1.0, 2.0, 3.0, 4.0)
    for wrong in ("", "1", "1,2,3,4", "1,x", "1,nan", "1,inf,2", "1,,2"):
        with pytest.raises(click.BadParameter, match="2 or 3 numbers with commas"):
            Numbers(2, 3).convert(wrong, None, None)


def test_positive_numbers_are_finite_and_above_0() -> None:
    assert Positive().convert("0.125", None, None) == 0.125
    for wrong in ("", "0", "-1", "nan", "inf", "1mm"):
        with pytest.raises(click.BadParameter, match="not a number above 0"):
            Positive().convert(wrong, None, None)


@pytest.mark.parametrize(
    "words",
    [
        ("fit", str(EXAMPLES / "open.png"), "-o", "x" * 300),
        ("shape", str(EXAMPLES / "open.png"), "-o", "x" * 300 + ".glb"),
        ("model", "show", "right", "-o", "x" * 300 + ".png"),
    ],
)
def test_a_name_that_no_file_can_have_is_refused_as_an_option(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2, done.output
    assert "cannot be used (File name too long)" in done.stderr
    assert "OSError" not in done.stderr


@pytest.mark.process
def test_ctrl_c_inside_an_exec_of_text_ends_with_130(tmp_path: Path) -> None:
    """CPython remembers it as an interrupt that nobody caught, and would end by the signal."""
    (tmp_path / "stopped.py").write_text(
        "from handopt.cli.main import main\n"
        "@main.command('stop')\n"
        "def stop():\n"
        "    exec('raise KeyboardInterrupt')\n"
        "main(['stop'])\n"
    )
    paths = os.pathsep.join((str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "stopped"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr.startswith("Interrupted: ")
