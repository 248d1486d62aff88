"""Class indices that name no class: an error that says which, never a count in a wrong cell."""

from __future__ import annotations

import torch
from torch import Tensor


def within_classes(gold: Tensor, num_classes: int) -> Tensor:
    """Return class indices that are safe to index with.

    On the CPU a wrong index is an error at once. On a GPU, where looking at the values would wait
    for the device (and indexing with them would end it), they are clamped; `ClassRange` remembers
    them.

    Args:
        gold: Class indices `[B]`.
        num_classes: How many classes there are.

    Raises:
        ValueError: An index is outside 0 to `num_classes` - 1; torch's -100 for "ignore", too.
    """
    if gold.device.type != "cpu":
        return gold.clamp(0, num_classes - 1)
    if gold.numel():
        low, high = gold.aminmax()
        _require(int(low), int(high), num_classes)
    return gold


class ClassRange:
    """The smallest and largest class index seen, kept on the device until someone asks."""

    def __init__(self) -> None:
        self._seen: tuple[Tensor, Tensor] | None = None
        self._num_classes = 0

    def add(self, gold: Tensor, num_classes: int) -> Tensor:
        """Note the indices of a batch; return those that are safe to index with."""
        safe = within_classes(gold, num_classes)
        if safe is not gold and gold.numel():
            low, high = gold.aminmax()
            if self._seen is not None:
                low = torch.minimum(low, self._seen[0].to(low.device))
                high = torch.maximum(high, self._seen[1].to(high.device))
            self._seen, self._num_classes = (low, high), num_classes
        return safe

    def check(self) -> None:
        """Wait for the device; forget what was seen.

        Raises:
            ValueError: An index was outside the classes.
        """
        seen, self._seen = self._seen, None
        if seen is not None:
            _require(int(seen[0]), int(seen[1]), self._num_classes)


def _require(low: int, high: int, num_classes: int) -> None:
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"class index {low if low < 0 else high}: expected 0 to {num_classes - 1}, since there "
            f"are {num_classes} classes"
        )
