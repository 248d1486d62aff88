"""Learning rate schedules, by epoch or by optimizer step."""

from allencv_al.training.learning_rate_schedulers.base import (
    GroupPlan,
    LearningRateScheduler,
    Scheduler,
    StepwiseScheduler,
)
from allencv_al.training.learning_rate_schedulers.slanted_triangular import SlantedTriangular

__all__ = [
    "GroupPlan",
    "LearningRateScheduler",
    "Scheduler",
    "SlantedTriangular",
    "StepwiseScheduler",
]
