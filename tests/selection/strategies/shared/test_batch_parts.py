"""Dividing the places of a batch by shares."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.selection.strategies.shared.batch_parts import apportion


@given(
    shares=st.lists(st.sampled_from([0.0, 1.0, 2.0, 5.0]), min_size=1, max_size=5),
    seed=st.integers(0, 1000),
)
def test_apportioned_places_are_all_given_and_none_beyond_what_is_there(
    shares: list[float], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    available = generator.integers(0, 6, len(shares))
    counts = generator.integers(0, 6, len(shares))
    sequence = apportion(np.array(shares), counts, available, int(available.sum()))
    assert np.bincount(sequence, minlength=len(shares)).tolist() == available.tolist()
    without = [index for index, share in enumerate(shares) if share == 0]
    with_share = sum(available) - sum(available[without])
    assert not set(sequence[: int(with_share)]) & set(without)


def test_ties_go_to_who_is_named_first() -> None:
    ones, none, many = np.ones(3), np.zeros(3, np.int64), np.full(3, 9)
    assert apportion(ones, none, many, 3, [2, 0, 1]) == [2, 0, 1]
