"""The base of the trainers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from overrides import overrides

from allencv_al.common import Registrable
from allencv_al.data.batch import TargetTable
from allencv_al.data.instance import LABEL_NAMESPACE
from allencv_al.models.model import device_fault
from allencv_al.training.datasets import check_learnable, check_places
from allencv_al.training.unlabeled_images import embed_images

if TYPE_CHECKING:
    from allencv_al.common.config.config_check import ConfigView, Fault
    from allencv_al.data.data_loaders import DataLoader
    from allencv_al.models.model import Model
    from allencv_al.models.precision import Precision, StepPrecision
    from allencv_al.training.checkpoints.checkpointer import Checkpointer
    from allencv_al.training.datasets import Datasets
    from allencv_al.training.heads.label_spreading import PoolEmbeddings
    from allencv_al.training.learning_rate_schedulers import LearningRateScheduler
    from allencv_al.training.momentum_schedulers import MomentumScheduler
    from allencv_al.training.trainers.epoch_metrics import MetricTracker
    from allencv_al.training.trainers.moving_average import MovingAverage
    from allencv_al.training.trainers.training_step import TrainingStep

logger = logging.getLogger(__name__)

_LEAST_IMAGES = 5  # of a class, for statistics of embeddings
_HERE = "allencv_al.training.trainers"


class Trainer(Registrable):
    """Makes a model better.

    Args:
        model: The model; it is moved to `device`.
        serialization_dir: Folder of the run; None writes nothing.
        device: Device of the training.
        pool_embeddings: Returns the embeddings of all images to learn from, labeled or not.
    """

    builtin: ClassVar[Mapping[str, str]] = {
        "class_means": f"{_HERE}.closed_form_trainers",
        "discriminant_analysis": f"{_HERE}.closed_form_trainers",
        "gradient_descent": f"{_HERE}.gradient_descent_trainer",
        "logistic_regression": f"{_HERE}.logistic_regression_trainer",
        "nearest_neighbors": f"{_HERE}.closed_form_trainers",
        "no_op": f"{_HERE}.no_op_trainer",
    }
    default_implementation = "gradient_descent"
    injected = (
        *("model", "data_loader", "validation_data_loader", "serialization_dir"),
        "pool_embeddings",
    )
    instead: ClassVar[Mapping[str, str]] = {
        "cuda_device": 'one run trains on one device: -1 (the CPU), the number of a GPU or "auto"',
        "distributed": "one run trains on one device (cuda_device)",
    }
    goes_on: ClassVar[bool] = True
    """Whether `train(recover=True)` resumes from a checkpoint, or trains from the start."""

    learns_from_batches: ClassVar[bool] = False
    """Whether the model is in training mode while it sees batches."""

    sets_linear_layer: ClassVar[bool] = False
    """Whether the model's `linear_layer` ends with values that do not depend on its first ones."""

    unused_model_keys: ClassVar[Mapping[str, str]] = {}
    """Keys of the model that this trainer does not use, and what to do instead."""

    def __init__(
        self,
        model: Model,
        serialization_dir: str | Path | None,
        device: torch.device,
        pool_embeddings: Callable[[], PoolEmbeddings] | None = None,
    ) -> None:
        self.model = model.to(device)
        self.serialization_dir = None if serialization_dir is None else Path(serialization_dir)
        self.device = device
        self.pool_embeddings = pool_embeddings
        # Whether the model has its final weights, and best.safetensors has them: an archive of
        # them can be made even if what `train` does after that fails.
        self.has_result = False

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        if "cuda_device" in config.names and config.sound("cuda_device"):
            fault = device_fault(config.get("cuda_device"))
            if fault is not None:
                yield config.fault("cuda_device", fault)

    @classmethod
    def model_fault(cls, model: Model) -> str | None:
        """Return why this trainer cannot train a model, None if it can.

        Args:
            model: The model, perhaps on the `meta` device.
        """
        return None

    def check_data(self, datasets: Datasets) -> None:
        """Raise if the data sets hold nothing that this trainer can learn.

        Args:
            datasets: The data sets, with the audited images apart.

        Raises:
            DataError: No training image has a class, a mask or boxes, or the model does not take
                what they have.
        """
        check_learnable(datasets, self.model.task)
        check_places(datasets.train, self.model.forward)

    def replace_loaders(self, replaced: Callable[[DataLoader, Precision], DataLoader]) -> None:
        """Replace the data loaders, if the trainer needs no more than each image's embedding.

        The new loaders have the same batches, so that checkpoints, which count them, fit.

        Args:
            replaced: Returns a loader of embeddings, computed in a number format, in place of one
                of images; or the loader itself.
        """

    def balance_classes(self, data_loader: DataLoader) -> None:
        """Set the model's class weights by the labels of training images, if it asks for that."""
        if self.model.balances_classes:
            task = self.model.task
            name = task.targets[0]
            table = TargetTable(data_loader.dataset, self.model.vocab, task.target)
            if name in table.columns:
                self.model.balance_classes(table.columns[name].numpy()[table.known(name)])

    def fit_embedding_scaling(self, data_loader: DataLoader) -> None:
        """Fit the model's `embedding_scaling` to the pool, if it has had no fit before.

        Without a pool it is fitted to the training images. With fewer than 5 images a class the
        mean stays 0 and the deviation 1: those of so few images cost up to 11 points of accuracy
        (docs/results/heads.md).
        """
        scaling = self.model.embedding_scaling
        if scaling is None or scaling.fitted:
            return
        if self.pool_embeddings is None:
            _, embeddings = embed_images(self.model, data_loader)
        else:
            embeddings = self.pool_embeddings().embeddings
        classes = max(self.model.vocab.get_vocab_size(LABEL_NAMESPACE), 1)
        if len(embeddings) >= _LEAST_IMAGES * classes:
            scaling.fit(embeddings)
            return
        logger.warning(
            "embedding_scaling: %d images are too few for a mean of embeddings; %s goes on without",
            len(embeddings),
            scaling.kind,
        )

    def train(self, recover: bool = False) -> dict[str, Any]:
        """Train the model; it has the best weights at the end.

        Args:
            recover: Resume the run in the `serialization_dir` from its newest checkpoint.

        Returns:
            The metrics, as metrics.json holds them.
        """
        raise NotImplementedError


class EpochTrainer(Trainer):
    """A trainer that works epoch by epoch, as callbacks see it."""

    learns_from_batches = True

    num_epochs: int
    epochs_completed: int
    batches_per_step: int
    data_loader: DataLoader
    validation_data_loader: DataLoader | None
    optimizer: torch.optim.Optimizer
    learning_rate_scheduler: LearningRateScheduler | None
    momentum_scheduler: MomentumScheduler | None
    moving_average: MovingAverage | None
    validation_metric: str | list[str]
    metric_tracker: MetricTracker
    checkpointer: Checkpointer | None
    precision: StepPrecision
    channels_last: bool
    deterministic: bool
    show_progress: bool
    step: TrainingStep
    learning_rates: list[float]
    """Of each parameter group, in the last step."""

    @property
    def steps_completed(self) -> int:
        """The optimizer steps so far, over all epochs."""
        return self.step.count

    def epoch_text(self, epoch: int) -> str:
        """Return what a log shows of an epoch, counted from 0 as in the files: `3/19`."""
        return f"{epoch}/{self.num_epochs - 1}"
