"""Settings whose constraints stand on their fields, and nested plain values read into them.

A field's type says what it may hold, such as `Annotated[float, Meta(gt=0)]`. msgspec checks it. Every object is checked
when it is made, whether Python code or a file gave its values.
"""

import difflib
import sys
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from handopt.errors import ConfigError
from handopt.files import UnreadableError, read_toml

LARGEST: Final = sys.float_info.max
"""The largest finite number."""

# Every number has a range, by hand: wider than anybody needs, and so that float32 holds its square and its inverse, and
# memory and time of a fit stay within bounds.
NonNegative = Annotated[float, Meta(ge=0, le=1e6)]
Positive = Annotated[float, Meta(gt=1e-6, le=1e6)]
Damping = Annotated[float, Meta(ge=0, le=1e12)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
LengthMm = Annotated[float, Meta(gt=1e-3, le=1e4)]
RadiusPx = Annotated[float, Meta(gt=1e-3, le=32)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Iterations = Annotated[int, Meta(ge=0, le=500)]
PositiveIterations = Annotated[int, Meta(gt=0, le=500)]
MOST_HYPOTHESES: Final = 1000
Hypotheses = Annotated[int, Meta(ge=0, le=MOST_HYPOTHESES)]
PositiveHypotheses = Annotated[int, Meta(gt=0, le=MOST_HYPOTHESES)]
PointCount = Annotated[int, Meta(gt=0, le=20_000)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
MOST_PARTS: Final = 32
"""Rounds or stages of a schedule, at most."""

Settings = TypeVar("Settings", bound="Checked")


class Checked:
    """Base of frozen dataclasses of settings. Raises ConfigError, with the field's name, where a value is refused."""

    def __post_init__(self) -> None:
        """Check every field; whole numbers become floats where the field is one."""
        for name, kind in field_types(type(self)).items():  # type: ignore[arg-type]  # classes are hashable
            value = getattr(self, name)
            try:
                value = value.item() if hasattr(value, "item") else value  # a number of NumPy's
                if isinstance(value, dict):
                    raise msgspec.ValidationError
                object.__setattr__(self, name, msgspec.convert(value, kind))
            except (msgspec.ValidationError, ValueError):
                raise ConfigError(f"{name}: {_refusal(kind, value)}") from None


@cache
def field_types(kind: Any) -> dict[str, Any]:
    """The type of each field of a dataclass, with its constraints."""
    return get_type_hints(kind, include_extras=True)


def build(kind: type[Settings], values: Any, path: str = "") -> Settings:
    """Make settings from nested plain values, as a TOML file holds them; what they do not name keeps its default.

    path: where the values stand in the file, for messages. Raises ConfigError, which names the path of the setting.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{path or 'the file'}: expected a table, got {values!r}")
    kinds = field_types(kind)  # type: ignore[arg-type]
    arguments = {}
    for key, value in values.items():
        where = f"{path}.{key}" if path else key
        if key not in kinds:
            close = difflib.get_close_matches(key, kinds, 1)
            raise ConfigError(
                f"{where} is unknown; " + (f"did you mean {close[0]}?" if close else f"known: {', '.join(kinds)}")
            )
        arguments[key] = _built(kinds[key], value, where, key)
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name not in arguments and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{path}.{field.name} is missing" if path else f"{field.name} is missing")
    try:
        return kind(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{path}.{error}" if path else str(error)) from None


def build_from_toml(kind: type[Settings], path: Path) -> Settings:
    """Make settings from a TOML file, see build. Raises ConfigError, which names the file as config=."""
    try:
        values = read_toml(path)
    except UnreadableError as error:
        raise ConfigError(f"config={path} cannot be read: {error.reason}") from error
    try:
        return build(kind, values)
    except ConfigError as error:
        raise ConfigError(f"config={path}: {error}") from None


def _built(kind: Any, value: Any, where: str, key: str) -> Any:
    """A field's value: a table, an array of tables, or as it is."""
    if isinstance(kind, type) and issubclass(kind, Checked):
        return build(kind, value, where)
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(bare) is not tuple:
        return value
    if not isinstance(value, list):
        raise ConfigError(f"{where}: expected an array of tables [[{key}]], got {value!r}")
    return tuple(build(get_args(bare)[0], item, f"{where}[{index}]") for index, item in enumerate(value))


def _refusal(kind: Any, value: Any) -> str:
    """Why msgspec refused a value: what the field's type expects, and what came."""
    bare, *metas = get_args(kind) if get_origin(kind) is Annotated else (kind,)
    if get_origin(bare) is Literal:
        choices = ", ".join(get_args(bare))
        return f"expected one of {choices}, got {value!r}" if isinstance(value, str) else f"expected str, got {value!r}"
    if get_origin(bare) is tuple:
        if isinstance(value, tuple | list) and len(value) > MOST_PARTS:
            return f"expected at most {MOST_PARTS}, got {len(value)}"
        return f"expected {get_args(bare)[0].__name__}s, got {value!r}" if value else "at least one is needed"
    if type(value) is not bare and not (bare is float and type(value) is int):
        return f"expected {bare.__name__}, got {value!r}"
    if bare is float and abs(value) > LARGEST and value != float("inf"):
        return "the number is too large"
    if metas[0].gt is not None and value == 0:
        return "must be greater than 0"
    low, high = metas[0].gt if metas[0].ge is None else metas[0].ge, metas[0].le
    low += bare is int and metas[0].ge is None
    number = "a number from " if bare is float else ""
    return f"expected {number}{low:.10g} to {high:.10g}, got {value!r}"
