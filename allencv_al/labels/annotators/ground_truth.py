"""The labels of the data set, for experiments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

from annotated_types import Interval
from overrides import overrides

from allencv_al.common.errors import DataError, raise_problems
from allencv_al.common.files.json_values import repr_json
from allencv_al.data.id_hash import id_uniforms
from allencv_al.labels.annotators.base import Annotator, LabelRequest
from allencv_al.labels.label_store import NewLabel

_NAME = "ground_truth"


@Annotator.register("ground_truth")
class GroundTruthAnnotator(Annotator):
    """Gives each image its label in the data set, as a simulated annotator.

    Args:
        noise: Share of images that get a wrong label, drawn uniformly from the other classes. Only
            where an image has one class.
        seed: Random seed. An image's wrong label depends on this seed, its id, the set of classes
            and the annotator only: neither on the round nor on the other images.
        annotators: Number of annotators, each with wrong labels of its own. An image is labeled by
            them in an order drawn by the seed, one whenever it is asked for.

    Raises:
        ConfigurationError: `noise` is not in 0..1.
    """

    needs_known_labels: ClassVar[bool] = True

    def __init__(
        self,
        noise: Annotated[float, Interval(ge=0, le=1)] = 0.0,
        seed: int = 0,
        annotators: Annotated[int, Interval(ge=1, le=1000)] = 1,
    ) -> None:
        self.noise = noise
        self.seed = seed
        self.people: int = annotators

    @overrides
    def annotate(self, request: LabelRequest) -> list[NewLabel]:
        raise_problems("ground_truth", _problems(request))
        texts = map(request.task.text_of, request.items)
        names = [text for text in texts if text is not None]
        before = request.labeled_by
        people = [self._next(item.id, before.get(item.id, ())) for item in request.items]
        if self.noise > 0:
            names = self._with_noise(names, people, request)
        return [
            NewLabel(item.id, name, annotator=person, round=request.round, source=_NAME)
            for item, name, person in zip(request.items, names, people, strict=True)
        ]

    def _next(self, id: str, before: Sequence[str]) -> str:
        """Return the annotator who labels an image after others have."""
        if self.people == 1:
            return _NAME
        everyone = [f"{_NAME} {number}" for number in range(1, self.people + 1)]
        turns = id_uniforms([f"{person}/{id}" for person in everyone], self.seed)
        waiting = [
            person
            for _, person in sorted(zip(turns, everyone, strict=True))
            if person not in before
        ]
        if not waiting:
            raise DataError(f"{_NAME}: all {self.people} annotators have labeled {repr_json(id)}")
        return waiting[0]

    def _with_noise(
        self, names: Sequence[str], people: Sequence[str], request: LabelRequest
    ) -> list[str]:
        if request.classes is None:
            raise DataError(f"{_NAME}: label noise needs the list of classes, found none")
        classes = sorted(set(request.classes))
        # The text of a label is the name of its class where there is one class
        if any(request.task.problem(name) is not None for name in classes):
            raise DataError(
                f"{_NAME}: label noise is drawn among classes, so expected one class per image, "
                "found another kind of labels; set noise to 0"
            )
        if len(classes) < 2:
            raise DataError(f"{_NAME}: label noise needs two classes, found {repr_json(classes)}")
        # Salted: strategies break ties with the same seed and the bare ids
        items = zip(request.items, people, strict=True)
        ids = [item.id if self.people == 1 else f"{person}/{item.id}" for item, person in items]
        is_wrong = id_uniforms([f"is wrong/{id}" for id in ids], self.seed) < self.noise
        draws = id_uniforms([f"which/{id}" for id in ids], self.seed)
        return [
            _other_class(name, classes, draw) if wrong else name
            for name, wrong, draw in zip(names, is_wrong, draws, strict=True)
        ]


def _other_class(name: str, classes: Sequence[str], draw: float) -> str:
    # Never the right class: the share of wrong labels is the noise, whatever the number of classes
    others = [other for other in classes if other != name]
    return others[int(draw * len(others))]


def _problems(request: LabelRequest) -> Iterator[str]:
    allowed = None if request.classes is None else set(request.classes)
    for item in request.items:
        if not request.task.is_labeled(item):
            yield f"{repr_json(item.id)} has no label in the data set"
        elif allowed is not None:
            for name in sorted(set(request.task.classes_in(item)) - allowed):
                yield f"{repr_json(item.id)} has the label {repr_json(name)}, which is no class"
