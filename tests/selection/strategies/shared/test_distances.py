"""Rows within a distance: the same answer as a plain loop in float64, whatever the block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from allencv_al.selection.strategies.shared.distances import (
    distances_to,
    near_any,
    nearest_other,
)

TINY_BUDGET = 1e-6


def rows_of(seed: int, count: int, offset: float, dtype: type) -> NDArray[np.floating]:
    """Return rows on a coarse grid, so that distances often are equal, far from the origin."""
    draws = np.random.default_rng(seed).integers(0, 3, (count, 3))
    return (draws + offset).astype(dtype)


@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 30),
    offset=st.sampled_from([0.0, 1000.0]),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    distance=st.sampled_from([0.0, 1.0, 2**0.5, 1.7]),
    budget=st.sampled_from([TINY_BUDGET, 512.0]),
)
def test_near_rows_are_those_of_a_plain_loop(
    seed: int, count: int, offset: float, dtype: type, distance: float, budget: float
) -> None:
    rows = rows_of(seed, count, offset, dtype)
    others = rows_of(seed + 1, 4, offset, dtype)
    plain = [
        any(np.linalg.norm(row.astype(float) - other.astype(float)) <= distance for other in others)
        for row in rows
    ]
    assert near_any(rows, np.arange(count), others, distance, budget).tolist() == plain


@given(
    seed=st.integers(0, 1000),
    count=st.integers(2, 30),
    offset=st.sampled_from([0.0, 1000.0]),
    budget=st.sampled_from([TINY_BUDGET, 512.0]),
)
def test_the_nearest_other_row_is_that_of_a_plain_loop(
    seed: int, count: int, offset: float, budget: float
) -> None:
    rows = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32) + np.float32(
        offset
    )
    rows[-1] = rows[0]
    sample = np.random.default_rng(seed).permutation(count)[: max(1, count // 2)]
    plain = [
        min(distances_to(rows[[j]], rows[i])[0] for j in range(count) if j != i) for i in sample
    ]
    assert nearest_other(rows, sample, budget).tolist() == plain


def test_what_is_alone_has_nothing_near() -> None:
    assert nearest_other(np.ones((1, 2)), np.array([0]), 1.0).tolist() == [np.inf]


@pytest.mark.parametrize("size", [1e18, 1e30])
def test_squares_too_large_for_float32_are_compared_all_the_same(size: float) -> None:
    rows = np.array([[size, size], [size, -size], [size, size]], np.float32)
    others = np.array([[1, 1], [size, size]], np.float32)
    for distance, expected in ((size / 2, [True, False, True]), (1.5 * size, [True] * 3)):
        for some in (others, others[:1], others[1:]):
            plain = [min(distances_to(some, row)) <= distance for row in rows]
            assert near_any(rows, np.arange(3), some, distance, 512.0).tolist() == plain
        assert near_any(rows, np.arange(3), others, distance, 512.0).tolist() == expected
    assert nearest_other(rows, np.array([0, 1]), 512.0)[0] == 0
    assert nearest_other(rows, np.array([1]), 512.0)[0] == pytest.approx(2 * size)
