"""`CanonicalRows`: the pool's rows in an order, and in blocks, that only ids and seed decide."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.id_hash import canonical_order
from allencv_al.selection.pool.unlabeled_pool import FloatArray, Pool

_ROWS_PER_BLOCK = 1024
_CENTER_FROM = 10_000


class CanonicalRows:
    """Gives the embeddings of a pool in canonical order, as float32 less their center.

    The last bits of a matrix product depend on the shape of the product. What walks the pool in
    canonical order in blocks of one fixed size computes the same bits for every order of the pool
    and every memory budget, so that picks which depend on last bits are the same, too. The blocks
    are small (1,024 rows), and the array is never copied whole.

    Args:
        pool: The items, with embeddings; labeled embeddings where they are used.
        seed: Of the order.
    """

    def __init__(self, pool: Pool, seed: int) -> None:
        assert pool.embeddings is not None
        if pool.labeled_embeddings is not None:
            expected = (len(pool.labeled_embeddings), pool.embeddings.shape[1])
            if pool.labeled_embeddings.shape != expected:
                raise ConfigurationError(
                    f"pool.labeled_embeddings: expected shape {expected}, as wide as the "
                    f"embeddings, found {pool.labeled_embeddings.shape}"
                )
            pool.check({"labeled_embeddings"})
        self.order = canonical_order(pool.ids, seed)
        self._rows = pool.embeddings
        self._labeled = pool.labeled_embeddings
        # ‖u‖² − 2uc + ‖c‖² cancels badly far from the origin; any center near the data cures that
        self._center = self._rows[self.order[:_CENTER_FROM]].mean(axis=0, dtype=np.float64)

    def __len__(self) -> int:
        return len(self.order)

    def take(self, positions: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Return the rows at positions of the canonical order, a copy."""
        return self._centered(self._rows[self.order[positions]])

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield all rows in blocks, each with the position of its first row."""
        for start in range(0, len(self), _ROWS_PER_BLOCK):
            yield start, self.take(slice(start, start + _ROWS_PER_BLOCK))

    @property
    def labeled_count(self) -> int:
        """How many labeled rows there are; none if the pool does not know."""
        return 0 if self._labeled is None else len(self._labeled)

    def labeled_blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the labeled rows in blocks, in the order in which the pool has them."""
        for start in range(0, self.labeled_count, _ROWS_PER_BLOCK):
            yield self.take_labeled(np.arange(start, start + _ROWS_PER_BLOCK))

    def take_labeled(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return labeled rows, a copy; positions beyond the last are left out."""
        assert self._labeled is not None
        return self._centered(self._labeled[positions[positions < len(self._labeled)]])

    def _centered(self, rows: FloatArray) -> NDArray[np.float32]:
        wide = np.asarray(rows, np.result_type(rows.dtype, np.float32))
        centered = wide - self._center.astype(wide.dtype)
        return np.ascontiguousarray(centered, dtype=np.float32)


def squared_distances(
    rows: FloatArray, others: FloatArray, squares: FloatArray | None = None
) -> FloatArray:
    """Return the squared Euclidean distances `[n, m]` of `[n, D]` and `[m, D]` centered rows.

    They are off by about 1e-6 of the squared norms in float32, by 1e-15 in float64.

    Args:
        rows: One side, of which a copy is made.
        others: The other side.
        squares: The squared norms of `others`, `[m]`, where they are known.
    """
    distances: FloatArray = (-2 * rows) @ others.T
    distances += squared_norms(rows)[:, None]
    distances += squared_norms(others) if squares is None else squares
    return np.maximum(distances, 0, out=distances)


def squared_norms(rows: FloatArray) -> FloatArray:
    """Return the squared Euclidean norm of each row, `[n]`."""
    norms: FloatArray = np.einsum("nd,nd->n", rows, rows)
    return norms
