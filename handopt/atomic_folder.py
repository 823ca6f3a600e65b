"""A folder that appears complete or not at all: written beside its place, and renamed."""

import errno
import fcntl
import hashlib
import os
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from handopt.errors import OutputError
from handopt.files import UnreadableError, is_file, read_json

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
STALE_S = 3600.0


@dataclass(frozen=True)
class Kind:
    """A kind of folder that handopt writes.

    noun: what it holds. marker: a JSON file in it, whose format begins with `format`. unknown_file: the name of
    something in such a folder that handopt does not write, or None.
    """

    noun: str
    marker: str
    format: str
    unknown_file: Callable[[Path], str | None]

    def holds(self, folder: Path) -> bool:
        """Whether a folder is of this kind, also where its marker is damaged and there are only other files of ours."""
        try:
            document = read_json(folder / self.marker)
        except UnreadableError:
            ours = is_file(folder / self.marker) and self.unknown_file(folder) is None
            return ours and len(list(folder.iterdir())) > 1
        return isinstance(document, dict) and str(document.get("format", "")).startswith(self.format)


def other_than(names: Collection[str]) -> Callable[[Path], str | None]:
    """A Kind's unknown_file for folders that hold nothing but files of these names."""
    return lambda folder: next((path.name for path in sorted(folder.iterdir()) if path.name not in names), None)


def check_free(folder: Path, kind: Kind, *, overwrite: bool, option: str = "folder=") -> None:
    """Refuse a place that is taken: without overwrite by anything, with it by what handopt did not write.

    option: how messages call the folder. Raises OutputError.
    """
    try:
        if not folder.is_symlink() and not folder.exists():
            return
        if not folder.is_dir() or folder.is_symlink():
            raise OutputError(f"{folder} is in the way and is not a folder: choose another with {option}")
        if not overwrite:
            raise OutputError(
                f"{folder} exists and was kept: replace it with overwrite=True or choose another with {option}"
            )
        if any(folder.iterdir()) and not kind.holds(folder):
            raise OutputError(f"{folder} holds no {kind.noun} of handopt and was kept: choose another with {option}")
        if name := kind.unknown_file(folder):
            raise OutputError(f"{folder} holds {name}, which is not handopt's, and was kept: move it elsewhere")
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot look into {folder}: {error.strerror}; choose another with {option}") from error


@contextmanager
def written_aside(folder: Path, overwrite: bool, option: str = "folder=") -> Iterator[Path]:
    """Give a folder beside the place of another to write into; put it there at the end, or remove every trace.

    option: how messages call the folder. Raises OutputError.
    """
    made: list[Path] = []
    partial = _partial_of(folder)
    try:
        _make_parents(folder.parent, made)
        with _held(partial):
            yield partial
            for each in sorted(partial.rglob("*"), reverse=True):
                flush(each)
            flush(partial)
            _put(partial, folder, overwrite)
            flush(folder.parent)
    except BaseException as error:
        remove(partial)
        for parent in reversed(made):
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise _explained(error, folder, partial, option) from error
        raise


@contextmanager
def written_file(path: Path) -> Iterator[Path]:
    """Give a path of the same suffix to write a file to; put it in its place at the end, or remove every trace.

    It lies in a folder beside its place, which remove_stale knows. Raises OSError.
    """
    folder = _partial_of(path)
    try:
        with _held(folder):
            partial = folder / f"file{path.suffix}"
            yield partial
            flush(partial)
            partial.replace(path)
            flush(path.parent)
    finally:
        remove(folder)


def remove_stale(folder: Path) -> int:
    """Remove what a process that was killed has left half written in a folder, and return how much that was.

    Nothing of a process that lives is touched, as it holds a lock. What another machine's process began goes when it
    is an hour old.
    """
    found = 0
    with suppress(OSError):
        for path in [*folder.glob(".handopt-*-*-*.partial"), *folder.glob(".handopt-*-*-*.old")]:
            with suppress(OSError, ValueError):
                if _is_stale(path) and not _is_locked(path):
                    remove(path)
                    found += 1
    return found


def _partial_of(place: Path) -> Path:
    """A folder beside a place whose name says which process writes into it."""
    return place.parent / f".handopt-{_host()}-{os.getpid()}-{secrets.token_hex(6)}.partial"


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Make a folder, and hold a lock on it that ends with this process, however it ends."""
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _is_locked(folder: Path) -> bool:
    """Whether a process that lives holds a folder, on this machine or another, in this container or another."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def flush(path: Path) -> None:
    """Have the disk keep a file or folder as it is now, so that no loss of power undoes it. Raises OSError.

    Places that cannot be flushed, such as folders on some network file systems, are left as they are.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EROFS):
            raise
    finally:
        os.close(descriptor)


def _is_stale(path: Path) -> bool:
    _, host, process, _ = path.name.split("-")
    if host == _host() and int(process) != os.getpid() and not _is_alive(int(process)):
        return True
    return time.time() - path.stat().st_mtime > STALE_S


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    try:  # one that has ended stays in the list until its parent has asked how
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] not in "ZX"
    except (OSError, IndexError, UnicodeDecodeError):
        return True


def _host() -> str:
    """This machine in eight characters."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _make_parents(parent: Path, made: list[Path]) -> None:
    """Create a folder and those above it, noting each in made as soon as it exists."""
    missing = [path for path in (parent, *parent.parents) if not path.exists()]
    for path in reversed(missing):
        with suppress(FileExistsError):  # another process was quicker, so the folder is not ours to remove
            path.mkdir()
            made.append(path)


def _put(partial: Path, folder: Path, overwrite: bool) -> None:
    """Rename a complete folder to its place; with overwrite an old one goes first, and comes back if that fails."""
    old = partial.with_suffix(".old")
    try:
        if overwrite and folder.exists():
            folder.rename(old)
        partial.rename(folder)
    except BaseException as error:
        if old.exists() and not folder.exists():
            try:
                old.rename(folder)
            except OSError:
                raise OutputError(
                    f"{folder} could not be replaced ({error}); its old results are now in {old}"
                ) from error
        raise
    finally:
        if folder.exists():
            remove(old)


def remove(folder: Path) -> None:
    """Delete a folder of ours, and go on to the end if Ctrl-C arrives meanwhile."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _explained(error: OSError, folder: Path, partial: Path, option: str) -> OutputError:
    """The error for the user: what could not be written, what is left, and which option to change."""
    left = "what was there was kept" if os.path.lexists(folder) else "nothing was left there"
    if os.path.lexists(partial):
        left = f"an unfinished {partial} could not be removed"
    if isinstance(error, OutputError):
        return OutputError(f"{folder} was not written, and {left}: {error}")
    if error.errno in FULL_DISK:
        return OutputError(
            f"the disk is full: {folder} was not written, and {left}; free some space or choose another with {option}"
        )
    reason = error.strerror or str(error) or type(error).__name__
    return OutputError(f"cannot write {folder}: {reason}; {left}; choose another with {option}")
