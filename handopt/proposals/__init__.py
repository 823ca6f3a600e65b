"""Starts for the pose search, proposed from the depth alone by a network and by a bank of rendered poses."""

from handopt.proposals.bank import PoseBank, default_bank
from handopt.proposals.propose import Proposals, propose

__all__ = ["PoseBank", "Proposals", "default_bank", "propose"]
