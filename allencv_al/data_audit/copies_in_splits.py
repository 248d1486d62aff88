"""Copies of images: groups of them, and which are leaks, contradictions or only duplicates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from allencv_al.data_audit.audited_images import AuditedImage, split_rank
from allencv_al.data_audit.findings import FindingKind


class CopyFinding(NamedTuple):
    """An image that is a copy of another one.

    Args:
        kind: `leak`, `contradiction`, `exact_duplicate` or `near_duplicate`.
        place: The place of the image: of the two that of the later split, or the later place.
        other: That of the image that it copies.
        score: The correlation of their pixels.
        is_exact: Whether all pixels are equal.
    """

    kind: FindingKind
    place: int
    other: int
    score: float
    is_exact: bool


class _Link(NamedTuple):
    """A pair of different contents that are one picture, from one side."""

    other: int
    score: float
    is_exact: bool


class Copies:
    """The copies among images, by their places.

    Args:
        count: The number of images.
    """

    def __init__(self, count: int) -> None:
        self._first = list(range(count))
        self._links: dict[int, list[_Link]] = defaultdict(list)

    def add_equal_contents(self, contents: Sequence[bytes | None]) -> NDArray[np.int64]:
        """Join images of equal contents; return the first place of each content.

        Args:
            contents: A digest of each image; None for one that equals no other.
        """
        seen: dict[bytes, int] = {}
        for place, content in enumerate(contents):
            if content is not None:
                self._first[place] = seen.setdefault(content, place)
        return np.unique(self._first)

    def add(self, one: int, other: int, score: float, is_exact: bool) -> None:
        """Add a pair of images with different contents that are one picture."""
        first, second = self._first[one], self._first[other]
        score = 1.0 if is_exact else score
        self._links[first].append(_Link(second, score, is_exact))
        self._links[second].append(_Link(first, score, is_exact))

    def findings(self, images: Sequence[AuditedImage]) -> Iterator[CopyFinding]:
        """Yield up to two findings for each image that copies an earlier one.

        A copy in a later split than its original is a leak; one of another label is a contradiction
        as well. Of several originals the most similar is named.

        Args:
            images: The images.
        """
        shown = self._originals(images)
        for place, image in enumerate(images):
            first = self._first[place]
            links = [_Link(first, 1.0, True), *self._links[first]]
            earlier = [
                _Link(other, link.score, link.is_exact)
                for link in links
                for other in shown[link.other]
                if _rank(images, other) < _rank(images, place)
            ]
            # Of equally similar ones the earliest
            earlier.sort(key=lambda link: (-link.score, _rank(images, link.other)))
            across = [one for one in earlier if images[one.other].split != image.split]
            label = image.label
            contrary = [
                one
                for one in earlier
                if None not in (label, images[one.other].label) and label != images[one.other].label
            ]
            if across:
                yield CopyFinding("leak", place, *across[0])
            elif earlier and not contrary:
                is_exact = earlier[0].is_exact
                kind: FindingKind = "exact_duplicate" if is_exact else "near_duplicate"
                yield CopyFinding(kind, place, *earlier[0])
            if contrary:
                yield CopyFinding("contradiction", place, *contrary[0])

    def groups(self, images: Sequence[AuditedImage]) -> list[str]:
        """Return a name for each image that its copies, and the images of its group, have too."""
        roots = _Roots(len(images))
        of_group: dict[str, int] = {}
        for place, image in enumerate(images):
            roots.join(place, self._first[place])
            if image.group:
                roots.join(place, of_group.setdefault(image.group, place))
        for first, links in self._links.items():
            for link in links:
                roots.join(first, link.other)
        return [images[roots.of(place)].instance.id for place in range(len(images))]

    def _originals(self, images: Sequence[AuditedImage]) -> dict[int, list[int]]:
        """Return one image for each split and label of a content, by its first place."""
        found: dict[int, dict[tuple[str, str | None], int]] = defaultdict(dict)
        for place, image in enumerate(images):
            key = image.split, image.label
            found[self._first[place]].setdefault(key, place)
        return {first: list(places.values()) for first, places in found.items()}


class _Roots:
    """Groups of numbers that are joined pair by pair."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def of(self, number: int) -> int:
        while self._above[number] != number:
            self._above[number] = number = self._above[self._above[number]]
        return number

    def join(self, one: int, other: int) -> None:
        first, second = sorted((self.of(one), self.of(other)))
        self._above[second] = first


def _rank(images: Sequence[AuditedImage], place: int) -> tuple[int, str, int]:
    split = images[place].split
    return (*split_rank(split), place)
