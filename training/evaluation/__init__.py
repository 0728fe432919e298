"""What a model is worth: held-out loss, forgetting and samples while it trains, and scores on files of tasks."""

from training.evaluation.evaluator import Evaluator, unmeasurable
from training.evaluation.forgetting import Forgetting, ForgettingError, table
from training.evaluation.heldout import HeldOut, Row

__all__ = ["Evaluator", "Forgetting", "ForgettingError", "HeldOut", "Row", "unmeasurable", "table"]
