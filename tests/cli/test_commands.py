"""What all commands share: help, exit codes, options that mean the same, a second run, -q, -vv, and suggestions."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.commands import run, tracked
from support.fit_cli import EXAMPLES, FakeFit, fake_fit, write_camera, write_depth

from handopt import atomic_folder
from handopt.cli.main import main

__all__ = ["fake_fit", "tracked"]

WITH_OPTION = {
    "--output": "fit shape track synth eval export video show train predict adapt compare",
    "--overwrite": "fit shape track synth eval export view report video show train predict adapt compare",
    "--update": "fit predict",
    "--json": "fit shape track synth eval export video show info train predict adapt compare",
    "--ignore": "fit shape track predict adapt compare",
    "--mirrored": "fit shape track predict adapt compare",
    "--seed": "fit shape track synth train predict adapt compare",
    "--config": "fit shape track train predict adapt compare",
    "--video": "fit shape track compare",
    "--renders": "fit shape",
    "--verbose": "fit shape track synth eval export view report video show info completion train predict adapt compare",
    "--quiet": "fit shape track synth eval export view report video show info completion train predict adapt compare",
}
KEPT = "exists and was kept: replace it with --overwrite or choose another with -o"


def all_commands(command: click.Command = main, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from all_commands(below(command, name), (*path, name))


def leaf(*path: str) -> click.Command:
    command: click.Command = main
    for name in path:
        assert isinstance(command, click.Group)
        command = below(command, name)
    return command


def below(group: click.Group, name: str) -> click.Command:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    return command


COMMANDS = list(all_commands())
LEAVES = [path for path in COMMANDS if not isinstance(leaf(*path), click.Group)]


def option_of(command: click.Command, name: str) -> click.Option | None:
    options = [each for each in command.params if isinstance(each, click.Option)]
    return next((each for each in options if name in each.opts), None)


@pytest.fixture
def arguments(tmp_path: Path, tracked: Path) -> dict[str, list[str | Path]]:
    """Something that each command can be given."""
    return {
        "fit": ["fit", EXAMPLES / "open.png", "-o", tmp_path / "fits"],
        "shape": ["shape", EXAMPLES / "open.png", "-o", tmp_path / "mine.glb"],
        "track": ["track", EXAMPLES, "-o", tmp_path / "track"],
        "synth": ["synth", "-o", tmp_path / "synth"],
        "eval": ["eval", tracked, EXAMPLES, "-o", tmp_path / "scores"],
        "video": ["video", tracked, "-o", tmp_path / "film.mp4"],
        "model": ["model", "show", "right", "-o", tmp_path / "right.png"],
        "info": ["info"],
    }


# -------------------------------------------------------------------------------------------------- help


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_ends_with_exit_codes_and_examples(path: tuple[str, ...]) -> None:
    text = run(*path, "--help").stdout
    before, examples = text.split("\nExamples:\n")
    codes = before.split("\nExit codes:\n")[1]
    assert " ".join(codes.split()) == (
        "0 Everything is done, now or by an earlier run. 1 Something failed or was skipped; the rest is done and kept. "
        "2 The command cannot be done as given: an option, a path, or an output that exists. "
        "130 Ctrl-C was pressed; what was finished is kept."
    )
    lines = examples.splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("  # ") for line in lines[::2])
    for line in lines[1::2]:
        command = line[line.index("handopt ") :].partition(" | jq")[0].partition(" >")[0]
        words = shlex.split(command)[1:]
        known: click.Command = main
        while isinstance(known, click.Group):
            known = below(known, words.pop(0))
        names = {name for each in known.params for name in (*each.opts, *each.secondary_opts)}
        assert {word for word in words if word.startswith("-") and word != "-"} <= names, line


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_options_of_experts_stand_last(path: tuple[str, ...]) -> None:
    headings = re.findall(r"^(\w[\w ]*):$", run(*path, "--help").stdout, re.MULTILINE)
    last = [heading for heading in headings if heading in ("Expert", "Other", "Exit codes", "Examples")]
    assert headings[-len(last) :] == last
    assert last in (["Expert", "Other", "Exit codes", "Examples"], ["Other", "Exit codes", "Examples"])


@pytest.mark.parametrize("name", WITH_OPTION)
def test_an_option_is_the_same_in_every_command(name: str) -> None:
    found = {path[-1]: option for path in LEAVES if (option := option_of(leaf(*path), name)) is not None}
    assert set(found) == set(WITH_OPTION[name].split())
    first, *others = found.values()
    for each in others:
        assert each.opts == first.opts
        assert each.secondary_opts == first.secondary_opts
        assert each.is_flag == first.is_flag
        assert type(each.type) is type(first.type)
        assert (each.help or "").split()[0] == (first.help or "").split()[0] or name == "--output"


# -------------------------------------------------------------------------------------------- exit codes


@pytest.mark.parametrize("command", ["fit", "shape", "track", "video", "eval", "model"])
def test_a_missing_path_is_exit_code_2(command: str, tmp_path: Path, arguments: dict[str, list[str | Path]]) -> None:
    words = ["model", "show"] if command == "model" else [command]
    more = arguments["eval"][2:] if command == "eval" else []
    done = run(*words, tmp_path / "absent.png", *more)
    assert done.exit_code == 2
    assert "absent.png" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["fit", "shape", "track", "video", "eval"])
def test_an_empty_folder_is_exit_code_2(command: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    more = [tmp_path / "empty"] if command == "eval" else []
    done = run(command, tmp_path / "empty", *more, "-o", tmp_path / "out.glb")
    assert done.exit_code == 2
    assert str(tmp_path / "empty") in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("command", ["shape", "track", "synth", "eval", "video", "model"])
def test_an_output_that_exists_is_kept_with_the_same_words(
    command: str, arguments: dict[str, list[str | Path]]
) -> None:
    place = Path(arguments[command][-1])
    if place.suffix:
        place.write_text("mine")
    else:
        place.mkdir()
    done = run(*arguments[command])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.endswith(f"{place} {KEPT}\n")
    assert not place.suffix or place.read_text() == "mine"


@pytest.mark.parametrize("command", ["shape", "track", "synth", "eval", "video", "model"])
def test_what_a_killed_run_has_left_is_removed(command: str, arguments: dict[str, list[str | Path]]) -> None:
    place = Path(arguments[command][-1])
    dead = 2**22 + 1  # no process has such a number
    left = place.with_name(f".handopt-{atomic_folder._host()}-{dead}-abc.partial")
    left.mkdir()
    (left / "half.mp4").write_text("half")
    if place.suffix:
        place.write_text("mine")
    else:
        place.mkdir()
    assert run(*arguments[command]).exit_code == 2
    assert not left.exists()


@pytest.mark.parametrize("command", ["fit", "shape", "track", "synth", "eval"])
def test_an_unknown_camera_is_exit_code_2_before_any_work(
    command: str, arguments: dict[str, list[str | Path]], tmp_path: Path
) -> None:
    done = run(*arguments[command], "--camera", "sr306")
    assert done.exit_code == 2
    assert "--camera sr306 is no preset (did you mean 'sr305'?)" in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["fit", "shape", "track"])
@pytest.mark.parametrize("option", ["--device gpu", "--seed -1", "--config absent.toml", "--hand both", "--unit 0"])
def test_an_option_that_cannot_be_used_is_exit_code_2_before_any_work(
    command: str, option: str, arguments: dict[str, list[str | Path]], tmp_path: Path
) -> None:
    done = run(*arguments[command], *option.split())
    assert done.exit_code == 2
    assert option.split()[0] in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


def test_a_second_run_of_fit_is_0_where_it_is_done_and_1_where_another_result_is_in_the_way(
    tmp_path: Path, fake_fit: FakeFit
) -> None:
    write_camera(tmp_path)
    for name in ("a", "b", "c", "d"):
        write_depth(tmp_path / f"{name}.png")
    out = tmp_path / "fits"
    assert run("fit", tmp_path, "-o", out).exit_code == 0
    assert run("fit", tmp_path, "-o", out).exit_code == 0
    assert run("fit", tmp_path / "a.png", "-o", out).exit_code == 0, "nobody has asked for renders"
    other = run("fit", tmp_path, "-o", out, "--seed", "3")
    assert other.exit_code == 1
    assert [line for line in other.stderr.splitlines() if not line.startswith("Note")] == [
        f"Skipped: 4 images ({tmp_path / 'a.png'}, {tmp_path / 'b.png'}, {tmp_path / 'c.png'}, …): {out / 'NAME'} was "
        "made with another --seed (0, now 3), and was kept: replace such results with --update, all with --overwrite, "
        "or choose another -o",
        "4 of 4 images were skipped.",
    ]
    assert len(fake_fit.calls) == 4


def test_the_document_has_the_exit_codes_of_the_help() -> None:
    document = (Path(__file__).parents[2] / "handopt" / "cli" / "README.md").read_text(encoding="utf-8")
    table = document.split("\n## Exit codes\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| (\d+) \|", table, re.MULTILINE) == ["0", "1", "2", "141", "130"]


# ------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize("command", ["fit", "shape", "track", "synth", "eval", "video", "model", "info"])
def test_an_unforeseen_error_is_one_line_and_vv_shows_where(
    command: str, arguments: dict[str, list[str | Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(importlib.import_module(f"handopt.cli.{command}"), "Console", fail)
    plain = run(*arguments[command])
    assert plain.exit_code == 1
    assert plain.stderr == "Error: ZeroDivisionError: division by zero (-vv shows where)\n"
    quiet = run(*arguments[command], "-q")
    assert (quiet.exit_code, quiet.stderr) == (1, plain.stderr)
    told = run(*arguments[command], "-vv")
    assert told.exit_code == 1
    assert "Traceback (most recent call last)" in told.stderr
    assert told.stderr.endswith(plain.stderr)


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        ("fti", "Did you mean 'fit'?"),
        ("fit x.png --ovewrite", "--overwrite"),
        ("fit x.png --solver gradeint", "did you mean 'gradient'?"),
        ("shape x.png --hand rihgt", "did you mean 'right'?"),
        ("track --encoding nuy", "did you mean 'nyu'?"),
        ("synth out --noise kinnect", "did you mean 'kinect'?"),
        ("eval . . --format nyyu", "did you mean 'nyu'?"),
        ("video . --panels overlaid", "did you mean 'overlay'?"),
        ("completion bsh", "did you mean 'bash'?"),
        ("fit x.png --camra sr305", "No such option '--camra'. Did you mean '--camera'?"),
        ("fit x.png --units 1", "No such option '--units'. Did you mean '--unit'?"),
        ("fit x.png --sede 1", "No such option '--sede'. Did you mean '--seed'?"),
        ("fit x.png --no-rendrs", "No such option '--no-rendrs'. Did you mean '--no-renders'?"),
        ("--verison", "No such option '--verison'. Did you mean '--version'?"),
        ("model shw right", "No such command 'shw'. Did you mean 'show'?"),
        ("model show rihgt", "rihgt is neither a file nor right or left (did you mean 'right'?): RIG"),
        ("synth out --level medum", "'hard', 'wild', 'all' (did you mean 'medium'?)."),
    ],
)
def test_what_is_misspelt_is_answered_with_a_suggestion(
    words: str, suggestion: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.png").touch()
    done = run(*words.split())
    assert done.exit_code == 2
    assert suggestion in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        *("fit x.png --shape all", "fit x.png --xyz", "fit x.png -u 1", "fit x.png --solver adam", "train"),
        *("fit x.png --device gpu", "video . --panels skeleton", "synth out --level all,easy"),
    ],
)
def test_what_is_like_nothing_known_is_not_guessed_at(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.png").touch()
    done = run(*words.split())
    assert done.exit_code == 2
    assert "id you mean" not in done.stderr
