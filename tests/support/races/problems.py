"""Runs problems of ops, forward and backward, on the stand-in: python -m support.races.problems REALS NAME..."""

import sys

import numpy as np

from support import stand_in


def main(reals: str, *names: str) -> None:
    """Run them, and print the name of each when it is done, and which kernels were launched."""
    stand_in.use()
    from handopt import backend
    from support.op_check import Place, gradients_on, random_cotangent
    from support.problems import PROBLEMS

    device = Place(backend.Device("cuda"))
    for name in names:
        for real in reals.split(","):
            problem, dtype = PROBLEMS[name](), np.dtype(real)
            sent = device.send(problem.inputs(dtype))
            device.fetch(problem.forward(sent))
            if problem.backward is not None:
                gradients_on(device, problem, random_cotangent(problem, 0).astype(dtype), sent, dtype)
        print(name, flush=True)
    import cupy

    kernels = (key.removeprefix("launch ") for key in cupy.COUNTS)
    print("kernels:", *sorted(kernel for kernel in kernels if kernel in backend.SIGNATURES))


if __name__ == "__main__":
    main(*sys.argv[1:])
