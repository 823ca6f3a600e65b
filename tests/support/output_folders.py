"""What folders of results hold, and writers that fail."""

from collections.abc import Callable
from pathlib import Path

from handopt.result import FitResult

ALWAYS = {"trace.npz", "result.json", "mesh.glb", "history.csv", "overlay.png"}


def tree(root: Path) -> dict[str, bytes]:
    """Everything below a folder, hidden or not: relative name -> contents (folders: empty)."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b"" for path in sorted(root.rglob("*"))
    }


def failing(error: BaseException) -> Callable[..., None]:
    """A writer that starts a file and then fails."""

    def write(result: FitResult, path: Path, *_: object) -> None:
        (path / "0000.png" if path.is_dir() else path).write_bytes(b"half")
        raise error

    return write
