"""Label spreading over the nearest neighbors in a pool of embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.feature_scaling import FeatureScaling
from allencv_al.training.heads.softmax_regression import Array

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# Chosen on CIFAR-10, cats and dogs, ants and bees (docs/results/heads.md)
_NEIGHBORS = 10
_POWER = 3
_ALPHA = 0.95
_STEPS = 30
_BLOCK_ROWS = 1024
_MOST_NODES = 20_000  # the search for neighbors is quadratic: 20,000 take about 10 s on two cores


class PoolEmbeddings:
    """The embeddings of all images that may be labeled.

    Args:
        ids: The images.
        embeddings: `[N, D]`, as the encoder gives them.
        scale: The model's scaling of embeddings, applied to blocks.
        seed: Decides which images of a large pool take part.
    """

    def __init__(
        self,
        ids: Sequence[str],
        embeddings: NDArray[np.float32],
        scale: Callable[[NDArray[np.float32]], NDArray[np.float32]] = np.asarray,
        seed: int = 0,
    ) -> None:
        self.embeddings = embeddings
        self.scale = scale
        self._rows = {id: row for row, id in enumerate(ids)}
        self._order = np.random.default_rng(seed).permutation(len(ids))
        self._base: _Base | None = None
        self._graph: PoolGraph | None = None

    def graph(self, labeled: Sequence[str]) -> PoolGraph:
        """Return the graph of the pool; of a large one, of some images and the labeled ones.

        The neighbors of those some are searched once; a later call only searches for those of
        labeled images that are not among them.
        """
        if self._base is None:
            self._base = _Base(self.embeddings, np.sort(self._order[:_MOST_NODES]))
        known = np.asarray([self._rows[id] for id in labeled if id in self._rows], np.int64)
        others = np.setdiff1d(known, self._base.rows)
        if self._graph is None or not np.array_equal(others, self._graph.rows[len(self._base) :]):
            self._graph = PoolGraph(self, self._base, others)
        return self._graph

    def row(self, id: str) -> int:
        """Return the row of an image, -1 for one that is not in the pool."""
        return self._rows.get(id, -1)


class _Base:
    """Some images of a pool with the nearest neighbors of each among them."""

    def __init__(self, embeddings: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        self.rows = rows
        chosen = np.asarray(embeddings[rows], np.float32)
        # Cosines of centered embeddings; other scalings of the model do not change the graph
        self.scaling = FeatureScaling.fit("center_l2", chosen)
        self.features = self.scaling.apply(chosen)
        self.neighbors = nearest_neighbors(self.features)

    def __len__(self) -> int:
        return len(self.rows)


class PoolGraph:
    """The graph of the nearest neighbors in a pool.

    Args:
        pool: The pool.
        base: Images whose neighbors are known.
        others: Further rows that take part.
    """

    def __init__(self, pool: PoolEmbeddings, base: _Base, others: NDArray[np.int64]) -> None:
        self.rows = np.concatenate([base.rows, others])
        self._pool = pool
        self._nodes = {row: node for node, row in enumerate(self.rows.tolist())}
        columns, values = base.neighbors
        if len(others):
            chosen = np.asarray(pool.embeddings[others], np.float32)
            features = np.concatenate([base.features, base.scaling.apply(chosen)])
            more_columns, more_values = nearest_neighbors(features, first=len(base))
            columns = np.concatenate([columns, more_columns])
            values = np.concatenate([values, more_values])
        self._graph = graph_of_neighbors(columns, values)

    def assign(self, labeled: Sequence[str], targets: Array) -> Array:
        """Return the class of each node by label spreading, times its certainty: `[N, C]`.

        Args:
            labeled: The labeled images, `[L]`.
            targets: Their classes, one-hot `[L, C]`; they stay as they are.
        """
        found = np.asarray([self._nodes.get(self._pool.row(id), -1) for id in labeled], np.int64)
        nodes, targets = found[found >= 0], targets[found >= 0]
        assigned = assign_classes(spread_labels(self._graph, nodes, targets))
        assigned[nodes] = targets
        return assigned

    def scaled_nodes(self) -> NDArray[np.float32]:
        """Return the embeddings of the nodes as the last layer sees them, `[N, D]`."""
        return np.concatenate(
            [
                self._pool.scale(np.asarray(self._pool.embeddings[self.rows[part]], np.float32))
                for part in _blocks(len(self.rows))
            ]
        )


def weighted_means(features: NDArray[np.float32], weights: Array) -> Array:
    """Return the means `[C, D]` of features `[N, D]` by weights `[N, C]`."""
    sums = np.zeros((weights.shape[1], features.shape[1]))
    for part in _blocks(len(features)):  # a whole copy in float64 would take twice the memory
        sums += weights[part].T @ features[part].astype(np.float64)
    mass = weights.sum(axis=0)
    means: Array = sums / np.where(mass > 0, mass, 1.0)[:, None]
    return means


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, _BLOCK_ROWS):
        yield slice(start, start + _BLOCK_ROWS)


def neighbor_graph(features: NDArray[np.float32]) -> csr_matrix:
    """Return the graph of the 10 nearest neighbors of unit vectors `[N, D]`."""
    return graph_of_neighbors(*nearest_neighbors(features))


def nearest_neighbors(
    features: NDArray[np.float32], first: int = 0
) -> tuple[NDArray[np.int64], Array]:
    """Return the 10 nearest neighbors of unit vectors `[N, D]`, and their `max(cosine, 0)^3`.

    Args:
        features: Those to search among.
        first: The first row whose neighbors are searched.
    """
    count = len(features)
    neighbors = min(_NEIGHBORS, count - 1)
    columns = np.empty((count - first, neighbors), np.int64)
    values = np.empty((count - first, neighbors), np.float64)
    for start in range(first, count, _BLOCK_ROWS):
        cosines = features[start : start + _BLOCK_ROWS] @ features.T
        here = np.arange(len(cosines))
        cosines[here, start + here] = -np.inf  # no image is its own neighbor
        found = np.argpartition(-cosines, neighbors - 1, axis=1)[:, :neighbors]
        place = start - first + here
        columns[place] = found
        values[place] = np.maximum(np.take_along_axis(cosines, found, axis=1), 0) ** _POWER
    return columns, values


def graph_of_neighbors(columns: NDArray[np.int64], values: Array) -> csr_matrix:
    """Return `D^-1/2 W D^-1/2` of the neighbors of N images.

    `W` has the values of an image and each of its neighbors, plus its transpose (Iscen et al.,
    1904.04717).

    Args:
        columns: The neighbors of each image, `[N, K]`.
        values: Their weights, `[N, K]`.
    """
    from scipy.sparse import csr_matrix, diags

    count, neighbors = columns.shape
    rows = np.repeat(np.arange(count), neighbors)
    graph = csr_matrix((values.ravel(), (rows, columns.ravel())), shape=(count, count))
    graph = graph + graph.T
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    scale = diags(np.where(degrees > 0, degrees, 1.0) ** -0.5)
    return csr_matrix(scale @ graph @ scale)


def spread_labels(
    graph: csr_matrix,
    nodes: NDArray[np.int64],
    targets: Array,
    alpha: float = _ALPHA,
    steps: int = _STEPS,
) -> Array:
    """Return how much of each class reaches each node of a graph, `[N, C]`.

    `F = alpha S F + (1 - alpha) Y`, step by step (Zhou et al. 2004, "Learning with local and global
    consistency"). Y is 1 in total for each class, however many labels it has.

    Args:
        graph: S, the result of `neighbor_graph`.
        nodes: The labeled nodes, `[L]`.
        targets: Their classes, one-hot `[L, C]`.
        alpha: The share that comes from the neighbors.
        steps: Number of steps.
    """
    labeled = np.zeros((graph.shape[0], targets.shape[1]))
    mass = targets.sum(axis=0)
    labeled[nodes] = targets / np.where(mass > 0, mass, 1.0)
    spread = labeled
    for _ in range(steps):
        spread = alpha * (graph @ spread) + (1 - alpha) * labeled
    return spread


def assign_classes(spread: Array) -> Array:
    """Return for each node its class, one-hot, times the certainty of it: `[N, C]`.

    Each class gets the same mass in total first: without that, a class whose images lie dense takes
    all. The certainty is 1 minus the entropy in units of the largest (Iscen et al., 1904.04717); a
    node that no label reaches has none.
    """
    mass = spread.sum(axis=0)
    spread = spread / np.where(mass > 0, mass, 1.0)
    sums = spread.sum(axis=1, keepdims=True)
    probabilities = spread / np.where(sums > 0, sums, 1.0)
    logarithms = np.log(np.where(probabilities > 0, probabilities, 1.0))
    entropy = -(probabilities * logarithms).sum(axis=1) / np.log(max(spread.shape[1], 2))
    certainty = np.where(sums[:, 0] > 0, np.maximum(1.0 - entropy, 0.0), 0.0)
    assigned = np.zeros_like(spread)
    rows = np.arange(len(spread))
    assigned[rows, probabilities.argmax(axis=1)] = certainty
    return assigned
