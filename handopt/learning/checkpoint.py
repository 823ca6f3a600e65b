"""Checkpoints of a training run: whole or absent, read without executing anything, and an older one to fall back on."""

import io
from pathlib import Path
from typing import Any, Final

import torch

from handopt.atomic_folder import written_file
from handopt.errors import HandoptError
from handopt.files import UnreadableError, is_file, read_bytes

FORMAT: Final = "handopt.checkpoint/3"
NAME: Final = "checkpoint.pt"
PREVIOUS: Final = "checkpoint.previous.pt"
LARGEST_BYTES: Final = 1 << 30


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint into a folder; the last one stays beside it. Raises OSError."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    with written_file(folder / NAME) as partial:
        partial.write_bytes(buffer.getbuffer())
        if is_file(folder / NAME):
            (folder / NAME).replace(folder / PREVIOUS)


def has_checkpoint(folder: Path) -> bool:
    """Whether a folder has something to go on from: a cut may have left the checkpoint before the last alone."""
    return any(is_file(folder / name) for name in (NAME, PREVIOUS))


def remove_checkpoints(folder: Path) -> None:
    """Remove both checkpoints of a folder. Raises OSError."""
    for name in (NAME, PREVIOUS):
        (folder / name).unlink(missing_ok=True)


def load_checkpoint(folder: Path) -> tuple[dict[str, Any], str | None]:
    """The newest checkpoint of a folder that can be read, and a note where that is the one before the last.

    Raises HandoptError where there is none.
    """
    problems = []
    for name in (NAME, PREVIOUS):
        try:
            state = _read(folder / name)
        except HandoptError as problem:
            problems.append(str(problem))
            continue
        note = f"{problems[0]}; {name}, the one before it, was taken." if problems else None
        return state, note
    raise HandoptError(f"{problems[0]}: there is nothing to go on from; begin anew with overwrite=True")


def _read(path: Path) -> dict[str, Any]:
    if not is_file(path):
        raise HandoptError(f"{path} does not exist")
    try:
        state = torch.load(io.BytesIO(read_bytes(path, LARGEST_BYTES)), map_location="cpu", weights_only=True)
    except UnreadableError as error:
        raise HandoptError(f"{path} cannot be read: {error.reason}") from error
    except Exception as error:  # PyTorch has many ways to say that a file is damaged
        raise HandoptError(f"{path} is damaged or no checkpoint") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise HandoptError(f"{path} is no checkpoint of this version of handopt")
    return state
