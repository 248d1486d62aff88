"""Seeded hashes of ids, for ties and random numbers that do not depend on the pool's order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def id_hashes(ids: Iterable[str], seed: int) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each id, a function of the id and the seed only."""
    salted = hashlib.blake2b(seed.to_bytes(16, "big", signed=True), digest_size=8)
    digests = bytearray()
    for id in ids:
        hasher = salted.copy()
        hasher.update(id.encode("utf-8", "surrogateescape"))
        digests += hasher.digest()
    return np.frombuffer(bytes(digests), dtype=">u8").astype(np.uint64)


def id_uniforms(ids: Iterable[str], seed: int) -> NDArray[np.float64]:
    """Return a number in (0, 1) for each id, a function of the id and the seed only."""
    return ((id_hashes(ids, seed) >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def canonical_order(ids: Iterable[str], seed: int) -> NDArray[np.int64]:
    """Return the positions in an order that depends on the ids and the seed only.

    Whatever walks the pool in this order gives the same ids for every order of the pool.
    """
    return np.argsort(id_hashes(ids, seed), kind="stable").astype(np.int64)
