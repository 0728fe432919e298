"""What a training run will do, before it does it: its numbers, and its schedule drawn."""

from training.course import Course
from training.plan.page import SUFFIXES, draw
from training.plan.plan import Moment, SourcePlan, StagePlan, TrainingPlan, make_plan
from training.plan.terminal import drawing, show

__all__ = [
    "SUFFIXES",
    "Course",
    "Moment",
    "SourcePlan",
    "StagePlan",
    "TrainingPlan",
    "draw",
    "drawing",
    "make_plan",
    "show",
]
