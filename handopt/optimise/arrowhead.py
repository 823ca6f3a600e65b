"""Arrowhead systems: many poses that share some parameters, and perhaps one sparse field (Triggs et al., 2000, Sec. 6).

Each pose has a block of its own, and the shared parameters are a border of all of them. Bundle adjustment eliminates
the poses first and solves for the border, the Schur complement. Where a sparse field of many unknowns is added, that
field is eliminated first through a sparse factorisation, and poses and border are one dense system.
"""

from typing import Any

import numpy as np

from handopt.errors import NumericalError
from handopt.typing import Bools, Floats, Indices

DEAD = 1e-12
"""Curvature up to which a parameter counts as one that nothing depends on; such parameters stay. Chosen by hand."""


def own_parameters(count: int, shared: Indices) -> Indices:
    """Of a pose's `count` parameters those that are its own, given those that all poses share."""
    return np.setdiff1d(np.arange(count), shared)


def solve_arrowhead(hessian: Floats, gradient: Floats, shared: Indices, free: Bools, damping: float) -> Floats:
    """The damped Gauss-Newton step (B, P) of B poses and of the S parameters that they share.

    hessian: (B, P, P), both triangles; gradient: (B, P); shared: (S,) columns of the shared parameters, which move
    alike in all rows; free: (S,) which of these may move; damping: share of the diagonal that is added to it
    """
    count, size = gradient.shape
    own = own_parameters(size, shared)
    blocks = hessian[:, own[:, None], own]
    diagonal = np.einsum("bii->bi", blocks)
    diagonal += damping * diagonal + (diagonal <= DEAD)
    border = hessian[:, own[:, None], shared]
    corner = hessian[:, shared[:, None], shared].sum(axis=0)
    shared_diagonal = np.diag(corner).copy()
    corner[np.diag_indices_from(corner)] = (1 + damping) * shared_diagonal + (shared_diagonal <= DEAD)
    solved = np.linalg.solve(blocks, np.concatenate([border, gradient[:, own, None]], axis=2))
    schur = corner - np.einsum("bpc,bpd->cd", border, solved[..., :-1])
    right = gradient[:, shared].sum(axis=0) - np.einsum("bpc,bp->c", border, solved[..., -1])
    step = np.zeros((count, size))
    move = np.zeros(len(shared))
    if free.any():
        move[free] = -np.linalg.solve(schur[np.ix_(free, free)], right[free])
    step[:, shared] = move
    step[:, own] = -solved[..., -1] - solved[..., :-1] @ move
    return step


class ArrowheadSystem:
    """The normal equations of B poses (P parameters, some of them shared) and of a sparse field of F unknowns.

    The dense unknowns are the poses' own parameters one pose after the other, then the shared ones. count, size: B and
    P; own, shared: columns of a pose's parameters; rows: how many unknowns come before the shared ones
    """

    def __init__(self, hessian: Floats, shared: Indices, field: Any, cross: Floats, damping: float = 0.0) -> None:
        """Eliminate the field.

        hessian: (B, P, P), both triangles; field: (F, F) sparse and symmetric; cross: (B, P, F), their mixed part;
        damping: share of the dense diagonal that is added to it. Raises NumericalError where the field is singular.
        """
        from scipy.sparse import csc_array
        from scipy.sparse.linalg import splu

        self.count, self.size = hessian.shape[:2]
        self.own, self.shared = own_parameters(self.size, shared), shared
        each, self.rows = len(self.own), len(self.own) * self.count
        dense = np.zeros((self.rows + len(shared),) * 2)
        mixed = np.empty((len(dense), cross.shape[2]))
        for pose in range(self.count):
            part = slice(each * pose, each * (pose + 1))
            dense[part, part] = hessian[pose][np.ix_(self.own, self.own)]
            dense[part, self.rows :] = hessian[pose][np.ix_(self.own, shared)]
            mixed[part] = cross[pose][self.own]
        dense[self.rows :, : self.rows] = dense[: self.rows, self.rows :].T
        dense[self.rows :, self.rows :] = hessian[:, shared[:, None], shared].sum(axis=0)
        mixed[self.rows :] = cross[:, shared].sum(axis=0)
        diagonal = dense[np.diag_indices_from(dense)]
        dense[np.diag_indices_from(dense)] += damping * diagonal + (diagonal <= DEAD)
        try:
            self._factor = splu(
                csc_array(field), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
            )
        except RuntimeError as error:
            raise NumericalError(f"the sparse field of the normal equations cannot be solved for: {error}") from error
        self._mixed, self._solved = mixed, self._factor.solve(mixed.T)
        self._schur = dense - mixed @ self._solved

    def solve(self, dense: Floats, field: Floats) -> tuple[Floats, Floats]:
        """Solve for right-hand sides (N, n) of the dense unknowns and (F, n) of the field."""
        partial = self._factor.solve(np.ascontiguousarray(field))
        move = np.linalg.solve(self._schur, dense - self._mixed @ partial)
        return move, partial - self._solved @ move

    def gathered(self, gradient: Floats) -> Floats:
        """The gradients (B, P) of all poses by the dense unknowns (N,)."""
        return np.concatenate([gradient[:, self.own].ravel(), gradient[:, self.shared].sum(axis=0)])

    def scattered(self, move: Floats) -> Floats:
        """A step (N,) of the dense unknowns as steps (B, P) of the poses."""
        step = np.empty((self.count, self.size))
        step[:, self.own] = move[: self.rows].reshape(self.count, -1)
        step[:, self.shared] = move[self.rows :]
        return step
