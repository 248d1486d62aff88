"""Pairs of images that are one picture: resized, recompressed, brightened, cropped or mirrored.

Candidates are near by their embeddings, which a crop or a mirror hardly changes, or by their
pixels, which resizing and compression hardly change. A pair counts if the pixels agree, after a
search for the crop that makes one of the other. docs/results/data_audit.md has how many are found.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import groupby, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from allencv_al.data_audit.nearest_images import nearest_images, short_vectors
from allencv_al.selection.pool.rows import slices

Floats = NDArray[np.float32]
Places = NDArray[np.int64]

# Correlations from which two pictures are one: as they are, and after the search for a crop, which
# finds more agreement by chance and therefore asks for similar embeddings, too
_SAME_PIXELS = 0.935
_SAME_CROP = 0.935
_LEAST_COSINE = 0.55
_LEAST_COSINE_OF_EQUALS = 0.3  # two skies have the same 32 x 32 pixels, and other embeddings
_BY_EMBEDDING, _BY_PIXELS = 3, 2  # candidates of each image
# Cells of many images that are searched by pixels: of the pairs with a cosine of 0.9 or more among
# 30,000 of CIFAR-10, 99.8 % are found; 64 find 99.9 % in 1.5 times the time
_PROBES = 32

# The search for a crop: sides of the gray copies, with the least correlation to look at the next
_COARSE = ((8, 0.82), (16, 0.87))
_SMALLEST_CROP = 0.79  # of a side
_PAIRS_AT_A_TIME = 2048
_LEAST_SPREAD = 1e-5  # of the squares around the image's mean: a part with less is of one color


class NearPairs(NamedTuple):
    """Pairs of images that are one picture.

    Args:
        first: The place of one image of each pair, `[P]`.
        second: That of the other, larger one, `[P]`.
        correlation: The correlation of their pixels, at most 1, `[P]`.
    """

    first: Places
    second: Places
    correlation: Floats


def near_duplicates(
    embeddings: NDArray[np.floating[Any]], neighbors: Places, copies: NDArray[np.uint8]
) -> NearPairs:
    """Return the pairs of images that are one picture.

    Args:
        embeddings: `[N, D]`; may be memory-mapped.
        neighbors: The nearest images of each by embedding, nearest first, `[N, K]`.
        copies: Gray copies, `[N, 32, 32]`; images with equal content should be there once.
    """
    if len(copies) < 2:
        none = np.empty(0, np.int64)
        return NearPairs(none, none, np.empty(0, np.float32))
    pixels = copies.reshape(len(copies), -1)
    by_pixels, _ = nearest_images(_centered_vectors(pixels), _BY_PIXELS, _PROBES)
    first, second, is_near = _candidates(neighbors[:, :_BY_EMBEDDING], by_pixels)
    correlation = np.empty(len(first), np.float32)
    cosine = np.empty(len(first), np.float32)
    for part in slices(len(first), _PAIRS_AT_A_TIME):
        one, other = first[part], second[part]
        correlation[part] = _products(_normalized(pixels[one]), _normalized(pixels[other]))
        cosine[part] = _cosines(embeddings[one], embeddings[other])
    is_same = (correlation >= _SAME_PIXELS) & (cosine >= _LEAST_COSINE_OF_EQUALS)
    searched = np.flatnonzero(~is_same & is_near & (cosine >= _LEAST_COSINE))
    parts = [searched[part] for part in slices(len(searched), _PAIRS_AT_A_TIME)]
    # NumPy releases the interpreter's lock in most of the work
    with ThreadPoolExecutor(thread_name_prefix="pairs") as threads:
        found = threads.map(
            lambda rows: cropped_correlation(copies[first[rows]], copies[second[rows]]), parts
        )
        for rows, values in zip(parts, found, strict=True):
            correlation[rows] = values
    is_same[searched] = correlation[searched] >= _SAME_CROP
    return NearPairs(first[is_same], second[is_same], np.minimum(correlation[is_same], 1.0))


def cropped_correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Floats:
    """Return the largest correlation of each pair, if one is a crop of the other: `[P]`.

    Either may be the crop, of at least four fifths of each side, and mirrored. The search goes from
    small copies to larger ones; a pair that agrees too little at a small one is left there, with
    0.

    Args:
        one: Gray squares `[P, 32, 32]`.
        other: Likewise.
    """
    left = np.arange(len(one))
    case = box = np.empty(0, np.int64)
    for side, least in _COARSE:
        found, case, box = _search(_reduced(one[left], side), _reduced(other[left], side))
        kept = found >= least
        left, case, box = left[kept], case[kept], box[kept]
    best = np.zeros(len(one), np.float32)
    coarse = _boxes(_COARSE[-1][0])
    for number, place in np.unique(np.stack([case, box], axis=1), axis=0).tolist():
        rows = left[(case == number) & (box == place)]
        whole, crop = _case(one[rows].astype(np.float32), other[rows].astype(np.float32), number)
        best[rows], _ = _best_box(whole, crop, _finer(coarse[place], one.shape[1]))
    return best


class _Box(NamedTuple):
    """A part of a square, in its pixels."""

    height: int
    width: int
    top: int
    left: int


_CASES = 4  # which one is the crop, and whether it is mirrored


def _case(one: Floats, other: Floats, number: int) -> tuple[Floats, Floats]:
    """Return the whole image and the crop of one of four cases."""
    turned = other[:, :, ::-1] if number % 2 else other
    return (one, turned) if number < 2 else (turned, one)


def _search(one: Floats, other: Floats) -> tuple[Floats, Places, Places]:
    """Return the largest correlation of each pair, its case and the place of its box."""
    boxes = _boxes(one.shape[1])
    found = [_best_box(*_case(one, other, number), boxes) for number in range(_CASES)]
    values = np.stack([best for best, _ in found])
    places = np.stack([place for _, place in found])
    case = values.argmax(axis=0)
    pairs = np.arange(len(one))
    return values[case, pairs], case, places[case, pairs]


def _best_box(whole: Floats, crop: Floats, boxes: tuple[_Box, ...]) -> tuple[Floats, Places]:
    """Return the largest correlation of the crop with a part of the whole, and its box."""
    side = whole.shape[1]
    # Sums of squares less squares of sums lose digits far from 0
    whole = whole - whole.mean(axis=(1, 2), keepdims=True)
    values = whole.reshape(len(whole), side * side)
    inside = _inside(boxes, side)
    squares = values**2 @ inside
    spread = squares - (values @ inside) ** 2 / inside.sum(axis=0)
    products = np.empty_like(spread)
    for (height, width), group in groupby(enumerate(boxes), lambda one: one[1][:2]):
        # The crop at the size that it has within the whole
        resized = _averaging(side, height) @ crop @ _averaging(side, width).T
        # Its mean is 0, so that of the part need not be taken away
        expected = _normalized(resized.reshape(len(crop), height * width))
        for place, box in group:
            part = whole[:, box.top : box.top + height, box.left : box.left + width]
            products[:, place] = np.einsum("phw,phw->p", part, expected.reshape(part.shape))
    has_detail = spread > _LEAST_SPREAD * squares
    found = np.where(has_detail, products / np.sqrt(np.where(has_detail, spread, 1.0)), 0.0)
    best = found.argmax(axis=1)
    largest: Floats = found[np.arange(len(found)), best].astype(np.float32)
    return largest, best


@cache
def _inside(boxes: tuple[_Box, ...], side: int) -> Floats:
    """Return which pixels of a square are in each box, 1 or 0: `[side * side, B]`."""
    pixels = np.zeros((len(boxes), side, side), np.float32)
    for place, box in enumerate(boxes):
        pixels[place, box.top : box.top + box.height, box.left : box.left + box.width] = 1
    return pixels.reshape(len(boxes), -1).T.copy()


@cache
def _boxes(side: int) -> tuple[_Box, ...]:
    """Return all parts of a square that are large enough, by size."""
    sizes = range(int(_SMALLEST_CROP * side), side + 1)
    return tuple(
        _Box(height, width, top, left)
        for height, width in product(sizes, sizes)
        for top, left in product(range(side - height + 1), range(side - width + 1))
    )


@cache
def _finer(box: _Box, side: int) -> tuple[_Box, ...]:
    """Return the parts of a square of twice the side that are about a box, by size."""
    near = product((-1, 0, 1), repeat=len(box))
    boxes = {
        _Box(*(2 * value + more for value, more in zip(box, step, strict=True))) for step in near
    }
    return tuple(
        sorted(
            one
            for one in boxes
            if min(one.top, one.left) >= 0
            and max(one.top + one.height, one.left + one.width) <= side
        )
    )


@cache
def _averaging(side: int, size: int) -> Floats:
    """Return the matrix `[size, side]` that makes `size` means of `side` values."""
    edges = np.linspace(0, side, size + 1)[:, None]
    cells = np.arange(side)[None, :]
    shares = np.minimum(edges[1:], cells + 1) - np.maximum(edges[:-1], cells)
    weights = np.maximum(shares, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(weights, np.float32)


def _candidates(
    by_embedding: Places, by_pixels: Places
) -> tuple[Places, Places, NDArray[np.bool_]]:
    """Return each pair once, the smaller place first, and whether it is near by embedding."""
    count = len(by_embedding)
    keys = []
    for neighbors in (by_embedding, by_pixels):
        rows = np.repeat(np.arange(count), neighbors.shape[1])
        pair = np.stack([rows, neighbors.ravel()])
        keys.append(np.unique(pair.min(axis=0) * count + pair.max(axis=0)))
    pairs = np.union1d(*keys)
    is_near = np.isin(pairs, keys[0], assume_unique=True)
    return pairs // count, pairs % count, is_near


def _centered_vectors(pixels: NDArray[np.uint8]) -> Floats:
    rows = np.empty(pixels.shape, np.float32)
    for part in slices(len(pixels), _PAIRS_AT_A_TIME):
        rows[part] = _normalized(pixels[part])
    return short_vectors(rows, 64)


def _reduced(copies: NDArray[np.uint8], side: int) -> Floats:
    factor = copies.shape[1] // side
    blocks = copies.reshape(len(copies), side, factor, side, factor)
    means: Floats = blocks.mean(axis=(2, 4), dtype=np.float32)
    return means


def _normalized(rows: NDArray[Any]) -> Floats:
    """Return rows with mean 0 and length 1; a row of one value becomes zeros."""
    centered = rows - rows.mean(axis=1, keepdims=True, dtype=np.float32)
    lengths = np.linalg.norm(centered, axis=1, keepdims=True)
    units: Floats = centered / np.where(lengths > 0, lengths, 1.0)
    return units


def _cosines(one: NDArray[Any], other: NDArray[Any]) -> Floats:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray(_products(one, other) / np.where(lengths > 0, lengths, 1.0), np.float32)


def _products(one: NDArray[Any], other: NDArray[Any]) -> Floats:
    products: Floats = np.einsum("ij,ij->i", one, other)
    return products
