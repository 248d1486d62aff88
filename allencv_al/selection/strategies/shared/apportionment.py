"""Dividing the places of a batch by shares, one place after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Above every ratio of a count to a positive share, and below infinity, which stands for "full"
_AFTER_ALL_SHARES = 1e200


def apportion(
    shares: NDArray[np.float64],
    counts: NDArray[np.int64],
    available: NDArray[np.int64],
    places: int,
    first_of_ties: Sequence[int] | NDArray[np.int64] | None = None,
) -> list[int]:
    """Return for each place whose it is, so that counts come near to the shares at every point.

    Each place goes to whoever has the least (count + 1/2) / share, the divisor method of Webster
    and Sainte-Laguë. Who has a share of 0 gets a place only when all others are full.

    Args:
        shares: What each should have, at least 0, `[n]`; only their ratios matter.
        counts: What each has already, `[n]`.
        available: How many more each can get, `[n]`, together at least `places`.
        places: How many to divide.
        first_of_ties: All of 0 to n - 1, the winners of ties first; as counted if None.
    """
    order = np.arange(len(shares)) if first_of_ties is None else np.asarray(first_of_ties)
    share, left = shares[order].astype(np.float64), available[order].astype(np.int64)
    weight = np.full(len(share), _AFTER_ALL_SHARES)
    np.divide(1.0, share, out=weight, where=share > 0)
    have = counts[order] + 0.5
    priority = np.where(left > 0, have * weight, np.inf)
    sequence: list[int] = []
    for _ in range(places):
        winner = int(priority.argmin())
        have[winner] += 1
        left[winner] -= 1
        priority[winner] = have[winner] * weight[winner] if left[winner] > 0 else np.inf
        sequence.append(int(order[winner]))
    return sequence
