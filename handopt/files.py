"""Files that anybody may have made: only regular ones are opened, and documents are read with bounds.

Names too are anybody's: longer than the file system allows, in a loop of links, not UTF-8, with line breaks. What is
asked here about a path is answered without an OSError.
"""

import os
import re
import stat
import unicodedata
from io import BufferedReader
from pathlib import Path
from typing import Any

from handopt.errors import HandoptError

MAX_DOCUMENT_BYTES = 64 * 2**20
MAX_DIGITS = 300
"""Of a whole number in JSON or TOML; the largest that a float can hold has 309."""
TOO_MANY_DIGITS = "a number in it has too many digits"
_SURROGATES = re.compile("[\ud800-\udfff]")
"""What stands in text for bytes that are not UTF-8, and what no file of UTF-8 can hold."""


class UnreadableError(HandoptError, ValueError):
    """A file cannot be read. The message says why, without the file's name: "is a folder".

    reason: the same as a sentence of its own, for "cannot be read: it is a folder".
    """

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = f"it {message}" if reason is None else reason


def is_file(path: str | Path) -> bool:
    """Whether there is a regular file, or a link to one. A name that no file can have is none."""
    return os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises OSError on names that are too long)


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder, or a link to one."""
    return os.path.isdir(path)  # noqa: PTH112


def exists(path: str | Path) -> bool:
    """Whether there is anything; not so for a link to nothing."""
    return os.path.exists(path)  # noqa: PTH110


def resolved(path: Path) -> Path:
    """The absolute path without links, as far as it exists; links in a loop stay."""
    return Path(os.path.realpath(path))


def readable(path: str | Path) -> str:
    """A path, or other text, with a replacement character for each byte that is not UTF-8."""
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", str(path))


def on_one_line(text: str) -> str:
    r"""Text that is safe to print: control characters other than tabs are escaped, as a line break to \n."""
    if text.isprintable():
        return text
    return "".join(
        repr(letter)[1:-1] if letter != "\t" and unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter
        for letter in text
    )


def open_regular(path: str | Path, limit: int | None = None) -> BufferedReader:
    """Open a regular file to read bytes; a FIFO, a device or a socket is refused and never waited for.

    limit: most bytes that it may have. Raises UnreadableError.
    """
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (Path.open has no opener)
    except IsADirectoryError:
        raise UnreadableError("is a folder") from None
    except FileNotFoundError:
        raise UnreadableError("does not exist") from None
    except OSError as error:
        raise _system_error(error) from error
    except ValueError as error:
        raise UnreadableError(f"has a name that no file can have ({error})") from error
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("is not a regular file")
        if limit is not None and status.st_size > limit:
            raise UnreadableError(f"has {status.st_size >> 20} MiB, the limit is {limit >> 20} MiB")
    except BaseException:
        file.close()
        raise
    return file


def read_bytes(path: str | Path, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """The content of a regular file. limit: most bytes. Raises UnreadableError."""
    with open_regular(path, limit) as file:
        try:
            content = file.read(limit + 1)
        except OSError as error:
            raise _system_error(error) from error
    if len(content) > limit:
        raise UnreadableError(f"has more than the limit of {limit >> 20} MiB")
    return content


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a regular file's content, in hexadecimal. Raises UnreadableError."""
    import hashlib

    with open_regular(path) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _system_error(error) from error


def read_text(path: str | Path, limit: int = MAX_DOCUMENT_BYTES) -> str:
    """The content of a regular file of UTF-8 text. Raises UnreadableError."""
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(f"is no text ({error.reason} at byte {error.start})") from error


def read_json(path: str | Path, limit: int = MAX_DOCUMENT_BYTES) -> Any:
    """The document in a JSON file. Raises UnreadableError."""
    return parse_json(read_bytes(path, limit))


def parse_json(text: str | bytes) -> Any:
    """The document in JSON text. Raises UnreadableError where it is none, or holds a number that is too large."""
    import json

    try:
        plain = text if isinstance(text, str) else text.decode("utf-8-sig")
        return json.loads(plain, parse_int=_whole_number)
    except RecursionError:
        raise _invalid("JSON", "it is nested too deeply") from None
    except ValueError as error:
        raise _invalid("JSON", _reason(error)) from error


def read_toml(path: str | Path, limit: int = MAX_DOCUMENT_BYTES) -> dict[str, Any]:
    """The document in a TOML file. Raises UnreadableError where it is none, or holds a number that is too large."""
    import tomllib

    text = read_text(path, limit)
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise _invalid("TOML", "it is nested too deeply") from None
    except ValueError as error:
        raise _invalid("TOML", _reason(error)) from error
    if _has_huge_number(document):
        raise _invalid("TOML", TOO_MANY_DIGITS)
    return document


def _system_error(error: OSError) -> UnreadableError:
    reason = error.strerror or str(error)
    return UnreadableError(f"cannot be read ({reason})", reason)


def _invalid(kind: str, reason: str) -> UnreadableError:
    return UnreadableError(f"is not valid {kind} ({reason})", reason)


def _reason(error: ValueError) -> str:
    """What is wrong with a document; numbers of Python's own limit of digits are said in our words."""
    return TOO_MANY_DIGITS if "integer string conversion" in str(error) else str(error)


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(TOO_MANY_DIGITS)
    return int(digits)


def _has_huge_number(document: Any) -> bool:
    """Whether nested values hold an integer of more than MAX_DIGITS digits."""
    left = [document]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            left += each.values()
        elif isinstance(each, list):
            left += each
        elif isinstance(each, int) and abs(each) >= 10**MAX_DIGITS:
            return True
    return False


def _without_waiting(path: str, flags: int) -> int:
    """Open a path as open() does, but do not wait for another process to write into a FIFO."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
