"""What the commands say: results to stdout, all else to stderr, without tearing the progress bar.

A bar shows on a terminal only; elsewhere a line now and then tells how far the work is. -q leaves results and errors,
-v adds details, -vv tracebacks.
"""

import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from handopt.cli.errors import as_options, one_line, show_traceback, verbosity
from handopt.files import on_one_line

if TYPE_CHECKING:
    from typing import Self

LINE_EVERY_S = 10.0
"""Time between two lines of progress where stderr is no terminal."""
MAX_GROUPS = 20
"""Different notes, or errors, about many things that are said; the rest is counted."""
NAMES_SHOWN = 3
"""Names that stand for a group."""
_NUMBER = re.compile(r"(?<![\w.,+-])\d+(?:\.\d+)?(?![\w+,-]|\.\d)")
"""A number that notes about several things may differ by, no part of a name or a unit."""
_OF_MANY = {"is": "are", "was": "were", "has": "have", "holds": "hold", "does": "do"}
"""Verbs that sentences about a file begin with, and what they are of several."""


class Console:
    """Where a command talks.

    verbosity: -1 with -q, else how often -v was given. The command's own options if None.
    """

    def __init__(self, verbosity_level: int | None = None) -> None:
        self.verbosity = verbosity() if verbosity_level is None else verbosity_level
        self._bar: Bar | None = None
        self._status = False
        self._groups: dict[tuple[str, str], _Group] = {}

    @property
    def watched(self) -> bool:
        """Whether somebody watches: stderr is a terminal, and -q was not given."""
        return self.verbosity >= 0 and sys.stderr.isatty()

    def result(self, line: str) -> None:
        """Print a result to stdout."""
        self._print(line, err=False)

    def say(self, line: str, level: int = 0) -> None:
        """Print a line to stderr, unless -q was given; level: how often -v must be given."""
        if self.verbosity >= level:
            self._print(as_options(line), err=True)

    def note(self, sentence: str) -> None:
        """Say what was assumed or left out."""
        self.say(f"Note: {sentence}")

    def notes(self, sentences: Iterable[str]) -> None:
        """Say what was assumed or left out, one line for each."""
        for sentence in sentences:
            self.note(sentence)

    def note_about(self, name: str, sentence: str, general: str | None = None) -> None:
        """Remember a note about one of many things; say_groups says it.

        general: the sentence without what belongs to one thing only, for all of them; the sentence itself if None.
        """
        self._remember("Note", name, sentence, general or sentence)

    def error_about(self, name: str, sentence: str, general: str | None = None, *, label: str = "Error") -> None:
        """Remember an error, as note_about does; with -v print it at once. label: what stands before it."""
        if self.verbosity >= 1:
            self.error(f"{name}: {sentence}", kind=label)
        else:
            self._remember(label, name, sentence, general or sentence)

    def failed(self, error: Exception, path: Path, *, several: bool) -> None:
        """Print the error of a file or folder; of several remember it, so that equal ones become one line."""
        if not several:
            self.error(error)
            return
        self.traceback(error)
        name = click.format_filename(path)
        sentence = one_line(error).removeprefix(f"{name}: ")
        self.error_about(name, sentence, generalised(sentence, path))

    def _remember(self, label: str, name: str, sentence: str, general: str) -> None:
        alike = _NUMBER.sub("0", general) if label == "Note" else general
        group = self._groups.setdefault((label, alike), _Group(label, sentence))
        if name not in group.names[-1:]:
            group.names.append(name)
        group.sayings.setdefault(general)

    def say_groups(self, noun: str) -> None:
        """Say what was remembered, notes before errors: "Note: 12 images (a.png, b.png, c.png, …): One count is 1 mm".

        noun: what the things are.
        """
        if not self._groups:
            return
        from handopt.input.sequence.folder import natural

        groups, self._groups = [*self._groups.values()], {}
        for each in groups:
            each.names.sort(key=natural)
        groups.sort(key=lambda each: natural(each.names[0]))
        notes = [each for each in groups if each.label == "Note"]
        errors = [each for each in groups if each.label != "Note"]
        for each in notes[:MAX_GROUPS]:
            self.note(each.line(noun))
        if len(notes) > MAX_GROUPS:
            self.note(f"{len(notes) - MAX_GROUPS} more notes are in the results.")
        for each in errors[:MAX_GROUPS]:
            self.error(each.line(noun), kind=each.label)
        if len(errors) > MAX_GROUPS:
            self.error(f"{len(errors) - MAX_GROUPS} more errors of other kinds; -v shows all.", kind="")

    def error(self, error: "BaseException | str", kind: str = "Error") -> None:
        """Print an error on one line, with its traceback before it where -vv asks for that; -q does not hide it.

        kind: what stands before it, if anything.
        """
        if isinstance(error, BaseException):
            self.traceback(error)
        line = as_options(error) if isinstance(error, str) else one_line(error)
        self._print(f"{kind}: {line}" if kind else line, err=True)

    def traceback(self, error: "BaseException | str") -> None:
        """Print a traceback, or its text, where -vv asks for it."""
        if self._bar is not None:
            self._bar.hide()
        show_traceback(click.get_current_context(), error)

    def status(self, line: str) -> None:
        """Show how it is going; on a terminal the next status takes the place of this one."""
        if self.verbosity >= 0:
            self._status = sys.stderr.isatty()
            click.echo(f"{line}\r" if self._status else line, err=True, nl=not self._status)

    def end_status(self) -> None:
        """Leave the line of the status."""
        if self._status:
            click.echo("", err=True)
        self._status = False

    def bar(self, total: int | None, unit: str, title: str = "") -> "Bar":
        """Progress over so many things, None if nobody knows how many; to be entered with `with`."""
        return Bar(self, total, unit, title)

    def parts(self, unit: str = "step") -> "Parts":
        """Progress of work in several parts, each with a bar of its own; to be entered with `with`."""
        return Parts(self, unit)

    def _print(self, line: str, *, err: bool) -> None:
        if self._bar is not None:
            self._bar.hide()
        click.echo(on_one_line(line), err=err)
        if self._bar is not None:
            self._bar.show()


