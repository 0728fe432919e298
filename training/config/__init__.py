"""Every setting of a training run, as frozen models: one file for each part of the config."""

from training.config.base import Settings
from training.config.data import FimSettings, Phase, TokenizerSettings
from training.config.evaluation import EvaluationSettings
from training.config.learning import BatchSettings, OptimizerSettings, ScheduleSettings
from training.config.model import ModelSettings
from training.config.run import CheckpointSettings, TrainConfig

__all__ = [
    "BatchSettings",
    "CheckpointSettings",
    "EvaluationSettings",
    "FimSettings",
    "ModelSettings",
    "OptimizerSettings",
    "Phase",
    "ScheduleSettings",
    "Settings",
    "TokenizerSettings",
    "TrainConfig",
]
