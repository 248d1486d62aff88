"""What takes part in training: logs, pictures, checks, and your own."""

from allencv_al.training.callbacks.base import TrainerCallback

__all__ = ["TrainerCallback"]
