"""The ops: one per file, forward and backward together, each a checked call of the kernel of the same name."""
