"""Learning rate schedules, by epoch or by optimizer step."""

from allencv_al.training.learning_rate_schedulers.base import (
    GroupPlan,
    LearningRateScheduler,
    StepwiseScheduler,
)
from allencv_al.training.learning_rate_schedulers.slanted_triangular import SlantedTriangular
from allencv_al.training.scheduler import Scheduler

__all__ = [
    "GroupPlan",
    "LearningRateScheduler",
    "Scheduler",
    "SlantedTriangular",
    "StepwiseScheduler",
]
