"""No kernel has a race under ThreadSanitizer, a thread for each CUDA thread; planted races are noticed."""

import shutil
from pathlib import Path

import pytest
from support import races
from support.builds import IMAGE_KERNELS
from support.problems import PROBLEMS

from handopt import backend

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(races.problem() is not None, reason=str(races.problem())),
]
# file, problem that launches it, what is replaced, and by what: an atomic becomes a read and a write, or what other
# threads of a launch still read is written
MUTANTS: dict[str, tuple[str, str, str, str]] = {
    "splat_scatter": ("splat", "render_depth", "atomic_max_key(slot, key)", "*slot = key"),
    "skin_backward": ("skinning", "skin", "ADD(grad_transforms", "LOST(grad_transforms"),
    "closest_points_forward": ("closest_points", "closest_points", "ADD(loss + b,", "LOST(loss + b,"),
    "rasterise_forward": ("rasterise", "rasterise", "atomic_min_real(depth", "LOST_MINIMUM(depth"),
    "normal_equations_grid": ("normal_equations", "normal_equations, hessian", "ADD(h + number", "LOST(h + number"),
    "solve_panel": ("solve_damped", "solve_damped, panels", "own[first + k] = row[k]", "own[k] = row[k]"),
    "compare_points": ("pose_iteration", "minimise_poses_grid", "ADD(term, weight", "LOST(term, weight"),
    "keep_lower": (
        *("pose_iteration", "minimise_poses_grid"),
        *("found_hessian[at] = 0;", "found_hessian[at] = 0, ((real*)found_terms)[b] = 0;"),
    ),
}
NEEDED = {"splat": ["projection"], "pose_iteration": ["normal_equations", "solve_damped"]}
"""The other files with kernels that a problem launches."""
LOST = """
#define LOST(address, value) (*(address) += (value))
#define LOST_MINIMUM(address, value) do { if ((value) < *(address)) *(address) = (value); } while (0)
"""


def test_no_kernel_has_a_race(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    reals = list(races.REALS)[: 2 if pytestconfig.getoption("--thorough") else 1]
    libraries = [races.build(tmp_path, backend.kernel_folder(), suffix) for suffix in reals]
    found, kernels = races.races_of(libraries, list(PROBLEMS), tmp_path / "log")
    assert [each for each in found if not each.is_benign] == []
    assert kernels == set(backend.SIGNATURES) - IMAGE_KERNELS


@pytest.mark.parametrize("kernel", MUTANTS)
def test_a_lost_atomic_or_an_early_write_is_noticed(kernel: str, tmp_path: Path) -> None:
    name, problem, right, wrong = MUTANTS[kernel]
    sources = tmp_path / "kernels"
    shutil.copytree(backend.kernel_folder(), sources)
    path = sources / f"{name}.cu"
    text = path.read_text()
    assert text.count(right) == 1
    path.write_text(LOST + text.replace(right, wrong))
    needed = [name, *NEEDED.get(name, ())]
    library = races.build(tmp_path / "built", sources, "f32", needed)
    found, _ = races.races_of([library], [problem], tmp_path / "log")
    assert [each for each in found if not each.is_benign and each.kernel == kernel], found
