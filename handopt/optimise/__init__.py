"""From starts to a fitted pose: starts, minimisers, and the search that runs them coarse to fine."""
