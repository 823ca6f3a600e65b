"""From starts to a fitted pose: fixed starts, solvers, and the loop that runs them coarse to fine."""
