"""Every setting of a training run, as frozen models: one file for each part of the config."""

from training.config.base import Settings
from training.config.batch import BatchSettings, RampSettings
from training.config.continuing import ContinuingSettings, ReplaySettings
from training.config.data import (
    GroupSettings,
    OrderSettings,
    Phase,
    RepeatSettings,
    SourceSettings,
    TokenizerSettings,
)
from training.config.evaluation import EvaluationSettings, SampleSettings
from training.config.feeding import FeedingSettings
from training.config.fim import FimSettings
from training.config.guard import GuardSettings
from training.config.meter import MeterSettings
from training.config.model import ModelSettings
from training.config.optimizer import OptimizerSettings
from training.config.run import CheckpointSettings, TrainConfig
from training.config.schedule import ScheduleSettings
from training.config.tracking import TrackingSettings
from training.config.weights import Curve, Group

__all__ = [
    "BatchSettings",
    "CheckpointSettings",
    "ContinuingSettings",
    "Curve",
    "EvaluationSettings",
    "FeedingSettings",
    "FimSettings",
    "Group",
    "GroupSettings",
    "GuardSettings",
    "MeterSettings",
    "ModelSettings",
    "OptimizerSettings",
    "OrderSettings",
    "Phase",
    "RampSettings",
    "RepeatSettings",
    "ReplaySettings",
    "SampleSettings",
    "ScheduleSettings",
    "Settings",
    "SourceSettings",
    "TokenizerSettings",
    "TrackingSettings",
    "TrainConfig",
]