class Bar:
    """Progress: a bar on a terminal, a line every LINE_EVERY_S seconds elsewhere, nothing with -q.

    remark: what stands behind the figures.
    """

    def __init__(self, console: Console, total: int | None, unit: str, title: str = "") -> None:
        self._console, self._unit, self._title = console, unit, title
        self.total, self.count, self.before, self.remark = total, 0, 0, ""
        self._shown: Any = None
        self._started = self._said = time.monotonic()

    def __enter__(self) -> "Self":
        """Show it."""
        if self._console.watched:
            from tqdm import tqdm

            title = self._title or None
            self._shown = tqdm(
                total=self.total, unit=f" {self._unit}", desc=title, file=sys.stderr, leave=False, dynamic_ncols=True
            )
        self._console._bar = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take it away."""
        self._console._bar = None
        if self._shown is not None:
            self._shown.close()

    def advance(self, *, before: bool = False) -> None:
        """Count one more; what was done before this run counts for neither rate nor time left."""
        if not before:
            self.to(self.count + 1)
            return
        self.count += 1
        self.before += 1
        if self._shown is not None:
            self._shown.n += 1
            self._shown.initial += 1

    def to(self, count: int, total: int | None = None) -> None:
        """So many are done."""
        self.count, self.total = count, total or self.total
        if self._shown is None:
            self._line()
            return
        bar = self._shown
        bar.total = self.total
        bar.set_postfix_str(self.remark.removeprefix(", "), refresh=False)
        bar.update(count - bar.n)

    def hide(self) -> None:
        """Make room for a line."""
        if self._shown is not None:
            self._shown.clear()

    def show(self) -> None:
        """Draw it again after a line."""
        if self._shown is not None:
            self._shown.refresh()

    def _line(self) -> None:
        """Say how far the work is, if that was some time ago."""
        now = time.monotonic()
        if now - self._said < LINE_EVERY_S or self.count == self.total:
            return
        self._said = now
        self._console.say(self._title + (": " if self._title else "") + self._figures(now - self._started))

    def _figures(self, seconds: float) -> str:
        rate = (self.count - self.before) / seconds if seconds else 0.0
        of = "" if self.total is None else f" of {self.total}"
        left = "" if self.total is None or not rate else f", {duration((self.total - self.count) / rate)} left"
        shown = f"{rate:.2f}" if rate < 10 else f"{rate:.1f}"
        return f"{self.count}{of} {self._unit}s, {shown} a second{left}{self.remark}"


class Parts:
    """Progress of work in several parts, each with a bar of its own."""

    def __init__(self, console: Console, unit: str) -> None:
        self._console, self._unit, self._part = console, unit, ""
        self._bar: Bar | None = None

    def __enter__(self) -> Callable[[str, int, int], None]:
        """What to call with the part, how much of it is done and how much there is."""
        return self.show

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None

    def show(self, part: str, done: int, total: int, unit: str | None = None) -> None:
        """So much of a part is done. unit: of done and total, where it is not that of the other parts."""
        if self._bar is None or part != self._part:
            self.__exit__()
            self._part = part
            self._bar = self._console.bar(total, unit or self._unit, part).__enter__()
        self._bar.to(done, total)


@dataclass
class _Group:
    """Things of which the same is said, but for numbers. sentence: about the first of them; sayings: about all."""

    label: str
    sentence: str
    names: list[str] = field(default_factory=list)
    sayings: dict[str, None] = field(default_factory=dict)

    def line(self, noun: str) -> str:
        if len(self.names) == 1:
            return f"{self.names[0]}: {self.sentence}"
        general = _with_ranges(list(self.sayings))
        verb, _, rest = general.partition(" ")
        said = f" {_OF_MANY[verb]} {rest}" if verb in _OF_MANY else f": {general}"
        return group_of(self.names, noun) + said


def _with_ranges(sentences: list[str]) -> str:
    """Sentences that differ by numbers as one: "the nearest pixels are 180 to 240 mm away"."""
    ranges = [sorted(set(each), key=float) for each in zip(*map(_NUMBER.findall, sentences), strict=True)]
    values = iter([each[0] if len(each) == 1 else f"{each[0]} to {each[-1]}" for each in ranges])
    return _NUMBER.sub(lambda _: next(values), sentences[0])


def group_of(names: Sequence[str], noun: str) -> str:
    """One name, or how many there are with the first names: "12 images (a.png, b.png, c.png, …)"."""
    if len(names) == 1:
        return names[0]
    more = ", …" if len(names) > NAMES_SHOWN else ""
    return f"{len(names)} {noun}s ({', '.join(names[:NAMES_SHOWN])}{more})"


def generalised(sentence: str, path: Path, folder: Path | None = None) -> str:
    """A sentence about a file, and the folder of its results, as it would be about others: NAME stands for theirs.

    So it does in the names of files that go with it, which have the same stem: its labels, its mask.
    """
    if folder is not None:
        sentence = sentence.replace(str(folder), str(folder.with_name("NAME")))
    if not path.stem:
        return sentence
    sentence = re.sub(rf"(?<![\w.-]){re.escape(path.name)}(?![\w-])", lambda _: f"NAME{path.suffix}", sentence)
    return re.sub(rf"(?<![\w.-]){re.escape(path.stem)}(?=\.[A-Za-z])", "NAME", sentence)


def duration(seconds: float) -> str:
    """A time left, rounded up: "12 s", "3 min", "2 h 5 min"."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
