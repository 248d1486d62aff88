"""`PickedImage`: one image that was chosen, with all that a person or a program is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from allencv_al.data.instance import Instance


@dataclass(frozen=True)
class PickedImage:
    """One image that was chosen.

    Args:
        rank: Its place among the picks, from 1.
        instance: The image.
        score: The strategy's score when it was picked; higher is more wanted.
        predicted: The likeliest class, by name; None where no classifier was asked.
        probability: The probability of that class.
        reason: Why it was picked, as JSON values.
    """

    rank: int
    instance: Instance
    score: float
    predicted: str | None = None
    probability: float | None = None
    reason: Mapping[str, Any] = field(default_factory=dict)
