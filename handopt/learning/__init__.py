"""Learning to propose poses: images on the fly, a network in PyTorch, its training. Needs the extra `torch`."""
