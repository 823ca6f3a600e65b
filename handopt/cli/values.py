"""Types of option values, whose errors say what was expected."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import click

from handopt.errors import did_you_mean

SMALLEST, LARGEST = 1e-6, 1e6
"""Of what a user gives as a length in pixels or mm, a rate or a unit."""

LONGEST_MINUTES = 720 * 60


class Choice(click.Choice):  # type: ignore[type-arg]
    """One of some words; a misspelt one is answered with the likeliest."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Look the word up."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            known = [str(each) for each in self.choices]
            sentence = error.message.removesuffix(".") + did_you_mean(str(value), known)
            raise click.BadParameter(f"{sentence}.", ctx, param) from None


class Encoding(Choice):
    """auto, raw or nyu, or the layout of files without a header, such as 640x480:uint16."""

    def __init__(self) -> None:
        super().__init__(["auto", "raw", "nyu"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Look the word up, or read the layout."""
        if ":" not in str(value):
            return super().convert(value, param, ctx)
        from handopt.input.plain_files import TYPES, raw_layout

        if raw_layout(str(value)) is None:
            types = ", ".join(TYPES)
            self.fail(f"{value!r} is not WIDTHxHEIGHT:TYPE, such as 640x480:uint16; types are {types}.", param, ctx)
        return str(value)


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Numbers within reason with commas between them, as many as one of the counts."""

    name = "numbers"

    def __init__(self, *counts: int) -> None:
        self.counts = counts

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Parse "1,2.5"."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in self.counts or not all(abs(number) <= LARGEST for number in numbers):
            counts = " or ".join(str(count) for count in self.counts)
            self.fail(f"{value!r} is not {counts} numbers with commas between them.", param, ctx)
        return numbers


class Positive(click.ParamType):  # type: ignore[type-arg]
    """A number above 0, within reason."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse a number."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            self.fail(f"{value!r} is not a number above 0.", param, ctx)
        if not SMALLEST <= number <= LARGEST:
            self.fail(f"{value!r} is not a number from {SMALLEST:g} to {LARGEST:g}.", param, ctx)
        return number


class Minutes(click.ParamType):  # type: ignore[type-arg]
    """A time such as 90s, 40m or 2h, in minutes."""

    name = "time"
    units: ClassVar = {"s": 1 / 60, "m": 1.0, "h": 60.0}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse a time."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            minutes = float(text[:-1]) * self.units[text[-1:].lower()]
        except (ValueError, KeyError):
            minutes = math.nan
        if not 1 / 60 <= minutes <= LONGEST_MINUTES:
            self.fail(f"{value!r} is not a time such as 90s, 40m or 2h, from 1s to 720h.", param, ctx)
        return minutes


class Words(click.ParamType):  # type: ignore[type-arg]
    """Some of the known words, with commas between them."""

    name = "names"

    def __init__(self, noun: str, known: Sequence[str]) -> None:
        self.noun, self.known = noun, tuple(known)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Parse "depth,fit"."""
        if isinstance(value, tuple):
            return value
        words = tuple(word.strip() for word in str(value).split(","))
        unknown = [word for word in words if word not in self.known]
        if unknown:
            shown = ", ".join(unknown) or "nothing"
            suggestion = did_you_mean(unknown[0], self.known)
            verb = f"is not a {self.noun}" if len(unknown) == 1 else f"are not {self.noun}s"
            self.fail(f"{shown} {verb}{suggestion}: choose from {', '.join(self.known)}.", param, ctx)
        return words
