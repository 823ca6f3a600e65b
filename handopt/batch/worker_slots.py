"""Which core or GPU a worker process uses: each has a slot on the machine, which the process holds until it ends."""

import ctypes
import errno
import fcntl
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

KEPT_BYTES = 1 << 25
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_... of glibc's malloc.h

_held: dict[str, tuple[int, str]] = {}


def claim(kind: str, slots: Sequence[str]) -> str | None:
    """Claim the first slot that no other process of this user holds, until this process ends. None if all are held.

    A process that asks again gets the same slot.
    """
    if kind in _held:
        return _held[kind][1]
    try:
        folder = _own_folder(Path(tempfile.gettempdir()) / f"handopt-slots-{os.getuid()}")
    except OSError:
        return None
    try:
        for slot in slots:
            name, flags = f"{kind}-{slot.replace(os.sep, '_')}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
            file = os.open(name, flags, 0o600, dir_fd=folder)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                continue
            _held[kind] = (file, slot)
            return slot
    except OSError:
        return None
    finally:
        os.close(folder)
    return None


def _own_folder(path: Path) -> int:
    """A file descriptor of a folder that nobody but this user can change, made where it is missing. Raises OSError."""
    path.mkdir(mode=0o700, exist_ok=True)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    status = os.fstat(folder)
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        os.close(folder)
        raise PermissionError(errno.EPERM, "another user can change it", str(path))
    return folder


def release(kind: str) -> None:
    """Give a slot back."""
    if kind in _held:
        os.close(_held.pop(kind)[0])


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pin_to_core() -> int | None:
    """Bind this process to a core that no other worker has. None where that is impossible or already done."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return None
    slot = claim("core", [str(core) for core in cores])
    if slot is None:
        return None
    os.sched_setaffinity(0, {int(slot)})
    return int(slot)


def keep_memory() -> None:
    """Let this process keep freed memory for the next image, where its C library is glibc.

    Workers of Dask return all freed memory, which costs a third of the time of a fit.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            mallopt(parameter, KEPT_BYTES)


def own_device(device: str) -> str:
    """The device of this worker: where none is named, one of several GPUs that no other worker uses.

    A GPU's slot is its name in CUDA_VISIBLE_DEVICES, which dask-cuda gives each worker in another order.
    """
    if device not in ("auto", "cuda"):
        return device
    from handopt.backend import cuda_devices

    count = cuda_devices()
    if count < 2:
        return device
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    names = named[:count] if len(named) >= count else [str(index) for index in range(count)]
    slot = claim("gpu", names)
    return f"cuda:{os.getpid() % count if slot is None else names.index(slot)}"
