"""Help texts: options under headings, exit codes, and examples at the end.

A small class of our own: cloup does the same, but importing it takes as long as the whole of `handopt --help`.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from handopt.errors import closest

Command = TypeVar("Command", bound=Callable[..., Any])

EXPERT, OTHER = "Expert", "Other"
"""Headings that stand last, in this order."""
EXIT_CODES = (
    ("0", "Everything is done, now or by an earlier run."),
    ("1", "Something failed or was skipped; the rest is done and kept."),
    ("2", "The command cannot be done as given: an option, a path, or an output that exists."),
    ("130", "Ctrl-C was pressed; what was finished is kept."),
)
"""What the exit codes of every command mean."""
_NAME_COLUMNS = 25


class SectionedOption(click.Option):
    """An option that stands under a heading in the help text."""

    def __init__(self, *arguments: Any, section: str = "", **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.section = section


class _Ending(click.Command):
    """A command whose help ends with its exit codes and examples.

    examples: pairs of what a command line does, and the command line.
    """

    def __init__(self, *arguments: Any, examples: Iterable[tuple[str, str]] = (), **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Answer an unknown option with the one that was likely meant. Raises UsageError."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            known = [name for each in self.get_params(ctx) for name in (*each.opts, *each.secondary_opts)]
            raise click.UsageError(_unknown("option", error.option_name, known), ctx) from None

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes and the examples."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl(EXIT_CODES)
        with formatter.section("Examples"):
            for what, line in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}# {what}\n")
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class SectionedCommand(_Ending):
    """A command whose help lists options under their headings, in the order of declaration, experts' last."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                section = getattr(parameter, "section", OTHER)
                sections.setdefault(section, []).append((record[0].ljust(_NAME_COLUMNS), record[1]))
        for section in sorted(
            sections, key=lambda name: (EXPERT, OTHER).index(name) + 1 if name in (EXPERT, OTHER) else 0
        ):
            with formatter.section(section):
                formatter.write_dl(sections[section], col_max=_NAME_COLUMNS)


class SectionedGroup(_Ending, click.Group):
    """A group whose help ends as that of its commands."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Answer an unknown command with the one that was likely meant. Raises UsageError."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(_unknown("command", args[0], self.list_commands(ctx)), ctx)
        return super().resolve_command(ctx, args)


def _unknown(what: str, name: str, known: list[str]) -> str:
    likely = closest(name, [each for each in known if len(each.lstrip("-")) > 1])
    return f"No such {what} {name!r}." + (f" Did you mean {likely!r}?" if likely else "")


def option(section: str, *names: str, **settings: Any) -> Callable[[Command], Command]:
    """Declare an option under a heading."""
    return click.option(*names, cls=SectionedOption, section=section, **settings)
