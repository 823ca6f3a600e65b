"""Runs the GPU's kernels under ThreadSanitizer, unmodified, with a thread of the system for each CUDA thread.

The stand-in for CuPy launches them, so that any test of an op shows its races. A kernel is a loop over the grid: 48
threads share the work of any launch.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handopt import backend
from support import stand_in
from support.builds import IMAGE_KERNELS, run_python

HEADER = Path(__file__).with_name("cuda_on_threads.h")
FLAGS = ("-std=c++17", "-O0", "-g1", "-fsanitize=thread", "-fPIC", "-ffp-contract=off", "-w")
REALS = {"f32": "float", "f64": "double"}
TYPES = {"r*": "real*", "i*": "int*", "k*": "key64*", "r": "real", "i": "int"}
BENIGN = "splat_scatter"
"""Looks at a key before it raises it by an atomic maximum: an old value costs an atomic that changes nothing, and a
new one is larger still, so no key is lost. Only this plain read beside an atomic is let pass, no plain write."""


@dataclass(frozen=True)
class Race:
    """Two accesses to the same place. kernel: the function of one; accesses: "read", "write", "atomic write" ..."""

    kernel: str
    accesses: tuple[str, ...]

    @property
    def is_benign(self) -> bool:
        """Whether it is the read before an atomic maximum."""
        return self.kernel == BENIGN and sorted(self.accesses) in (["atomic read", "read"], ["atomic write", "read"])


def problem() -> str | None:
    """Why ThreadSanitizer cannot be used here, or None."""
    if shutil.which("g++") is None:
        return "g++ is not installed, whose ThreadSanitizer shows races"
    return None if sanitizer().is_absolute() else "g++ comes without libtsan.so: install its sanitizer libraries"


def sanitizer() -> Path:
    """Where GCC's library lies; the bare name if there is none."""
    answer = subprocess.run(["g++", "-print-file-name=libtsan.so"], capture_output=True, text=True, check=True)
    return Path(answer.stdout.strip()).resolve() if "/" in answer.stdout else Path("libtsan.so")


def build(folder: Path, sources: Path, suffix: str, names: Sequence[str] | None = None) -> Path:
    """Compile kernels in one precision. sources: their folder; suffix: 'f32' or 'f64'; names: of files, or None."""
    folder.mkdir(parents=True, exist_ok=True)
    objects = []
    for path in sorted(sources.glob("*.cu")):
        if names is not None and path.stem not in names:
            continue
        unit = folder / f"{path.stem}_{suffix}.cpp"
        unit.write_text(f'#include "{HEADER}"\n#include "{path}"\n' + _launches(path.read_text(), suffix))
        objects.append(unit.with_suffix(".o"))
        _call(["g++", *FLAGS, f"-DREAL={REALS[suffix]}", f"-I{sources}", "-c", str(unit), "-o", str(objects[-1])])
    library = folder / f"libraces_{suffix}.so"
    _call(["g++", "-shared", "-fsanitize=thread", "-Wl,-Bsymbolic", *map(str, objects), "-o", str(library)])
    return library


def _launches(source: str, suffix: str) -> str:
    """For each kernel in a file, the function that the stand-in calls."""
    lines = []
    for kernel in set(re.findall(r"^KERNEL\((\w+)\)", source, re.M)) - IMAGE_KERNELS:
        signature = backend.SIGNATURES[kernel]
        given = ", ".join(f"{TYPES[kind]} {name}" for name, kind in signature)
        passed = ", ".join(name for name, _ in signature)
        lines.append(f'extern "C" void {kernel}_{suffix}({given}) {{ run_kernel([=] {{ {kernel}({passed}); }}); }}')
    return "\n".join(lines) + "\n"


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"


def races_of(libraries: Sequence[Path], problems: Sequence[str], log: Path) -> tuple[list[Race], set[str]]:
    """The races of some problems of tests/support/problems.py, and the kernels that they launch.

    libraries: of f32, or of f32 and f64, which are the precisions of the problems. log: a path for reports.
    """
    reals = ("float32", "float64")[: len(libraries)]
    done = run_python(
        *("-m", "support.races.problems", ",".join(reals), *problems),
        LD_PRELOAD=str(sanitizer()),
        TSAN_OPTIONS=f"log_path={log} exitcode=0 report_signal_unsafe=0 history_size=4",
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
        **{stand_in.VARIABLE: os.pathsep.join(map(str, libraries))},
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    *named, kernels = done.stdout.splitlines()
    assert named == list(problems), done.stdout
    reports = "".join(path.read_text() for path in log.parent.glob(f"{log.name}.*"))
    races = [_race(text) for text in reports.split("WARNING: ThreadSanitizer: ")[1:]]
    return races, set(kernels.split()[1:])


def _race(text: str) -> Race:
    """A report of ThreadSanitizer's."""
    accesses = re.findall(r"^  (?:Previous )?((?:atomic )?(?:read|write)) of size", text, re.M | re.I)
    frames = re.findall(r"#\d+ (\w+)[ (<]", text)
    kernels = [name for name in frames if name.partition("(")[0] in backend.SIGNATURES]
    return Race(kernels[0] if kernels else text.splitlines()[0], tuple(each.lower() for each in accesses))
