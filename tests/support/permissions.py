"""Files that may not be opened, also where root runs the tests and may open everything."""

import builtins
import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest


def forbid(monkeypatch: pytest.MonkeyPatch, forbidden: Path) -> None:
    """Let whatever opens a file, or what lies in a folder, be refused as without permission."""
    real = io.open

    def guarded(file: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(file, int):
            path = Path(os.fsdecode(file))
            if forbidden in (path, *path.parents):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(file, *arguments, **options)

    monkeypatch.setattr(io, "open", guarded)
    monkeypatch.setattr(builtins, "open", guarded)
