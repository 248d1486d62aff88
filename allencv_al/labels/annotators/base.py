"""The base of the annotators, and what they are asked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from allencv_al.common.config.registrable import Registrable
from allencv_al.common.errors import AllenCVError, DataError
from allencv_al.common.user_mistakes import wrong_result
from allencv_al.data.instance import Instance
from allencv_al.labels.label_store import LabelKind, NewLabel
from allencv_al.labels.round_store import Query

_HERE = "allencv_al.labels.annotators"
_MOST_NAMED = 5

TO_ADD_A_CLASS = "to add a class, name all classes in active_learning.classes of the config"


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
        is_partial: Whether some items may stay without an answer: they go back to the pool.
        dropped: Items that the round asked for and does not any longer; what was said of them does
            not count.
    """

    round: int
    items: Sequence[Instance]
    queries: Sequence[Query]
    classes: Sequence[str] | None
    folder: Path
    predicted: Mapping[str, str] = field(default_factory=dict)
    probabilities: Mapping[str, float] = field(default_factory=dict)
    seen: Sequence[str] = ()
    is_partial: bool = False
    dropped: Collection[str] = frozenset()

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
        "labeling_server": "allencv_al.service.labeling.annotator",
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

    def close(self) -> None:
        """Release resources; called when the run ends, or stops."""


def checked_answers(
    annotator: Annotator, request: LabelRequest, labels: Sequence[NewLabel]
) -> list[NewLabel]:
    """Return the answers that count; without one, an item would be asked for again for ever.

    Of a request that `is_partial` at least one item must have one.

    Args:
        annotator: Who was asked.
        request: What was asked.
        labels: What an annotator returned.

    Raises:
        UserCodeError: These are no labels.
        DataError: Answers are missing, came twice, or are of other items; the first are named.
    """
    if not isinstance(labels, (list, tuple)):
        raise wrong_result(annotator, "annotate", "a list of NewLabel objects", labels)
    for label in labels:
        if not isinstance(label, NewLabel):
            raise wrong_result(annotator, "annotate", "NewLabel objects in its list", label)
        if label.kind is LabelKind.LABEL and not isinstance(label.label, str):
            wanted = f"a class name as the label of {label.id}"
            raise wrong_result(annotator, "annotate", wanted, label.label)
    # A page may still have an item that was dropped meanwhile
    found = [label for label in labels if label.id not in request.dropped]
    asked, answered = [item.id for item in request.items], [label.id for label in found]
    missing = list(dict.fromkeys(asked).keys() - set(answered))
    if request.is_partial and answered:
        asked, missing = [id for id in asked if id in set(answered)], []
    foreign = list(dict.fromkeys(answered).keys() - set(asked))
    if not missing and not foreign and len(answered) == len(asked):
        return found
    named = ", ".join((missing or foreign or answered)[:_MOST_NAMED])
    problem = "has no answer" if missing else "was not asked for" if foreign else "came twice"
    raise DataError(
        f"active_learning.annotator: expected one answer for each of {len(asked)} items, found "
        f"{len(answered)}; {problem}: {named}"
    )
