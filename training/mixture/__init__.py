"""Which source each sequence comes from: weights resolved to shares, integrated, and apportioned slot by slot."""

from training.mixture.effective import fresh_equivalent
from training.mixture.mixture import Mixture
from training.mixture.problems import caps, infeasible
from training.mixture.schedule import Schedule
from training.mixture.shares import Stretch, stretches

__all__ = ["Mixture", "Schedule", "Stretch", "caps", "fresh_equivalent", "infeasible", "stretches"]
