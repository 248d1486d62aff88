"""The last layer of a model, recovered from its embeddings and logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.shared.canonical_rows import CanonicalRows

_FIT_ROWS = 5000  # more equations than dimensions
_RIDGE = 1e-9  # of the mean squared length: decides only what the rows leave open


@dataclass(frozen=True)
class LastLayer:
    """Logits as a linear function of embeddings, up to a constant of each item.

    Args:
        weights: `[C, D]`, of mean 0 over the classes.
        biases: `[C]`, likewise.
    """

    weights: NDArray[np.float64]
    biases: NDArray[np.float64]


def recovered_last_layer(pool: Pool, rows: CanonicalRows) -> LastLayer:
    """Return the linear layer between the embeddings and the logits of a pool.

    A pool carries outputs, not weights. Where the model ends in a linear layer, as many items as
    dimensions determine it; with fewer items, or another end, the least-squares solution of the
    smallest norm stands in for it.

    Args:
        pool: The items, with embeddings and logits; those of labeled items are used too.
        rows: The rows of the pool, which give the order.
    """
    assert pool.logits is not None and pool.embeddings is not None
    chosen = rows.order[:_FIT_ROWS]
    inputs = [np.asarray(pool.embeddings[chosen], np.float64)]
    outputs = [np.asarray(pool.logits[chosen], np.float64)]
    if pool.labeled_embeddings is not None and pool.labeled_logits is not None:
        inputs.append(np.asarray(pool.labeled_embeddings[:_FIT_ROWS], np.float64))
        outputs.append(np.asarray(pool.labeled_logits[:_FIT_ROWS], np.float64))
    x, z = np.concatenate(inputs), np.concatenate(outputs)
    z -= z[:, :1]  # exactly the same for logits that differ by a constant; then the rest of it
    z -= z.mean(axis=1, keepdims=True)
    mean, center = x.mean(axis=0), z.mean(axis=0)
    x -= mean
    gram = x.T @ x
    ridge = _RIDGE * (np.trace(gram) / len(x) or 1.0)
    gram[np.diag_indices_from(gram)] += ridge
    weights = np.linalg.solve(gram, x.T @ (z - center)).T
    return LastLayer(weights, center - weights @ mean)
