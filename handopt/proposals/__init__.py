"""Starts for the pose search, proposed by a network from the depth alone."""

from handopt.proposals.model_file import default_model
from handopt.proposals.proposals import Proposals
from handopt.proposals.propose import propose

__all__ = ["Proposals", "default_model", "propose"]
