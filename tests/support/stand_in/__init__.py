"""Puts a strict stand-in for CuPy in its place, over kernels in the GPU's schedule that run on the CPU."""

import os
import sys
import tempfile
from pathlib import Path

VARIABLE = "HANDOPT_STAND_IN"
FOLDER = Path(__file__).parent


def use() -> None:
    """Make `import cupy` give the stand-in, here and in processes that are started; compile its kernels if need be."""
    if VARIABLE not in os.environ:
        from handopt.backend import source_hash
        from support.builds import build_kernels

        folder = Path(tempfile.gettempdir()) / f"handopt-stand-in-{os.getuid()}-{source_hash()[:16]}"
        made = next(iter(folder.glob("libhandopt_kernels.*")), None)
        os.environ[VARIABLE] = str(made or build_kernels(folder, "-DHANDOPT_EMULATE_CUDA=ON"))
    paths = [str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    sys.path.insert(0, str(FOLDER))
