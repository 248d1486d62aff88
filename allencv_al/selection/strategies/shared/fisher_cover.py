"""Greedy choice of items whose Fisher information covers that of the pool: the core of BAIT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray
from allencv_al.selection.strategies.shared.canonical_rows import CanonicalRows

Floats = NDArray[np.float64]

_ROWS_PER_BLOCK = 1024  # fixed: the last bits of a product depend on its shape
# Candidates per dimension above which eigenvectors (10 to 20 D³ operations) are cheaper than a
# second product with all candidates
_EIGENVECTORS_PAY = 10
_LIKELY = 8  # candidates whose gains are computed in float64 for each choice
_SMALLEST = 1e-12


class ScaledBlocks:
    """The first rows of a pool in blocks of one size, kept where they fit into the budget.

    Args:
        rows: The pool's rows.
        count: Number of rows, the first in canonical order.
        memory_budget_mb: Memory for kept rows, in MiB. Without it blocks are scaled in each pass.
    """

    def __init__(self, rows: CanonicalRows, count: int, memory_budget_mb: float) -> None:
        self._rows = rows
        self.width = rows.take(slice(0, 1)).shape[1]
        self._parts = list(slices(count, _ROWS_PER_BLOCK))
        fits = 4 * count * self.width <= memory_budget_mb * 2**20
        self._kept = [rows.take(part) for part in self._parts] if fits else None

    def first(self, count: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Yield the first `count` rows in blocks, each with its place."""
        for number, part in enumerate(self._parts):
            if part.start >= count:
                return
            block = self._rows.take(part) if self._kept is None else self._kept[number]
            stop = min(part.stop, count)
            yield slice(part.start, stop), block[: stop - part.start]

    def row(self, place: int) -> Floats:
        """Return one row in float64."""
        row: Floats = self._rows.take(slice(place, place + 1))[0].astype(np.float64)
        return row


