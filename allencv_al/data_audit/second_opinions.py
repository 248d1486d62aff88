"""Labels of several people: the weight of each, and the images that need another label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from allencv_al.labels.consensus import (
    NONE,
    Consensus,
    active_lab_scores,
    at_temperature,
    crowdlab,
    fitted_temperature,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A label that is as likely as not is worth another one
_LEAST_QUALITY = 0.5


@dataclass(frozen=True)
class AnnotatorFigures:
    """An annotator beside the others.

    Args:
        name: The annotator.
        labels: Number of labeled images.
        shared: Of these, with a label of another annotator.
        agreement: The share of those whose consensus is this annotator's label; None without any.
        weight: CROWDLAB's weight of a label: 1 for one that is never wrong, near 0 for chance.
        seconds: Median time of an answer; None if it was not measured.
    """

    name: str
    labels: int
    shared: int
    agreement: float | None
    weight: float
    seconds: float | None = None

    def __str__(self) -> str:
        agreement = "" if self.agreement is None else f", {self.agreement:.0%} as the consensus"
        seconds = "" if self.seconds is None else f", {self.seconds:.1f} s each"
        return f"{self.name}: {self.labels} labels{agreement}, weight {self.weight:.2f}{seconds}"


@dataclass(frozen=True)
class UnsureConsensus:
    """An image whose label should be asked about again.

    Args:
        row: Its row.
        label: The index of the most likely class.
        quality: The probability of that class.
        urgency: 1 minus ActiveLab's score: the higher, the more another label would help.
    """

    row: int
    label: int
    quality: float
    urgency: float


@dataclass(frozen=True, eq=False)
class SecondOpinions:
    """The labels of several people, compared with each other and with a model.

    Args:
        given: Class index of each image by each person, `[N, J]`, or `NONE`; at least one a row.
        people: The names of the people, `[J]`.
        probabilities: Those of models that did not learn from the image, `[N, C]`.
    """

    given: Ints
    people: Sequence[str]
    probabilities: Floats

    def annotators(self, seconds: Mapping[str, float]) -> list[AnnotatorFigures]:
        """Return the figures of each person.

        Args:
            seconds: The median time of an answer by name, where it was measured.
        """
        consensus = self._consensus
        is_given = self.given != NONE
        is_shared = is_given & (is_given.sum(axis=1) > 1)[:, None]
        agrees = self.given == consensus.labels[:, None]
        return [
            AnnotatorFigures(
                name,
                labels=int(is_given[:, place].sum()),
                shared=int(is_shared[:, place].sum()),
                agreement=float(agrees[is_shared[:, place], place].mean())
                if is_shared[:, place].any()
                else None,
                weight=float(consensus.annotator_weights[place]),
                seconds=seconds.get(name),
            )
            for place, name in enumerate(self.people)
        ]

    def unsure(self, in_force: Ints) -> Iterator[UnsureConsensus]:
        """Yield the images to ask about again.

        These are those whose most likely class is less likely than not, or is not the label in
        force.

        Args:
            in_force: The class index of the label of each image, `[N]`, or `NONE`.
        """
        consensus = self._consensus
        scores, _ = active_lab_scores(self.given, self._scaled, self._scaled[:0], temperature=1.0)
        is_unsure = (consensus.quality < _LEAST_QUALITY) | (consensus.labels != in_force)
        for row in np.flatnonzero(is_unsure).tolist():
            quality = float(consensus.quality[row])
            yield UnsureConsensus(row, int(consensus.labels[row]), quality, 1 - float(scores[row]))

    @cached_property
    def _scaled(self) -> Floats:
        temperature = fitted_temperature(self.given, self.probabilities)
        return at_temperature(self.probabilities, temperature)

    @cached_property
    def _consensus(self) -> Consensus:
        return crowdlab(self.given, self._scaled)
