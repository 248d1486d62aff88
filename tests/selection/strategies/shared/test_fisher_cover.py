"""The cover of Fisher information, beside a twin that forms and inverts every matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.shared.canonical_rows import CanonicalRows
from allencv_al.selection.strategies.shared.fisher_cover import FisherCover, ScaledBlocks

WIDTH, LABELED, BATCH, REGULARIZATION = 3, 4, 5, 2e-3


def rows_of(count: int, seed: int = 0) -> CanonicalRows:
    embeddings = np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)
    return CanonicalRows(Pool([str(place) for place in range(count)], embeddings=embeddings), 0)


def cover_and_value(
    count: int, parts: int, rank: int
) -> tuple[FisherCover, Callable[[Iterable[int]], float]]:
    """Return a cover, and tr(M⁻¹F) of chosen items by its definition."""
    generator = np.random.default_rng(count + parts)
    rows = rows_of(count)
    labeled = generator.normal(size=(LABELED, WIDTH)).astype(np.float32)
    factors, of_labeled = (
        generator.normal(size=(n, parts, rank)).astype(np.float32) for n in (count, LABELED)
    )
    cover = FisherCover(
        *(ScaledBlocks(rows, count, 1.0), factors, labeled, of_labeled),
        *(count, count, BATCH, REGULARIZATION),
    )

    def informations(factors: NDArray, rows: NDArray) -> list[NDArray]:
        return [np.kron(b @ b.T, np.outer(x, x)) for b, x in zip(factors, rows, strict=True)]

    known = informations(of_labeled.astype(float), labeled.astype(float))
    every = informations(factors.astype(float), rows.take(slice(None)).astype(float))
    fisher = sum([*known, *every]) / (count + LABELED)
    start = REGULARIZATION * np.trace(fisher) * np.eye(parts * WIDTH)
    start += sum(known) / (LABELED + BATCH)

    def value(chosen: Iterable[int]) -> float:
        added = sum(every[place] for place in chosen) * (BATCH / (LABELED + BATCH))
        return float(np.trace(np.linalg.solve(start + added, fisher)))

    return cover, value


# 400 candidates are more than 10 for each dimension: eigenvectors, then
@pytest.mark.parametrize(("parts", "rank"), [(1, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("count", [25, 400])
def test_each_choice_reduces_the_objective_most(count: int, parts: int, rank: int) -> None:
    cover, value = cover_and_value(count, parts, rank)
    for _ in range(4):
        before = list(cover.chosen)
        cover.choose()
        left = [place for place in range(count) if place not in before]
        values = [value([*before, place]) for place in left]
        assert cover.chosen == [*before, left[int(np.argmin(values))]]
        assert cover.gains[-1] == pytest.approx(value(before) - min(values), rel=1e-4)


@pytest.mark.parametrize(("parts", "rank"), [(1, 1), (2, 2)])
def test_what_raises_the_objective_least_is_dropped(parts: int, rank: int) -> None:
    cover, value = cover_and_value(40, parts, rank)
    for _ in range(8):
        cover.choose()
    expected = list(cover.chosen)
    while len(expected) > 4:
        rest = [value(expected[:place] + expected[place + 1 :]) for place in range(len(expected))]
        del expected[int(np.argmin(rest))]
    cover.drop_to(4)
    assert cover.chosen == expected and len(cover.gains) == 4


def test_blocks_are_the_same_whether_they_are_kept_or_not() -> None:
    rows = rows_of(2500)
    kept, scaled = ScaledBlocks(rows, 2100, 1.0), ScaledBlocks(rows, 2100, 0.0)
    for count in (1, 1024, 1500, 2100):
        blocks = list(kept.first(count))
        assert [part.stop - part.start for part, _ in blocks] == [len(b) for _, b in blocks]
        joined = np.concatenate([block for _, block in blocks])
        assert np.array_equal(joined, rows.take(slice(0, count)))
        assert np.array_equal(joined, np.concatenate([block for _, block in scaled.first(count)]))
    assert np.array_equal(kept.row(7), rows.take(slice(7, 8))[0])
