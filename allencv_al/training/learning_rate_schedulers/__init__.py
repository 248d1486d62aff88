"""Learning rate schedules, by epoch or by optimizer step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.training.learning_rate_schedulers.base import (
        GroupPlan as GroupPlan,
    )
    from allencv_al.training.learning_rate_schedulers.base import (
        LearningRateScheduler as LearningRateScheduler,
    )
    from allencv_al.training.learning_rate_schedulers.base import (
        StepwiseScheduler as StepwiseScheduler,
    )
    from allencv_al.training.learning_rate_schedulers.slanted_triangular import (
        SlantedTriangular as SlantedTriangular,
    )
    from allencv_al.training.scheduler import Scheduler as Scheduler

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "GroupPlan": f"{__name__}.base",
        "LearningRateScheduler": f"{__name__}.base",
        "Scheduler": "allencv_al.training.scheduler",
        "SlantedTriangular": f"{__name__}.slanted_triangular",
        "StepwiseScheduler": f"{__name__}.base",
    },
)
