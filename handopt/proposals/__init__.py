"""Starts for the pose search from the depth alone: the nearest of many rendered poses."""

from handopt.proposals.bank import Bank, default_bank
from handopt.proposals.propose import Proposals, propose

__all__ = ["Bank", "Proposals", "default_bank", "propose"]
