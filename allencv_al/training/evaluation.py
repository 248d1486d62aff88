"""Evaluation: a model's metrics over a data loader."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import TrainingError
from allencv_al.common.progress import track
from allencv_al.data.batch import TargetTable
from allencv_al.data.data_loaders import DataLoader
from allencv_al.metrics.accuracy_interval import sample_accuracy
from allencv_al.models.model import checked_outputs, flushed_denormals, resolve_device
from allencv_al.models.multi_label_head import MultiLabelHead
from allencv_al.models.precision import Precision, StepPrecision

if TYPE_CHECKING:
    from allencv_al.data.batch import Batch
    from allencv_al.models.model import Model

logger = logging.getLogger(__name__)

BatchHook = Callable[[list[str], dict[str, Any]], None]
"""Called after each forward pass with the ids of its items and the model's output."""


def evaluate(
    model: Model,
    data_loader: DataLoader,
    cuda_device: int | Literal["auto"] | torch.device = -1,
    precision: Precision = "fp32",
    channels_last: bool = False,
    on_batch: BatchHook | None = None,
    description: str | None = "evaluating",
    check: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Run a model over every batch once, without gradients, and return its metrics.

    A batch that does not fit into the GPU's memory is halved, and so are those after it; the
    metrics are the same, and `on_batch` sees smaller batches.

    Args:
        model: The model; it is moved to the device, and its mode is restored at the end.
        data_loader: The items, labeled or not.
        cuda_device: -1 is the CPU, n the n-th GPU, "auto" the first GPU if there is one.
        precision: "fp32" gives the figures to publish; see the trainer for the others.
        channels_last: Whether the model's weights are laid out channels-last.
        on_batch: Sees the output of each forward pass.
        description: Text of the progress bar; None shows no bar.
        check: Called before each batch; what it raises ends the evaluation.

    Returns:
        The model's metrics, and `loss`, where the items are labeled: the mean over all of them,
        however they are cut into batches (with class weights the weighted mean, as in torch).

    Raises:
        TrainingError: If a single item does not fit into the memory.
    """
    device = cuda_device if isinstance(cuda_device, torch.device) else resolve_device(cuda_device)
    was_training = model.training
    to_device = partial(
        data_loader.to_device,
        device=device,
        memory_format=torch.channels_last if channels_last else torch.contiguous_format,
    )
    model.to(device).eval()
    model.collect_metrics(reset=True)
    run = _Evaluation(model, to_device, StepPrecision(precision, device), on_batch)
    batches = data_loader.batches(0)
    if description is not None:
        batches = track(batches, len(data_loader), description, "batches")
    try:
        # Not inference mode: metrics keep tensors that training changes in place later
        with torch.no_grad(), flushed_denormals():
            for batch in batches:
                if check is not None:
                    check()
                run.add(batch)
        return run.metrics()
    finally:
        model.train(was_training)


# Metrics of the best epoch are those of its thresholds, which are fitted to it at the end
_FITTED = ("validation", "best_validation")


class AuditHook:
    """A batch hook that measures the accuracy on an audit sample.

    Args:
        model: A model whose task tells the label that it predicts.
        truth: Text of the label by id; one that the model does not know makes its prediction wrong.
    """

    def __init__(self, model: Model, truth: Mapping[str, str]) -> None:
        self._model = model
        self._truth = truth
        self._right: list[bool] = []

    def __call__(self, ids: list[str], outputs: dict[str, Any]) -> None:
        model = self._model
        texts = model.task.predicted(model.make_output_human_readable(dict(outputs)))
        if texts is not None:
            pairs = zip(ids, texts, strict=True)
            self._right.extend(text == self._truth[id] for id, text in pairs)

    def figures(self, level: float = 0.95) -> dict[str, float]:
        """Return the accuracy, with the ends of its interval.

        Args:
            level: Probability with which the interval contains the accuracy on the population.

        Returns:
            `audit_accuracy`, `audit_low`, `audit_high` and `audit_labels`; nothing if no image
            could be read, or a label is no such thing as right or wrong.
        """
        if not self._right:
            return {}
        found = sample_accuracy(self._right, level=level)
        return {
            "audit_accuracy": found.value,
            "audit_low": found.low,
            "audit_high": found.high,
            "audit_labels": found.labels,
        }


def fit_thresholds(
    model: Model, data_loader: DataLoader | None, cuda_device: torch.device
) -> dict[str, Any]:
    """Fit the thresholds that a model predicts classes from, if it fits any; return their figures.

    Args:
        model: The trained model.
        data_loader: Labeled images, which have not trained it; None leaves the thresholds.
        cuda_device: Device of the model.

    Returns:
        Of a `decision_class`: `validation_decision_threshold` (a probability), `_precision`,
        `_recall` and `_f1`. With several classes per image the metrics by the new thresholds, as
        `validation_...` and `best_validation_...`. Nothing without thresholds to fit.
    """
    decision, several = model.decision_threshold, model.several_classes
    if data_loader is None:
        return {}
    if several is not None and several.fits_thresholds:
        return _fit_each(model, several, data_loader, cuda_device)
    if decision is None:
        return {}
    names = {item.id: item.label for item in data_loader.dataset}
    wanted = model.class_names()[decision.index]
    odds: list[float] = []
    is_class: list[bool] = []

    def note(ids: list[str], outputs: dict[str, Any]) -> None:
        for id, value in zip(ids, decision.log_odds(outputs["logits"]).tolist(), strict=True):
            if names[id] is not None:
                odds.append(value)
                is_class.append(names[id] == wanted)

    evaluate(model, data_loader, cuda_device, on_batch=note, description=None)
    decision.fit(np.array(odds), np.array(is_class, bool))
    if not decision.fitted:
        logger.warning(
            'decision_class: "%s" has no threshold, since %d of %d validation images are of it; '
            "the likeliest class is predicted",
            *(wanted, sum(is_class), len(is_class)),
        )
        return {}
    metrics = evaluate(model, data_loader, cuda_device, description=None)
    own = {name: value for name, value in metrics.items() if name.startswith("decision_")}
    return {f"validation_{name}": value for name, value in own.items()}


def _fit_each(
    model: Model, several: MultiLabelHead, data_loader: DataLoader, cuda_device: torch.device
) -> dict[str, Any]:
    targets = TargetTable(data_loader.dataset, model.vocab, model.task.target)
    [name] = model.task.targets
    rows = {
        item.id: row
        for item, row in zip(data_loader.dataset, targets.columns[name].numpy(), strict=True)
    }
    logits: list[NDArray[np.float32]] = []
    shown: list[NDArray[np.float32]] = []

    def note(ids: list[str], outputs: dict[str, Any]) -> None:
        logits.append(outputs["label_logits"].float().cpu().numpy())
        shown.extend(rows[id] for id in ids)

    evaluate(model, data_loader, cuda_device, on_batch=note, description=None)
    fitted = several.fit(np.concatenate(logits), np.stack(shown))
    logger.info("thresholds: fitted those of %d of %d classes", fitted, len(model.class_names()))
    found = evaluate(model, data_loader, cuda_device, description=None)
    return {f"{prefix}_{key}": value for prefix in _FITTED for key, value in found.items()}


class _Evaluation:
    def __init__(
        self,
        model: Model,
        to_device: Callable[[Batch], Mapping[str, Any]],
        precision: StepPrecision,
        on_batch: BatchHook | None,
    ) -> None:
        self._model = model
        self._to_device = to_device
        self._precision = precision
        self._on_batch = on_batch
        self._loss_sums: list[torch.Tensor] = []
        self._loss_weights: list[torch.Tensor | float] = []
        self._most_items: int | None = None

    def add(self, batch: Batch) -> None:
        tensors = self._to_device(batch)
        begin = 0
        while begin < len(batch):
            end = len(batch) if self._most_items is None else begin + self._most_items
            ids = batch.ids[begin:end]
            part = tensors if len(ids) == len(batch) else _cut(tensors, len(batch), begin, end)
            try:
                with self._precision.autocast():
                    outputs = checked_outputs(self._model, self._model(**part))
            # The metrics have not counted this part yet: forward failed before it could
            except torch.OutOfMemoryError as error:
                self._halve(len(ids), error)
                continue
            if outputs.get("loss") is not None:
                self._loss_sums.append(self._model.loss_sum(outputs, part, len(ids)))
                self._loss_weights.append(self._model.loss_weight(part, len(ids)))
            if self._on_batch is not None:
                self._on_batch(ids, outputs)
            # Only what went through: after a failure the same items come again, in smaller parts
            begin += len(ids)

    def metrics(self) -> dict[str, Any]:
        metrics: dict[str, Any] = self._model.collect_metrics(reset=True)
        if self._loss_sums:
            # fsum: the mean must not depend on how the items are cut into batches
            total = math.fsum(torch.stack(self._loss_sums).tolist())
            weight = math.fsum(map(float, self._loss_weights))
            metrics["loss"] = total / weight if weight else 0.0
        return metrics

    def _halve(self, items: int, error: torch.OutOfMemoryError) -> None:
        if items == 1:
            raise TrainingError(f"one image does not fit into the GPU's memory: {error}") from error
        self._most_items = items // 2  # for all later batches, too
        torch.cuda.empty_cache()


def _cut(tensors: Mapping[str, Any], size: int, begin: int, end: int) -> dict[str, Any]:
    return {
        name: value[begin:end] if hasattr(value, "__len__") and len(value) == size else value
        for name, value in tensors.items()
    }


class FirstBatch(DataLoader):
    """The first batch of a loader, as a data set of its own."""

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader

    @overrides
    def __len__(self) -> int:
        return 1

    @overrides
    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        yield from islice(self._loader.batches(epoch), 1)

    @overrides
    def to_device(
        self,
        batch: Batch,
        device: torch.device,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> dict[str, Any]:
        return self._loader.to_device(batch, device, memory_format)
