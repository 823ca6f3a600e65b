"""Attributes that are made when they are first asked for."""

from typing import Any


class MadeWhenAsked:
    """An attribute that may be set to a function, which is called when the value is first asked for."""

    def __init__(self, name: str) -> None:
        """name: of the attribute."""
        self._name = name

    def __get__(self, instance: Any, _owner: type | None = None) -> Any:
        """The value. Raises AttributeError for a class, which has none."""
        if instance is None:
            raise AttributeError(self._name)
        value = vars(instance)[self._name]
        if callable(value):
            value = vars(instance)[self._name] = value()
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        """Set the value, or the function that gives it."""
        vars(instance)[self._name] = value
