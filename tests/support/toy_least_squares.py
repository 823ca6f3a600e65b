"""A toy sum of squares whose minimum is known, for the tests of Levenberg-Marquardt."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TIMES = np.linspace(0.0, 2.0, 9)


@dataclass(frozen=True)
class DecayModel:
    """Costs (N,), and where they were asked for the Jacobians (N, 9, 2) and residuals (N, 9)."""

    cost: Floats
    residual: Floats
    jacobian: Floats | None


class Decay:
    """Find height and rate of N curves height exp(-rate t) from their exact values: the minimum is 0, at the truth.

    The costs of the curves fall independently of each other.
    """

    def __init__(self, truth: Floats) -> None:
        """truth: (N, 2), height and rate of each curve."""
        self.values = self._curve(truth)
        self.derivatives: list[bool] = []

    def evaluate(self, state: Floats, *, derivatives: bool = True) -> DecayModel:
        self.derivatives.append(derivatives)
        residual = self._curve(state) - self.values
        fall = np.exp(-state[:, 1:] * TIMES)
        jacobian = np.stack([fall, -state[:, :1] * TIMES * fall], axis=2) if derivatives else None
        return DecayModel((residual**2).sum(axis=1), residual, jacobian)

    def moved(self, state: Floats, step: Floats) -> Floats:
        return state + step

    def updated(
        self, accepted: NDArray[np.bool_], new: tuple[Floats, DecayModel], old: tuple[Floats, DecayModel]
    ) -> tuple[Floats, DecayModel]:
        jacobian = None
        if new[1].jacobian is not None and old[1].jacobian is not None:
            jacobian = np.where(accepted[:, None, None], new[1].jacobian, old[1].jacobian)
        model = DecayModel(
            np.where(accepted, new[1].cost, old[1].cost),
            np.where(accepted[:, None], new[1].residual, old[1].residual),
            jacobian,
        )
        return np.where(accepted[:, None], new[0], old[0]), model

    def _curve(self, state: Floats) -> Floats:
        return state[:, :1] * np.exp(-state[:, 1:] * TIMES)


def dense(model: DecayModel, damping: Floats) -> Floats:
    """The damped Gauss-Newton step of each curve."""
    assert model.jacobian is not None
    hessian = np.einsum("nti,ntj->nij", model.jacobian, model.jacobian)
    gradient = np.einsum("nti,nt->ni", model.jacobian, model.residual)
    hessian += damping[:, None, None] * np.einsum("nii->ni", hessian)[:, None] * np.eye(2)
    return -np.linalg.solve(hessian, gradient[..., None])[..., 0]
