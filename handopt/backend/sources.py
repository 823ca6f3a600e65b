"""The kernel sources that both targets are compiled from."""

import hashlib
from functools import cache
from pathlib import Path

from handopt.assets import package_folder


@cache
def kernel_folder() -> Path:
    """The folder of the kernel sources."""
    return package_folder("kernels")


@cache
def source_hash() -> str:
    """A hash of all kernel sources, the same as the build bakes into the library."""
    files = sorted(p for p in kernel_folder().iterdir() if p.suffix in (".cu", ".h", ".cpp"))
    lines = "".join(f"{p.name}:{hashlib.sha256(p.read_bytes()).hexdigest()}\n" for p in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def cuda_sources() -> dict[str, Path]:
    """The kernel files by name."""
    return {path.stem: path for path in sorted(kernel_folder().glob("*.cu"))}
