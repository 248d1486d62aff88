"""Label tasks: the kinds of labels that images can have, and all that depends on the kind."""

from allencv_al.tasks.base import LabelTask, label_task

__all__ = ["LabelTask", "label_task"]
