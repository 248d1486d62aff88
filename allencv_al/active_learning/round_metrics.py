"""What a round is measured by: the model on the test items, and the choice on the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from allencv_al.active_learning.learners.base import TestOutputs
from allencv_al.active_learning.pool import FloatArray
from allencv_al.metrics.confusion_matrix import ConfusionMatrix, macro_f1, per_class_accuracy
from allencv_al.metrics.expected_calibration_error import ExpectedCalibrationError

_BLOCK_FLOATS = 1 << 24  # 64 MB of distances at a time
_EXACT_AMONG = 8


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
    recalls = [recall for recall in per_class_accuracy(counts) if recall is not None]
    likelihood = torch.nn.functional.cross_entropy(logits.double(), labels)
    metrics: dict[str, float | None] = {
        "accuracy": float(counts.diagonal().sum() / counts.sum()),
        "balanced_accuracy": float(np.mean(recalls)),
        "macro_f1": macro_f1(counts),
        "negative_log_likelihood": float(likelihood),
        "expected_calibration_error": calibration.get_metric(),
    }
    return metrics, counts.tolist()


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
    what k-center makes small (Sener & Savarese, ICLR 2018). Labels are taken in batch by batch, so
    that each costs one product of matrices.
    """

    def __init__(self) -> None:
        self._ids: Sequence[str] = ()
        self._squares: NDArray[np.float64] = np.empty(0)
        self._taken = 0

    def radius(
        self, ids: Sequence[str], embeddings: FloatArray, batches: Sequence[FloatArray]
    ) -> float | None:
        """Return the radius over the pool; None where it, or what is labeled, is empty.

        Args:
            ids: The items of the pool.
            embeddings: Theirs, `[N, D]`.
            batches: The embeddings of the labeled items, round by round, each `[n, D]`: those of
                earlier calls first and the same.
        """
        if not len(ids) or not sum(len(batch) for batch in batches):
            return None
        places = self._places(ids)
        if places is None:
            self._taken, squares = 0, np.full(len(ids), np.inf)
        else:
            squares = self._squares[places]
        for batch in batches[self._taken :]:
            if len(batch):
                np.minimum(squares, _nearest_squares(embeddings, batch), out=squares)
        self._ids, self._squares, self._taken = ids, squares, len(batches)
        far = np.argsort(-squares, kind="stable")[:_EXACT_AMONG]
        return _exact_radius(embeddings[far], np.concatenate([b for b in batches if len(b)]))

    def _places(self, ids: Sequence[str]) -> NDArray[np.int64] | None:
        """Return where the items stood in the last call; None where one did not."""
        known = {id: place for place, id in enumerate(self._ids)}
        places = [known.get(id, -1) for id in ids]
        return None if not known or -1 in places else np.asarray(places, np.int64)


def _exact_radius(far: FloatArray, labeled: FloatArray) -> float:
    """Return the largest distance of a few rows to their nearest labeled one, without products.

    So the figure does not depend on how the batches were cut, as float32 products do in their last
    digits: a run that was killed and recovered writes the same curve.
    """
    targets = np.asarray(labeled, np.float64)
    squares = [((targets - row) ** 2).sum(axis=1).min() for row in np.asarray(far, np.float64)]
    return float(np.sqrt(max(squares)))


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


def predicted_classes(logits: FloatArray, names: Sequence[str]) -> list[str]:
    """Return the name of the likeliest class of each row."""
    return [names[index] for index in np.asarray(logits).argmax(axis=1).tolist()]


def top_probabilities(logits: FloatArray) -> list[float]:
    """Return the probability of the likeliest class of each row."""
    rows = np.asarray(logits, np.float64)
    shifted = np.exp(rows - rows.max(axis=1, keepdims=True))
    values: list[Any] = (1 / shifted.sum(axis=1)).tolist()
    return values
