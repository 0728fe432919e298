"""The order of training: which documents make step N, worked out from config, seed and N alone."""

from training.order.feasibility import feasibility
from training.order.order import Order
from training.order.table import Piece, SequencePlan, Table

__all__ = ["Order", "Piece", "SequencePlan", "Table", "feasibility"]
