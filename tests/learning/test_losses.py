"""What the network learns from: the best hypothesis, how likely each is, uncertainty, and visibility."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="not tested: torch is not installed; pip install -e '.[train]'")

from handopt.learning.losses import Hypotheses, hypothesis_loss, joint_loss  # noqa: E402


def test_the_best_head_learns() -> None:
    error = torch.tensor([[10.0, 40.0, 80.0]], requires_grad=True)
    logit = torch.zeros(1, 3, requires_grad=True)
    found = Hypotheses(error, logit, error[..., None].expand(1, 3, 21))
    hypothesis_loss(found, 2.0).backward()
    assert error.grad is not None
    assert error.grad[0, 0] > 0.99
    hypothesis_loss(found, 30.0).backward()
    assert error.grad[0, 1] > 0.2, "others learn as well at a high temperature"
    assert logit.grad is not None
    assert logit.grad[0].argmin() == 0, "the best head's likelihood rises"


def test_uncertainty_is_learned_as_the_mean_distance_of_the_likeliest() -> None:
    distance = torch.from_numpy(np.random.default_rng(0).exponential(12.0, (400, 2, 21))).float()
    distance[:, 1] = 500.0  # of a hypothesis that nobody believes in
    found = Hypotheses(distance.mean(-1), torch.tensor([[3.0, -3.0]]).expand(400, 2), distance)
    told = torch.full((1, 42), 3.0, requires_grad=True)
    visible = torch.arange(21).expand(400, 21) < 14
    optimiser = torch.optim.Adam([told], lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        joint_loss(found, told.expand(400, 42), visible).backward()
        optimiser.step()
    mean_mm = told[0, :21].exp().detach().numpy()
    assert np.abs(mean_mm - distance[:, 0].mean(0).numpy()).max() < 0.3
    assert ((told[0, 21:] > 0) == visible[0]).all()
