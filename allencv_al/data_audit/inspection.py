"""`audit_images`: all findings about the images of a data set."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import DataError
from allencv_al.common.names import listed
from allencv_al.data.image_io import load_image
from allencv_al.data.instance import Instance
from allencv_al.data_audit.audited_images import AuditedImage
from allencv_al.data_audit.copies_in_splits import Copies, CopyFinding
from allencv_al.data_audit.findings import Finding, FindingKind, Suggestion, most_certain_first
from allencv_al.data_audit.image_checks import odd_images, outliers, rare_classes
from allencv_al.data_audit.image_facts import FoundFacts, ImageFacts, facts_of_images
from allencv_al.data_audit.label_quality import (
    likely_errors,
    likely_errors_of_classes,
    self_confidence,
)
from allencv_al.data_audit.near_duplicates import near_duplicates
from allencv_al.data_audit.nearest_images import nearest_images, short_vectors
from allencv_al.data_audit.second_opinions import AnnotatorFigures, SecondOpinions
from allencv_al.labels.consensus import NONE, majority_labels
from allencv_al.predictors.predictor import Predictor
from allencv_al.selection.pool.pool_scorer import DEFAULT_OPTIONS, ScoringOptions
from allencv_al.selection.pool.scoring import compute_outputs
from allencv_al.tasks.base import LabelTask
from allencv_al.tasks.multi_label import tags_text
from allencv_al.training.heads.held_out_predictions import held_out_probabilities

logger = logging.getLogger(__name__)

_NEIGHBORS = 10
_FEWEST_FOR_NEIGHBORS = 20  # images; a few are all far from each other
# Of the gray copies; a JPEG's may come from a smaller decoding
_MAYBE_EQUAL = 0.995
_LEAST_OF_A_CLASS = 2  # images: one is learned from while the other is held out


@dataclass(frozen=True)
class DataAudit:
    """The result of an audit.

    Args:
        findings: The findings, most certain first.
        images: The number of images.
        labeled: Of these, with a label.
        audited_labels: Of these, whose label was compared with predictions.
        instances: The images by id.
        notes: Facts that a reader must know.
        annotators: Each of several annotators beside the others; empty for one.
    """

    findings: list[Finding]
    images: int
    labeled: int
    audited_labels: int
    instances: dict[str, Instance]
    notes: list[str] = field(default_factory=list)
    annotators: list[AnnotatorFigures] = field(default_factory=list)

    def only(self, kinds: Collection[str]) -> DataAudit:
        """Return the audit with the findings of some kinds; of all for none."""
        kept = [one for one in self.findings if not kinds or one.kind in kinds]
        return replace(self, findings=kept)

    def counts(self) -> dict[str, int]:
        """Return the number of findings by kind."""
        return dict(Counter(one.kind for one in self.findings))


def audit_images(
    images: Sequence[AuditedImage],
    predictor: Predictor,
    options: ScoringOptions = DEFAULT_OPTIONS,
    seconds: Mapping[str, float] | None = None,
) -> DataAudit:
    """Return what may be wrong with images and their labels.

    Each image is decoded for its facts and for its embedding; with `options.store` once for all
    audits. Labels are compared with probabilities of heads on other images: a model that has
    learned from the labels would only repeat them.

    Args:
        images: The images, of all splits.
        predictor: Gives the embeddings.
        options: Options of their computation.
        seconds: The median time of an answer by annotator, where several label.

    Raises:
        DataError: There is no image, or none can be read.
    """
    return _Audit(images, predictor, options, seconds or {}).run()


class _Audit:
    def __init__(
        self,
        images: Sequence[AuditedImage],
        predictor: Predictor,
        options: ScoringOptions,
        seconds: Mapping[str, float],
    ) -> None:
        self._images = images
        self._predictor = predictor
        self._options = options
        self._seconds = seconds
        self._notes: list[str] = []

    def run(self) -> DataAudit:
        instances = [image.instance for image in self._images]
        if not instances:
            raise DataError("there are no images to audit")
        found = facts_of_images(instances, self._options.store)
        unreadable = {instances[place].id: cause for place, cause in found.unreadable.items()}
        readable = [instances[place] for place in found.readable.tolist()]
        outputs = compute_outputs([self._predictor], readable, {"embeddings"}, None, self._options)
        unreadable |= outputs.unreadable
        if outputs.embeddings is None or not len(outputs.ids):
            id, cause = next(iter(unreadable.items()))
            raise DataError(f"none of the {len(instances)} images can be read; {id}: {cause}")
        place_of = {instance.id: place for place, instance in enumerate(instances)}
        places = np.array([place_of[id] for id in outputs.ids], np.int64)
        facts = found.facts.take(np.searchsorted(found.readable, places))
        short = short_vectors(outputs.embeddings)
        copies, cosines = self._copies(found, places, facts, outputs.embeddings, short)
        errors, audited = self._label_errors(places, short, copies)
        opinions, annotators = self._second_opinions(places, short, copies)
        findings = [
            *(
                self._finding("unreadable", place_of[id], 1.0, cause, "drop")
                for id, cause in unreadable.items()
            ),
            *(self._of_copy(copy) for copy in copies.findings(self._images)),
            *errors,
            *opinions,
            *self._split_groups(),
            *self._rare_classes(),
            *self._odd(places, facts, cosines),
        ]
        return DataAudit(
            most_certain_first(findings),
            images=len(instances),
            labeled=sum(one.is_labeled for one in instances),
            audited_labels=audited,
            instances={one.id: one for one in instances},
            notes=self._notes,
            annotators=annotators,
        )

    def _copies(
        self,
        found: FoundFacts,
        places: NDArray[np.int64],
        facts: ImageFacts,
        embeddings: NDArray[np.floating[Any]],
        short: NDArray[np.float32],
    ) -> tuple[Copies, NDArray[np.float32]]:
        """Return the copies, and the cosines of each readable image with its nearest ones."""
        copies = Copies(len(self._images))
        firsts = copies.add_equal_contents(found.contents)
        # Copies would take the places of neighbors, and change nothing
        rows = np.flatnonzero(np.isin(places, firsts))
        if len(rows) < 2:
            return copies, np.ones((len(places), 1), np.float32)
        neighbors, cosines = nearest_images(short[rows], _NEIGHBORS)
        pairs = near_duplicates(embeddings[rows], neighbors, facts.copies[rows])
        for first, second, correlation in zip(*pairs, strict=True):
            one, other = int(rows[first]), int(rows[second])
            copies.add(
                int(places[one]),
                int(places[other]),
                float(correlation),
                correlation >= _MAYBE_EQUAL and self._has_equal_pixels(facts, places, one, other),
            )
        of_all = np.ones((len(places), cosines.shape[1]), np.float32)
        of_all[rows] = cosines
        return copies, of_all

    def _has_equal_pixels(
        self, facts: ImageFacts, places: NDArray[np.int64], one: int, other: int
    ) -> bool:
        """Return whether two files hold the same pixels, as a PNG and a BMP may."""
        if not np.array_equal(facts.sizes[one], facts.sizes[other]):
            return False
        first, second = (
            load_image(self._images[int(places[row])].instance.image) for row in (one, other)
        )
        return np.array_equal(first, second)

    def _label_errors(
        self, places: NDArray[np.int64], short: NDArray[np.float32], copies: Copies
    ) -> tuple[list[Finding], int]:
        instances = [self._images[place].instance for place in places.tolist()]
        if any(one.labels is not None for one in instances):
            return self._errors_of_classes(places, short, copies)
        labels = [one.label for one in instances]
        if not any(labels) and any(one.is_labeled for one in instances):
            self._notes.append(
                "Boxes and masks were not compared with predictions: only images and copies were "
                "audited."
            )
        counts = Counter(label for label in labels if label is not None)
        names = sorted(name for name, count in counts.items() if count >= _LEAST_OF_A_CLASS)
        few = sorted(set(counts) - set(names))
        if few:
            self._notes.append(
                "The labels of classes with a single image were not compared with predictions: "
                f"{listed(few)}."
            )
        if len(names) < 2:
            if counts:
                self._notes.append("Labels were not audited: that takes two classes or more.")
            return [], 0
        index = {name: number for number, name in enumerate(names)}
        rows = np.array([row for row, label in enumerate(labels) if label in index], np.int64)
        given = np.array([index[str(labels[row])] for row in rows.tolist()], np.int64)
        groups = copies.groups(self._images)
        probabilities = held_out_probabilities(
            short[rows], given, [groups[places[row]] for row in rows.tolist()]
        )
        confidence = self_confidence(given, probabilities)
        best = probabilities.argmax(axis=1)
        is_error = likely_errors(given, probabilities)
        findings = []
        for row in np.flatnonzero(is_error).tolist():
            name, share = names[best[row]], probabilities[row, best[row]]
            detail = f"predicted {name} ({share:.0%}); its label has {confidence[row]:.1%}"
            score = 1 - float(confidence[row])
            place = int(places[rows[row]])
            findings.append(self._finding("label_error", place, score, detail, "relabel", name))
        return findings, len(rows)

    def _errors_of_classes(
        self, places: NDArray[np.int64], short: NDArray[np.float32], copies: Copies
    ) -> tuple[list[Finding], int]:
        """Compare each class of images with several by itself: it is there, or it is not."""
        rows = np.array(
            [
                row
                for row, place in enumerate(places.tolist())
                if self._images[place].instance.labels is not None
            ],
            np.int64,
        )
        given = [self._images[place].instance.labels or () for place in places[rows].tolist()]
        counts = Counter(name for names in given for name in set(names))
        least = _LEAST_OF_A_CLASS
        names = [name for name in sorted(counts) if least <= counts[name] <= len(rows) - least]
        if few := sorted(set(counts) - set(names)):
            self._notes.append(
                "Classes that a single image has, or nearly all have, were not compared with "
                f"predictions: {listed(few)}."
            )
        if not names:
            return [], 0
        shown = np.array([[name in own for name in names] for own in given])
        every = copies.groups(self._images)
        groups = [every[place] for place in places[rows].tolist()]
        odds = [
            held_out_probabilities(short[rows], own.astype(np.int64), groups) for own in shown.T
        ]
        probabilities = np.stack([of_class[:, 1] for of_class in odds], axis=1)
        is_error = likely_errors_of_classes(shown, probabilities)
        findings = []
        for row in np.flatnonzero(is_error.any(axis=1)).tolist():
            wrong = np.flatnonzero(is_error[row]).tolist()
            certainties = np.where(shown[row], 1 - probabilities[row], probabilities[row])
            parts = [
                f"{names[column]} is {'said' if shown[row, column] else 'missing'} "
                f"(predicted {probabilities[row, column]:.0%})"
                for column in wrong
            ]
            changed = set(given[row]) ^ {names[column] for column in wrong}
            findings.append(
                self._finding(
                    "label_error",
                    int(places[rows[row]]),
                    float(certainties[wrong].max()),
                    "; ".join(parts),
                    "relabel",
                    tags_text(changed),
                )
            )
        return findings, len(rows)

    def _second_opinions(
        self, places: NDArray[np.int64], short: NDArray[np.float32], copies: Copies
    ) -> tuple[list[Finding], list[AnnotatorFigures]]:
        """Return the images that several people should label again, and the figures of each."""
        given = [self._images[place].given for place in places.tolist()]
        rows = np.flatnonzero([bool(of) for of in given])
        names = sorted({name for of in given for name in of.values()})
        people = sorted({person for of in given for person in of})
        if len(names) < 2 or not any(len(of) > 1 for of in given):
            return [], []
        index = {name: number for number, name in enumerate(names)}
        numbers = np.array(
            [[index.get(given[row].get(one, ""), NONE) for one in people] for row in rows.tolist()]
        )
        groups = copies.groups(self._images)
        majority = majority_labels(numbers, len(names))
        probabilities = np.full((len(rows), len(names)), 1 / len(names))
        if len(np.unique(majority)) > 1:
            parts = [groups[places[row]] for row in rows.tolist()]
            predicted = held_out_probabilities(short[rows], majority, parts)
            probabilities[:] = 0
            probabilities[:, : predicted.shape[1]] = predicted  # the last may be no majority's
        found = SecondOpinions(numbers, people, probabilities)
        labels = [self._images[places[row]].instance.label for row in rows.tolist()]
        in_force = np.array([index.get(label or "", NONE) for label in labels])
        findings = []
        for one in found.unsure(in_force):
            name = names[one.label]
            said = ", ".join(f"{who}: {what}" for who, what in sorted(given[rows[one.row]].items()))
            findings.append(
                self._finding(
                    "second_opinion",
                    int(places[rows[one.row]]),
                    one.urgency,
                    f"{said}; most likely {name} ({one.quality:.0%})",
                    "check" if name == labels[one.row] else "relabel",
                    "" if name == labels[one.row] else name,
                )
            )
        return findings, found.annotators(self._seconds)

    def _of_copy(self, copy: CopyFinding) -> Finding:
        other = self._images[copy.other]
        where = f" in {other.split}" if other.split else ""
        called = "" if other.label is None else f", labeled {other.label}"
        how = "equal to" if copy.is_exact else f"nearly equal ({copy.score:.2f}) to"
        suggestion: Suggestion = "check" if copy.kind == "contradiction" else "drop"
        return self._finding(
            copy.kind,
            copy.place,
            copy.score,
            f"{how} {other.instance.id}{where}{called}",
            suggestion,
            other=_path(other.instance) or other.instance.id,
        )

    def _split_groups(self) -> Iterator[Finding]:
        members: dict[str, list[int]] = defaultdict(list)
        for place, image in enumerate(self._images):
            if image.group:
                members[image.group].append(place)
        for group, places in sorted(members.items()):
            counts = Counter(self._images[place].split for place in places)
            if len(counts) > 1:
                # The images of the smallest part would have to move
                smallest = min(sorted(counts), key=lambda split: counts[split])
                shown = ", ".join(f"{n} in {split or 'no split'}" for split, n in counts.items())
                for place in places:
                    if self._images[place].split == smallest:
                        detail = f"group {group}: {shown}"
                        yield self._finding("split_group", place, 1.0, detail, "drop")

    def _rare_classes(self) -> Iterator[Finding]:
        # Validation and test sets may be as they are: a model learns from the training images
        splits = {image.split for image in self._images}
        learned = {"train"} if "train" in splits else splits
        task = LabelTask.of_instances([image.instance for image in self._images])
        images = [
            image.instance
            for image in self._images
            if image.split in learned and image.instance.is_labeled
        ]
        shown = [name for image in images for name in set(task.classes_in(image))]
        for name, count, score in rare_classes(shown):
            detail = f"{count} of {len(images)} labeled images"
            yield Finding("class_balance", score, label=name, suggestion="label", detail=detail)

    def _odd(
        self, places: NDArray[np.int64], facts: ImageFacts, cosines: NDArray[np.float32]
    ) -> Iterator[Finding]:
        odd = list(odd_images(facts))
        if len(places) >= _FEWEST_FOR_NEIGHBORS:
            odd += outliers(cosines)
        for kind, row, score, detail in odd:
            yield self._finding(kind, int(places[row]), score, detail)

    def _finding(
        self,
        kind: FindingKind,
        place: int,
        score: float,
        detail: str,
        suggestion: Suggestion = "check",
        suggested_label: str = "",
        other: str = "",
    ) -> Finding:
        image = self._images[place]
        return Finding(
            kind,
            score,
            id=image.instance.id,
            path=_path(image.instance),
            split=image.split,
            label=image.label or "",
            suggestion=suggestion,
            suggested_label=suggested_label,
            other=other,
            detail=detail,
        )


def _path(instance: Instance) -> str:
    image = instance.image
    return str(image) if isinstance(image, str | Path) else ""
