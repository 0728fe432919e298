"""The report of a training run: one HTML page drawn from its journals, while it goes on or after it ended."""

from training.report.page import is_training_run, write_report

__all__ = ["is_training_run", "write_report"]
