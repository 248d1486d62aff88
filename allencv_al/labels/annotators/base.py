"""`Annotator`, the base class of annotators, and `LabelRequest`, the query of a round."""

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
from allencv_al.labels.label_table import PickedImage
from allencv_al.labels.run_database import Query
from allencv_al.tasks.base import LabelTask, label_task

_HERE = "allencv_al.labels.annotators"
_MOST_NAMED = 5

TO_ADD_A_CLASS = "to add a class, name all classes in active_learning.classes of the config"


class WaitingForLabels(AllenCVError):  # noqa: N818  nothing is wrong
    """The run continues when labels are given; the message says how to give them."""

    exit_code = 3


@dataclass(frozen=True)
class LabelRequest:
    """The query of a round: images to label.

    Args:
        round: The round.
        items: The images to label, in the order of picking.
        queries: Score and reason of each, in the same order.
        classes: The allowed class names, in their order; None allows any.
        folder: The run directory.
        predicted: The text of the model's most probable label by id.
        probabilities: The probability of that label by id.
        drafts: The predicted label, where it is more than a class, and its probability by id.
        seen: Class names given so far, if any name is allowed.
        is_partial: Whether images may stay without a label; they go back to the pool.
        labeled_by: The annotators who have labeled an image already, by id: a second opinion is
            that of another annotator.
        dropped: Ids of images that the round no longer asks for; their labels are ignored.
        task: The kind of labels.
    """

    round: int
    items: Sequence[Instance]
    queries: Sequence[Query]
    classes: Sequence[str] | None
    folder: Path
    predicted: Mapping[str, str] = field(default_factory=dict)
    probabilities: Mapping[str, float] = field(default_factory=dict)
    drafts: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    seen: Sequence[str] = ()
    is_partial: bool = False
    labeled_by: Mapping[str, Sequence[str]] = field(default_factory=dict)
    dropped: Collection[str] = frozenset()
    task: LabelTask = field(default_factory=label_task)

    @property
    def round_folder(self) -> Path:
        """Folder of this round's files, such as `rounds/0003` in the run directory."""
        return self.folder / "rounds" / f"{self.round:04d}"

    def picks(self) -> list[PickedImage]:
        """Return the images with their scores, predictions and reasons, in the order of picking."""
        return [
            PickedImage(
                rank=query.rank + 1,
                instance=item,
                score=query.score,
                predicted=self.predicted.get(item.id),
                probability=self.probabilities.get(item.id),
                draft=self.drafts.get(item.id),
                reason={key: value for key, value in query.reason.items() if key != "rank"},
            )
            for item, query in zip(self.items, self.queries, strict=True)
        ]


class Annotator(Registrable):
    """Gives the labels that a round of active learning asks for.

    Subclasses implement `annotate`, for example with a service, a form or a second model.
    """

    builtin: ClassVar[Mapping[str, str]] = {
        "ground_truth": f"{_HERE}.ground_truth",
        "file": f"{_HERE}.file",
    }

    needs_known_labels: ClassVar[bool] = False
    """Whether the images of the pool must come with labels."""

    people: int | None = 1
    """Number of annotators who can label one image; None for as many as come."""

    shows_drafts: ClassVar[bool] = False
    """Whether predicted boxes or masks of the query are of use; each costs a second inference."""

    @abstractmethod
    def annotate(self, request: LabelRequest) -> list[NewLabel]:
        """Return one label for each image of the request.

        The labels count once the run has recorded them. A run that is killed before that repeats
        the request, so the same request must give the same labels.

        Raises:
            WaitingForLabels: An annotator has to act first.
            DataError: The given labels cannot be used.
        """

    def close(self) -> None:
        """Release resources; called when the run ends or is interrupted."""


def checked_answers(
    annotator: Annotator, request: LabelRequest, labels: Sequence[NewLabel]
) -> list[NewLabel]:
    """Return the labels that an annotator gave, without those of dropped images.

    There must be one label per image, or at least one in all if the request `is_partial`: an image
    without a label would be queried again forever.

    Args:
        annotator: The annotator, for messages.
        request: The request.
        labels: The labels that it returned.

    Raises:
        UserCodeError: These are not labels.
        DataError: Labels are missing, given twice, or of other images; the message names the first.
    """
    if not isinstance(labels, (list, tuple)):
        raise wrong_result(annotator, "annotate", "a list of NewLabel objects", labels)
    for label in labels:
        if not isinstance(label, NewLabel):
            raise wrong_result(annotator, "annotate", "NewLabel objects in its list", label)
        if label.kind is LabelKind.LABEL and not isinstance(label.label, str):
            wanted = f"text as the label of {label.id}"
            raise wrong_result(annotator, "annotate", wanted, label.label)
        if label.annotator in request.labeled_by.get(label.id, ()):
            raise DataError(
                f"active_learning.annotator: expected a second opinion on {label.id}, found one "
                f"more label of {label.annotator}"
            )
    # A page may still show an image that was dropped meanwhile
    found = [label for label in labels if label.id not in request.dropped]
    asked, answered = [item.id for item in request.items], [label.id for label in found]
    missing = list(dict.fromkeys(asked).keys() - set(answered))
    # With no answer at all, a partial round would query the same images again
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
