"""The base of the annotators, and what they are asked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from allencv_al.active_learning.label_store import NewLabel
from allencv_al.active_learning.round_store import Query
from allencv_al.common.errors import AllenCVError
from allencv_al.common.registrable import Registrable
from allencv_al.data.instance import Instance

_HERE = "allencv_al.active_learning.annotators"


class WaitingForLabels(AllenCVError):  # noqa: N818  nothing is wrong
    """The run can go on only when somebody has given labels; the message says how."""

    exit_code = 3


@dataclass(frozen=True)
class LabelRequest:
    """What a round asks an annotator.

    Args:
        round: The round.
        items: The items to label, in the order of picking.
        queries: Why each was picked, in the same order.
        classes: The class names that are allowed, in their order; None allows any.
        folder: The folder of the run.
        predicted: The class that the model takes an item for, by id.
        probabilities: The probability of that class, by id.
        seen: Where any class is allowed: the names given so far.
    """

    round: int
    items: Sequence[Instance]
    queries: Sequence[Query]
    classes: Sequence[str] | None
    folder: Path
    predicted: Mapping[str, str] = field(default_factory=dict)
    probabilities: Mapping[str, float] = field(default_factory=dict)
    seen: Sequence[str] = ()

    @property
    def round_folder(self) -> Path:
        """Where the files of this round lie: `rounds/0003` of the run's folder."""
        return self.folder / "rounds" / f"{self.round:04d}"


class Annotator(Registrable):
    """Gives the labels that a round of active learning asks for.

    One of your own writes `annotate`, from a service, a form, or a second model.
    """

    builtin: ClassVar[Mapping[str, str]] = {
        "ground_truth": f"{_HERE}.ground_truth",
        "file": f"{_HERE}.file",
    }

    needs_known_labels: ClassVar[bool] = False
    """Whether the items of the pool must come with labels."""

    @abstractmethod
    def annotate(self, request: LabelRequest) -> list[NewLabel]:
        """Return what was said of each item, once.

        The labels count only when the run has recorded them. A run that is killed before that asks
        the same again, so the same request must give the same answer.

        Raises:
            WaitingForLabels: Somebody has to do something first.
            DataError: The labels that are there cannot be used.
        """
