"""The optimizer of the original recipe, which made a new Adam for each epoch."""

from __future__ import annotations

from typing import Any

from allencv_al.training.callbacks import TrainerCallback


@TrainerCallback.register("fresh_optimizer")
class FreshOptimizer(TrainerCallback):
    """Forget the optimizer's moments and step counts after each epoch.

    Args:
        serialization_dir: Folder of the run; not used.
    """

    def on_epoch(
        self, trainer: Any, metrics: dict[str, Any], epoch: int, is_primary: bool = True
    ) -> None:
        """Clear the state before the epoch's checkpoint, so that a resumed run does the same."""
        trainer.optimizer.state.clear()
