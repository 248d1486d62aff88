"""Facts of images that one decoding gives: size, brightness, sharpness and a small gray copy."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from allencv_al.common.errors import ImageDecodeError
from allencv_al.common.progress import Progress
from allencv_al.data.image_io import image_size, load_reduced
from allencv_al.data.instance import Instance
from allencv_al.selection.pool.embedding_store import EmbeddingStore, StoredRows
from allencv_al.selection.pool.fingerprints import digest
from allencv_al.selection.pool.image_digests import ImageDigests
from allencv_al.selection.pool.rows import slices

logger = logging.getLogger(__name__)

FloatRow: TypeAlias = NDArray[np.float32]

SIDE = 32
"""Height and width of the gray copies."""

_MEASURED_SIDE = 128  # of the longer side: sharpness means the same for every size from there on
_FIGURES = 5  # width, height, dark end, bright end, sharpness
_BLOCK = 1024
_ABOUT = {"model": "image facts", "image_size": [SIDE, SIDE], "precision": "gray"}
_KEY = digest("image facts", "1", str(SIDE), str(_MEASURED_SIDE))
_BRIGHT_END, _DARK_END = 99, 5  # percentiles
_FLAT = 1.0  # of 255: below, an image has no edges to be sharp


@dataclass(frozen=True)
class ImageFacts:
    """Facts of images.

    Args:
        sizes: Width and height in pixels, `[N, 2]`.
        brightest: The 99th percentile of the gray values, 0 to 1, `[N]`.
        darkest: The 5th percentile, `[N]`.
        sharpness: Standard deviation of the Laplacian in that of the gray values, `[N]`; NaN for
            an image of one color.
        copies: The images as gray squares, uint8 `[N, 32, 32]`; their proportions are lost.
    """

    sizes: NDArray[np.int64]
    brightest: NDArray[np.float32]
    darkest: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    copies: NDArray[np.uint8]

    def take(self, rows: NDArray[np.int64]) -> ImageFacts:
        """Return the facts of some images."""
        return ImageFacts(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True)
class FoundFacts:
    """The facts of the readable images, and what is known of all.

    Args:
        facts: Of the readable images, in order.
        readable: Their places, `[n]`.
        contents: A digest of the content of each image; None where there is none.
        unreadable: The cause by place.
    """

    facts: ImageFacts
    readable: NDArray[np.int64]
    contents: list[bytes | None]
    unreadable: dict[int, str]


def facts_of_images(
    instances: Sequence[Instance],
    store: EmbeddingStore | None = None,
    num_threads: int | None = None,
    description: str | None = "measuring",
) -> FoundFacts:
    """Return facts of images; each content is decoded once, and never again with a store.

    Args:
        instances: The images.
        store: The store that keeps facts by content.
        num_threads: Number of threads that decode.
        description: Text of the progress bar; None for no bar.
    """
    with ImageDigests(None if store is None else store.memo, num_threads) as digests:
        work = _Measuring(instances, digests)
        if store is not None:
            work.read(store.encoder(_KEY, _ABOUT))
        with ThreadPoolExecutor(num_threads or min(os.cpu_count() or 1, 16), "facts") as threads:
            work.measure(threads, description)
    if store is not None:
        store.trim()
    return work.found()


class _Measuring:
    """One call: facts by place, and the places whose content came before."""

    def __init__(self, instances: Sequence[Instance], digests: ImageDigests) -> None:
        self._instances = instances
        self._digests = digests
        self._contents = digests.of(instances)
        self._stored: StoredRows | None = None
        first: dict[bytes, int] = {}
        self._first = np.array(
            [
                place if content is None else first.setdefault(content, place)
                for place, content in enumerate(self._contents)
            ],
            np.int64,
        )
        self._figures = np.zeros((len(instances), _FIGURES), np.float32)
        self._copies = np.zeros((len(instances), SIDE, SIDE), np.uint8)
        self._known = np.zeros(len(instances), bool)
        self._unreadable: dict[int, str] = {}

    def read(self, stored: StoredRows) -> None:
        """Take what the store has."""
        stored.refresh()
        self._stored = stored
        firsts = np.unique(self._first).tolist()
        places = np.array([place for place in firsts if self._contents[place]], np.int64)
        keys = [key for place in places.tolist() if (key := self._contents[place]) is not None]
        for positions, rows in stored.read(keys):
            self._fill(places[positions], rows)

    def measure(self, threads: ThreadPoolExecutor, description: str | None) -> None:
        """Decode what is not known yet, and keep it block by block, so that a kill loses little."""
        firsts = np.unique(self._first)
        new = firsts[~self._known[firsts]]
        with (
            nullcontext()
            if description is None
            else Progress(description, len(new), "images") as progress
        ):
            for part in slices(len(new), _BLOCK):
                places = new[part].tolist()
                images = [self._instances[place] for place in places]
                rows: dict[int, FloatRow] = {}
                for place, found in zip(places, threads.map(_measured, images), strict=True):
                    if isinstance(found, str):
                        self._unreadable[place] = found
                    else:
                        rows[place] = found
                if rows:
                    self._fill(np.array(list(rows), np.int64), np.stack(list(rows.values())))
                    self._keep(rows)
                if progress is not None:
                    progress.advance(len(places))

    def found(self) -> FoundFacts:
        """Return the facts; an image has those of the first one of its content."""
        readable = np.flatnonzero(self._known[self._first])
        chosen = self._first[readable]
        figures = self._figures[chosen]
        facts = ImageFacts(
            sizes=figures[:, :2].astype(np.int64),
            brightest=figures[:, 2].copy(),
            darkest=figures[:, 3].copy(),
            sharpness=figures[:, 4].copy(),
            copies=self._copies[chosen],
        )
        unreadable = {
            place: self._unreadable[first]
            for place, first in enumerate(self._first.tolist())
            if first in self._unreadable
        }
        return FoundFacts(facts, readable, self._contents, unreadable)

    def _fill(self, places: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        self._figures[places] = rows[:, :_FIGURES]
        self._copies[places] = rows[:, _FIGURES:].reshape(-1, SIDE, SIDE)
        self._known[places] = True

    def _keep(self, rows: Mapping[int, FloatRow]) -> None:
        """Put new facts into the store, but for images that have changed since they were read."""
        if self._stored is None:
            return
        kept = {
            key: row
            for place, row in rows.items()
            if (key := self._contents[place]) is not None
            and self._digests.is_unchanged(self._instances[place])
        }
        try:
            self._stored.append(list(kept), np.array(list(kept.values()), np.float32))
        except OSError as error:  # a full disk costs the store, not the facts of this call
            self._stored = None
            logger.warning("facts of images cannot be kept: %s", error.strerror or error)


def _measured(instance: Instance) -> FloatRow | str:
    """Return the facts of an image as a row `[5 + 1024]`, or why it cannot be read."""
    image = instance.image
    try:
        pixels = load_reduced(image, _MEASURED_SIDE)
        size = pixels.shape[1::-1]
        if isinstance(image, str | Path | bytes):  # it may have been decoded at a part of its size
            size = image_size(image)
    except ImageDecodeError as error:
        return error.cause
    gray = Image.fromarray(pixels).convert("L")
    small = np.asarray(_at_most(gray, _MEASURED_SIDE), np.float32)
    bright, dark = np.percentile(small, [_BRIGHT_END, _DARK_END]) / 255
    # An area's mean where there are more pixels than are kept: each of them counts
    is_larger = min(gray.size) >= SIDE
    method = Image.Resampling.BOX if is_larger else Image.Resampling.BILINEAR
    square = np.asarray(gray.resize((SIDE, SIDE), method), np.float32)
    return np.concatenate([[*size, bright, dark, _sharpness(small)], square.ravel()]).astype(
        np.float32
    )


def _at_most(gray: Image.Image, side: int) -> Image.Image:
    factor = side / max(gray.size)
    if factor >= 1:
        return gray
    width, height = (max(1, round(length * factor)) for length in gray.size)
    return gray.resize((width, height), Image.Resampling.BOX)


def _sharpness(gray: NDArray[np.float32]) -> float:
    spread = float(gray.std())
    if min(gray.shape) < 3 or spread < _FLAT:
        return float("nan")
    inner = gray[1:-1, 1:-1]
    neighbors = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:]
    return float((4 * inner - neighbors).std()) / spread
