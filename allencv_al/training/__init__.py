"""Training: the trainer with its optimizers, schedules, callbacks and checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.training.callbacks.base import TrainerCallback as TrainerCallback
    from allencv_al.training.checkpoints.checkpointer import Checkpointer as Checkpointer
    from allencv_al.training.evaluation import evaluate as evaluate
    from allencv_al.training.trainers.base import EpochTrainer as EpochTrainer
    from allencv_al.training.trainers.base import Trainer as Trainer
    from allencv_al.training.trainers.gradient_descent_trainer import (
        GradientDescentTrainer as GradientDescentTrainer,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Checkpointer": "allencv_al.training.checkpoints.checkpointer",
        "EpochTrainer": "allencv_al.training.trainers.base",
        "GradientDescentTrainer": "allencv_al.training.trainers.gradient_descent_trainer",
        "Trainer": "allencv_al.training.trainers.base",
        "TrainerCallback": "allencv_al.training.callbacks.base",
        "evaluate": "allencv_al.training.evaluation",
    },
)
