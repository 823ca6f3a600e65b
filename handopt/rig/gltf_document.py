"""The JSON of a glTF file as plain objects: each key is an attribute, None where the file does not say it.

Files of characters have ten thousands of objects. These take microseconds each, checked where they are used.
"""

from typing import Any, Final

from handopt.errors import RigError
from handopt.files import MAX_DOCUMENT_BYTES, UnreadableError, parse_json
from handopt.rig.bounds import check_parts

_MOST_VALUES: Final = 500_000
_FREE_FORM: Final = ("extras", "extensions")
"""Keys whose values stay dictionaries."""


class Part:
    """One object of the file: a node, a mesh, an accessor, or the document itself."""

    def __init__(self, values: dict[str, Any]) -> None:
        """Wrap a dictionary and those in it."""
        for name, value in values.items():
            self.__dict__[name] = value if name in _FREE_FORM else _wrapped(value)

    def __getattr__(self, name: str) -> Any:
        """None for a key that is not in the file."""
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def _wrapped(value: Any) -> Any:
    if isinstance(value, dict):
        return Part(value)
    return [_wrapped(each) for each in value] if isinstance(value, list) else value


def read_document(text: bytes, where: str) -> Part:
    """The document in a file's JSON. Raises RigError where it is none, or too large."""
    if len(text) > MAX_DOCUMENT_BYTES:
        raise RigError(f"{where}: its JSON has {len(text) >> 20} MiB: export the model as .glb")
    if text.count(b",") > _MOST_VALUES:
        raise RigError(f"{where}: the scene has more than {_MOST_VALUES} values: export the character alone")
    try:
        document = parse_json(text)
        if not isinstance(document, dict):
            raise RigError(f"{where}: the file is not a valid glTF or GLB model: it is no JSON object")
        check_parts(document, where)
        return Part(document)
    except UnreadableError as error:
        raise RigError(f"{where}: the file is not a valid glTF or GLB model: {error}") from error
    except RecursionError:
        raise RigError(f"{where}: the file is not a valid glTF or GLB model: it is nested too deeply") from None
