"""Callbacks of the trainer: logs, charts, checks, and your own."""

from allencv_al.training.callbacks.base import TrainerCallback

__all__ = ["TrainerCallback"]