class FisherCover:
    """Items chosen so that tr(M⁻¹F) is small: F is the mean Fisher information of all items.

    The information of an item with embedding x is (B Bᵀ) ⊗ xxᵀ, with `factors` B `[C, r]`: C blocks
    of D dimensions. M = λ·1 + L/(L+b) · (mean of the labeled) + b/(L+b) · Σ (chosen), as in the
    authors' code. P = M⁻¹ is never updated: each choice adds columns W to P₀ - WWᵀ, and of the
    candidates only A = (1⊗x)ᵀP(1⊗x) and G = (1⊗x)ᵀPFP(1⊗x), `[C, C]` each, are kept.

    Args:
        blocks: The rows of references and candidates.
        factors: B of each row, `[n, C, r]`.
        labeled: The rows of the labeled items, `[L, D]`.
        labeled_factors: B of each, `[L, C, r]`.
        references: The number of rows whose information is the pool's, the first.
        candidates: The number of rows that may be chosen, the first.
        batch_size: b.
        regularization: λ as a share of the trace of F.
    """

    def __init__(
        self,
        blocks: ScaledBlocks,
        factors: NDArray[np.float32],
        labeled: NDArray[np.float32],
        labeled_factors: NDArray[np.float32],
        references: int,
        candidates: int,
        batch_size: int,
        regularization: float,
    ) -> None:
        self._blocks = blocks
        self._candidates = candidates
        parts, width, known = factors.shape[1], blocks.width, len(labeled)
        share = batch_size / (known + batch_size)
        # Each chosen item weighs `share`; folded into its factors
        self._factors = factors[:candidates].astype(np.float64) * np.sqrt(share)
        of_labeled = np.zeros((parts * width, parts * width))
        _add_information(of_labeled, labeled, labeled_factors)
        self._fisher = of_labeled.copy()
        for part, block in blocks.first(references):
            _add_information(self._fisher, block, factors[part])
        self._fisher /= references + known
        # Sure of one class only, the information of all items is tiny: a λ that did not follow it
        # would drown it, and all picks would lie in one direction
        strength = regularization * (float(np.trace(self._fisher)) or 1.0)
        self._inverse = np.linalg.inv(
            strength * np.eye(parts * width) + of_labeled / (known + batch_size)
        )
        self._removed = np.empty((parts * width, 0))  # W
        self._a, self._g = self._forms(parts)
        self.chosen: list[int] = []
        self.gains: list[float] = []

    def choose(self) -> None:
        """Choose the candidate that reduces tr(M⁻¹F) most; the first of equal ones."""
        place, gain = self._best()
        self.chosen.append(place)
        self.gains.append(max(gain, 0.0))
        vectors = self._vectors([place])
        columns = self._times_inverse(vectors)
        rank = vectors.shape[1]
        inner = np.eye(rank) + vectors.T @ columns
        # U (1 + VᵀU)⁻¹ Uᵀ = W Wᵀ
        columns = np.linalg.solve(np.linalg.cholesky(inner), columns.T).T
        through = self._fisher @ columns
        middle = columns.T @ through
        both = np.concatenate([columns, self._times_inverse(through)], axis=1)
        parts, width = self._factors.shape[1], self._blocks.width
        stacked = both.reshape(parts, width, 2 * rank).transpose(1, 0, 2).reshape(width, -1)
        stacked = np.ascontiguousarray(stacked, np.float32)
        for part, block in self._blocks.first(self._candidates):
            found = (block @ stacked).astype(np.float64).reshape(len(block), parts, 2 * rank)
            z, t = found[..., :rank], found[..., rank:]
            self._a[part] -= _outer(z, z)
            cross = _outer(z, t)
            self._g[part] += _outer(z @ middle, z) - cross - cross.transpose(0, 2, 1)
        self._removed = np.concatenate([self._removed, columns], axis=1)

    def drop_to(self, count: int) -> None:
        """Remove chosen items one by one, each time that which raises tr(M⁻¹F) least."""
        rank = self._factors.shape[2]
        vectors = self._vectors(self.chosen)
        columns = self._times_inverse(vectors)
        # All in the space of the chosen: K = VᵀPV, H = VᵀPFPV
        k, h = vectors.T @ columns, columns.T @ (self._fisher @ columns)
        kept = np.arange(len(self.chosen))
        while len(kept) > count:
            mine = kept[:, None] * rank + np.arange(rank)
            own = mine[:, :, None], mine[:, None, :]
            gaps = np.linalg.inv(np.eye(rank) * (1 + _SMALLEST) - k[own])
            worst = int(np.einsum("nij,nji->n", h[own], gaps).argmin())
            place, gap = mine[worst], gaps[worst]
            of_k, of_h = k[:, place], h[:, place]
            lifted = of_k @ gap
            cross = lifted @ of_h.T
            h += cross + cross.T + lifted @ h[np.ix_(place, place)] @ lifted.T
            k += lifted @ of_k.T
            kept = np.delete(kept, worst)
        self.chosen = [self.chosen[index] for index in kept.tolist()]
        self.gains = [self.gains[index] for index in kept.tolist()]

    def _best(self) -> tuple[int, float]:
        """Return the candidate of the highest gain, and its gain.

        Gains that started large and have become small have lost digits of the float32 products:
        those of the likely best are computed anew.
        """
        gains = _gains(self._factors, self._a, self._g)
        gains[self.chosen] = -np.inf
        likely = np.sort(np.argpartition(-gains, min(_LIKELY, len(gains) - 1))[:_LIKELY])
        likely = likely[np.isfinite(gains[likely])]
        columns = self._times_inverse(vectors := self._vectors(likely.tolist()))
        rank, count = self._factors.shape[2], len(likely)
        split = (len(vectors), count, rank)
        v, u = vectors.reshape(split), columns.reshape(split)
        through = (self._fisher @ columns).reshape(split)
        k, h = (np.einsum("dnr,dns->nrs", left, right) for left, right in ((v, u), (u, through)))
        exact = np.trace(np.linalg.solve(np.eye(rank) + k, h), axis1=1, axis2=2)
        best = int(exact.argmax())
        return int(likely[best]), float(exact[best])

    def _vectors(self, places: Sequence[int]) -> Floats:
        """Return V of candidates, `[C·D, n·r]`: their information is VVᵀ."""
        rows = [np.kron(self._factors[place], self._blocks.row(place)[:, None]) for place in places]
        return np.concatenate(rows, axis=1)

    def _times_inverse(self, columns: Floats) -> Floats:
        product: Floats = self._inverse @ columns
        return product - self._removed @ (self._removed.T @ columns)

    def _forms(self, parts: int) -> tuple[Floats, Floats]:
        """Return A and G of all candidates, `[n, C, C]` each."""
        a, g = (np.empty((self._candidates, parts, parts)) for _ in range(2))
        size, width = len(self._fisher), self._blocks.width
        if self._candidates > _EIGENVECTORS_PAY * size:
            # P = LLᵀ, LᵀFL = UΛUᵀ: with y = (LU)ᵀx, xᵀPx = Σy² and xᵀPFPx = Σλy²
            lower = np.linalg.cholesky(self._inverse)
            values, vectors = np.linalg.eigh(lower.T @ self._fisher @ lower)
            basis = _by_part(lower @ vectors, parts, width)
            scales = values.astype(np.float32)
            for part, block in self._blocks.first(self._candidates):
                y = np.stack([block @ of_part for of_part in basis], axis=1)
                a[part], g[part] = _outer(y, y), _outer(y * scales, y)
            return a, g
        for forms, matrix in (
            (a, self._inverse),
            (g, self._inverse @ self._fisher @ self._inverse),
        ):
            halves = _by_part(matrix, parts, width)
            for part, block in self._blocks.first(self._candidates):
                for index, half in enumerate(halves):
                    product = (block @ half).reshape(len(block), parts, width)
                    forms[part, index] = np.einsum("nkd,nd->nk", product, block)
        return a, g


