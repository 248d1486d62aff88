"""What a round is measured by: the model on the test items, and the choice on the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from allencv_al.active_learning.learners.base import TestFigures, TestOutputs
from allencv_al.metrics.confusion_matrix import ConfusionMatrix, macro_f1, per_class_accuracy
from allencv_al.metrics.expected_calibration_error import ExpectedCalibrationError
from allencv_al.selection.pool.pool_outputs import PoolOutputs
from allencv_al.selection.pool.unlabeled_pool import FloatArray

_BLOCK_FLOATS = 1 << 24  # 64 MB of distances at a time
# What may be the farthest: at most so many, and so near to the one that seems to be
_EXACT_AMONG = 64
_INEXACT = 1e-3


def measure_test(outputs: TestOutputs) -> tuple[dict[str, float | None], list[list[int]]]:
    """Return the metrics of a model on the test items, and its confusion matrix `[C, C]`.

    Balanced accuracy is the mean recall of the classes that occur; the negative log-likelihood is
    in nats per item; the calibration error has 15 bins.
    """
    logits = torch.from_numpy(np.array(outputs.logits, dtype=np.float32))
    labels = torch.from_numpy(outputs.labels)
    confusion, calibration = ConfusionMatrix(), ExpectedCalibrationError()
    confusion(logits, labels)
    calibration(logits, labels)
    counts = confusion.state()
    assert counts is not None
    likelihood = torch.nn.functional.cross_entropy(logits.double(), labels)
    metrics: dict[str, float | None] = {
        **metrics_of_counts(counts),
        "negative_log_likelihood": float(likelihood),
        "expected_calibration_error": calibration.get_metric(),
    }
    return metrics, counts.tolist()


def metrics_of_counts(counts: torch.Tensor) -> dict[str, float | None]:
    """Return the metrics that follow from a confusion matrix, int64 `[C, C]`, that counts any."""
    recalls = [recall for recall in per_class_accuracy(counts) if recall is not None]
    return {
        "accuracy": int(counts.diagonal().sum()) / int(counts.sum()),  # torch has float32 for it
        "balanced_accuracy": float(np.mean(recalls)),
        "macro_f1": macro_f1(counts),
    }


def test_figures(
    outputs: TestOutputs | TestFigures | None, class_names: Sequence[str]
) -> TestFigures:
    """Return how a model does on the test items, whoever has measured it."""
    if isinstance(outputs, TestFigures):
        return outputs
    if outputs is None or not len(outputs.labels):
        return TestFigures({})
    metrics, confusion = measure_test(outputs)
    return TestFigures(metrics, confusion, column_names(class_names, outputs.logits.shape[1]))


test_figures.__test__ = False  # type: ignore[attr-defined]  # no test of pytest's


def pool_accuracy(
    truth: Mapping[str, str], labels: Mapping[str, str], predicted: Mapping[str, str]
) -> float | None:
    """Return the share of items whose label, or prediction where they have none, is right.

    Args:
        truth: The true class of each item; items that are not named do not count.
        labels: What they were labeled as.
        predicted: What the model takes them for.
    """
    said = {id: labels.get(id, predicted.get(id)) for id in truth}
    known = [said[id] == label for id, label in truth.items() if said[id] is not None]
    return float(np.mean(known)) if known else None


def class_entropy(counts: Mapping[str, int]) -> float | None:
    """Return the entropy of the classes of a batch, in nats; None for an empty batch."""
    total = sum(counts.values())
    if not total:
        return None
    shares = np.asarray([count / total for count in counts.values() if count])
    return float(-(shares * np.log(shares)).sum()) + 0.0


def redundancy(embeddings: FloatArray) -> float | None:
    """Return the mean distance of an item of the batch to the nearest other one, `[k, D]`.

    Small values say that the batch asks for much the same several times.
    """
    if len(embeddings) < 2:
        return None
    rows = np.asarray(embeddings, np.float64)
    # One row at a time: differences do not cancel as ||a||^2 - 2ab + ||b||^2 does
    nearest = []
    for place, row in enumerate(rows):
        distances = np.sqrt(((rows - row) ** 2).sum(axis=1))
        distances[place] = np.inf
        nearest.append(distances.min())
    return float(np.mean(nearest))


class Coverage:
    """How far the pool is from what is labeled, kept up to date as labels come.

    The coverage radius is the distance of the item that is farthest from its nearest labeled one:
    what k-center makes small (Sener & Savarese, ICLR 2018). Only labels that are new since the last
    call are compared with the pool, so each costs one product of matrices. That holds as long as
    the embedding of an item stays the same.
    """

    def __init__(self) -> None:
        self._ids: Sequence[str] = ()
        self._squares: NDArray[np.float64] = np.empty(0)
        self._taken: frozenset[str] = frozenset()

    def radius(self, pool: PoolOutputs, labeled: PoolOutputs) -> float | None:
        """Return the radius over the pool; None where it, or what is labeled, is empty.

        Args:
            pool: The items that are not labeled, with their `embeddings` `[N, D]`.
            labeled: The labeled items, with theirs, `[L, D]`.
        """
        if not len(pool) or not len(labeled):
            return None
        assert pool.embeddings is not None
        assert labeled.embeddings is not None
        squares = self._known_squares(pool.ids, labeled.ids)
        new = [place for place, id in enumerate(labeled.ids) if id not in self._taken]
        if new:
            batch = labeled.embeddings[np.asarray(new, np.int64)]
            np.minimum(squares, _nearest_squares(pool.embeddings, batch), out=squares)
        self._ids, self._squares, self._taken = tuple(pool.ids), squares, frozenset(labeled.ids)
        return _exact_radius(pool.embeddings, squares, labeled.embeddings)

    def _known_squares(self, pool: Sequence[str], labeled: Sequence[str]) -> NDArray[np.float64]:
        """Return the squared distances to what earlier calls have taken in."""
        known = {id: place for place, id in enumerate(self._ids)}
        places = [known.get(id, -1) for id in pool]
        # Items that came into the pool, or a label that was taken back: begin anew
        if -1 in places or not self._taken <= set(labeled):
            self._taken = frozenset()
            return np.full(len(pool), np.inf)
        return self._squares[np.asarray(places, np.int64)]


def _exact_radius(
    embeddings: FloatArray, squares: NDArray[np.float64], labeled: FloatArray
) -> float:
    """Return the largest distance of a row to its nearest labeled one, without float32 products.

    So the figure does not depend on how the labels were cut into batches, as such products do in
    their last digits: a run that was killed and recovered writes the same curve.

    Args:
        embeddings: Those of the pool, `[N, D]`.
        squares: About how far each is from its nearest labeled one, squared, `[N]`.
        labeled: The embeddings of what is labeled, `[L, D]`.
    """
    far = np.argsort(-squares, kind="stable")[:_EXACT_AMONG]
    far = far[squares[far] >= squares[far[0]] * (1 - _INEXACT)]
    targets = np.asarray(labeled, np.float64)
    rows = np.asarray(embeddings[far], np.float64)
    return float(np.sqrt(max(((targets - row) ** 2).sum(axis=1).min() for row in rows)))


def _nearest_squares(embeddings: FloatArray, batch: FloatArray) -> NDArray[np.float64]:
    """Return the squared distance of each row to the nearest of the batch, `[N]`."""
    center = np.asarray(batch, np.float32).mean(axis=0)
    targets = np.asarray(batch, np.float32) - center  # near the origin, squares cancel less
    target_squares = (targets.astype(np.float64) ** 2).sum(axis=1)
    nearest = np.empty(len(embeddings))
    step = max(1, _BLOCK_FLOATS // max(len(targets), targets.shape[1]))
    for start in range(0, len(embeddings), step):
        rows = np.asarray(embeddings[start : start + step], np.float32) - center
        squares = np.einsum("nd,nd->n", rows, rows)
        distances = squares[:, None] - 2 * (rows @ targets.T) + target_squares
        nearest[start : start + step] = np.maximum(distances.min(axis=1), 0)
    return nearest


def column_names(names: Sequence[str], columns: int) -> list[str]:
    """Return what the columns of logits are called: a class beyond the names by its number."""
    return [*names, *(str(index) for index in range(len(names), columns))]


def predicted_classes(logits: FloatArray, names: Sequence[str]) -> list[str]:
    """Return the name of the likeliest class of each row."""
    columns = column_names(names, logits.shape[1])
    return [columns[index] for index in np.asarray(logits).argmax(axis=1).tolist()]


def top_probabilities(logits: FloatArray) -> list[float]:
    """Return the probability of the likeliest class of each row."""
    rows = np.asarray(logits, np.float64)
    shifted = np.exp(rows - rows.max(axis=1, keepdims=True))
    values: list[Any] = (1 / shifted.sum(axis=1)).tolist()
    return values
