"""The whole chain: a known pose, rendered by an independent z-buffer and disturbed, must come back."""

import numpy as np
from support.recovery import CAMERA, make_problem

from handopt.fitting import fit

SEEDS = range(100)
NEAR_MM, SHARE = 5.0, 0.95


def mean_error(seed: int) -> float:
    problem = make_problem(seed)
    result = fit(problem.depth_mm, CAMERA, start=problem.start, device="cpu", shape="none")
    return float(np.linalg.norm(result.joints_mm - problem.joints_mm, axis=1).mean())


def test_disturbed_poses_are_recovered() -> None:
    errors = np.array([mean_error(seed) for seed in SEEDS])
    failures = {seed: round(float(errors[seed]), 1) for seed in np.flatnonzero(errors > NEAR_MM)}
    print(f"median {np.median(errors):.2f} mm, 95th percentile {np.percentile(errors, 95):.2f} mm, failures {failures}")
    assert (errors <= NEAR_MM).mean() >= SHARE, failures