def _by_part(matrix: FloatArray, parts: int, width: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(matrix.reshape(parts, width, -1), np.float32)


def _outer(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return left rightᵀ of each row, `[n, C, C]`."""
    if left.shape[1] == 1:
        products: FloatArray = np.einsum("nkr,nkr->n", left, right)[:, None, None]
        return products
    product: FloatArray = left @ right.transpose(0, 2, 1)
    return product


def _gains(factors: Floats, a: Floats, g: Floats) -> Floats:
    """Return tr(BᵀGB (1 + BᵀAB)⁻¹) of each row, `[n]`."""
    if factors.shape[1:] == (1, 1):
        strengths = factors[:, 0, 0] ** 2
        gains: Floats = strengths * g[:, 0, 0] / (1 + strengths * np.maximum(a[:, 0, 0], 0))
        return gains
    transposed = factors.transpose(0, 2, 1)
    inner = np.eye(factors.shape[2]) + transposed @ a @ factors
    traces: Floats = np.trace(np.linalg.solve(inner, transposed @ g @ factors), axis1=1, axis2=2)
    return traces


def _add_information(
    total: Floats, rows: NDArray[np.float32], factors: NDArray[np.float32]
) -> None:
    """Add Σ (B Bᵀ) ⊗ xxᵀ over rows to a matrix `[C·D, C·D]`."""
    parts, width = factors.shape[1], rows.shape[1]
    weights = factors @ factors.transpose(0, 2, 1)
    for k in range(parts):
        of_k = slice(k * width, (k + 1) * width)
        scaled = rows * np.sqrt(weights[:, k, k, None])
        total[of_k, of_k] += scaled.T @ scaled  # symmetric, which takes half the time
        for other in range(k):
            block = (rows * weights[:, k, other, None]).T @ rows
            of_other = slice(other * width, (other + 1) * width)
            total[of_k, of_other] += block
            total[of_other, of_k] += block.T
