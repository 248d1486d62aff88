"""The base of the trainers that fit what follows a frozen encoder, from embeddings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import ConfigurationError, TrainingError
from allencv_al.common.files.atomic_file import write_json
from allencv_al.data.data_loaders import DataLoader
from allencv_al.models.model import Model, resolve_device
from allencv_al.models.precision import Precision
from allencv_al.training.checkpoints.checkpoint_files import write_weights
from allencv_al.training.checkpoints.checkpointer import BEST_WEIGHTS
from allencv_al.training.evaluation import evaluate
from allencv_al.training.heads.label_spreading import PoolEmbeddings
from allencv_al.training.heads.softmax_regression import LinearLayer
from allencv_al.training.run_plots import CONFUSION_MATRIX, write_confusion_matrix
from allencv_al.training.run_records import device_name, write_environment
from allencv_al.training.trainers.base import Trainer
from allencv_al.training.trainers.epoch_metrics import scalars, with_prefix
from allencv_al.training.unlabeled_images import embed_batch

# softmax of it is 1e-13 beside the logits of a regularized fit: never predicted, finite in the loss
ABSENT_BIAS = -30.0

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
"""Class indices `[N]`."""


class HeadTrainer(Trainer):
    """Fits what follows a frozen encoder, from the embeddings of all training images at once.

    Args:
        model: The model; its embeddings do not train.
        data_loader: The training data.
        validation_data_loader: The data of the metrics `validation_*`.
        serialization_dir: Folder of the run; without one nothing is written.
        cuda_device: Device that encodes images: -1 is the CPU, n the n-th GPU, "auto" the first GPU
            if there is one.
        pool_embeddings: Returns the embeddings of all images to learn from, labeled or not.

    Raises:
        ConfigurationError: The trainer cannot train the model.
    """

    goes_on: ClassVar[bool] = False
    takes_targets: ClassVar[frozenset[str]] = frozenset({"label"})
    """The targets of tasks from which it can fit."""

    unused_model_keys: ClassVar[Mapping[str, str]] = {
        "dropout": "its trainer drops nothing: leave it out",
        "label_smoothing": "its trainer has no label smoothing: leave it out, or train by "
        '"gradient_descent"',
        "loss": "its trainer has a loss of its own, if any: leave it out, or train by "
        '"gradient_descent"',
        "regularizer": "its trainer adds no penalty of the model: leave it out",
    }

    def __init__(
        self,
        model: Model,
        data_loader: DataLoader,
        validation_data_loader: DataLoader | None = None,
        serialization_dir: str | Path | None = None,
        cuda_device: int | Literal["auto"] | None = "auto",
        pool_embeddings: Callable[[], PoolEmbeddings] | None = None,
    ) -> None:
        super().__init__(model, serialization_dir, resolve_device(cuda_device), pool_embeddings)
        if fault := self.model_fault(model):
            raise ConfigurationError(f"trainer: {fault}")
        self.data_loader = data_loader
        self.validation_data_loader = validation_data_loader

    @classmethod
    @overrides
    def model_fault(cls, model: Model) -> str | None:
        if cls.takes_targets.issuperset(model.task.targets):
            return None
        return (
            f"it learns from {' or '.join(sorted(cls.takes_targets))}, and labels of the kind "
            f'"{model.task.name()}" are {" and ".join(model.task.targets)}; expected the trainer '
            "gradient_descent"
        )

    @abstractmethod
    def fit(self, ids: Sequence[str], features: Features, labels: Labels) -> dict[str, Any]:
        """Set what follows the embeddings; return what was chosen, where anything was to choose.

        Args:
            ids: The training images, `[N]`.
            features: Their embeddings, with the model's scaling, `[N, D]`.
            labels: Class indices `[N]`; or the target of another task, one row per image.
        """

    @overrides
    def replace_loaders(self, replaced: Callable[[DataLoader, Precision], DataLoader]) -> None:
        self.data_loader = replaced(self.data_loader, "auto")
        if self.validation_data_loader is not None:
            self.validation_data_loader = replaced(self.validation_data_loader, "auto")

    @overrides
    def train(self, recover: bool = False) -> dict[str, Any]:
        ids, features, labels = self._collect()
        self.model.balance_classes(labels)
        choices = self.fit(ids, features, labels)
        if self.serialization_dir is not None:
            write_environment(self.serialization_dir, device=device_name(self.device))
            weights = {name: value.cpu().clone() for name, value in self.model.state_dict().items()}
            # Before anything is measured: an image that cannot be read must not cost the model
            write_weights(self.serialization_dir / BEST_WEIGHTS, weights)
        self.has_result = True
        metrics: dict[str, Any] = {
            "training_images": len(labels),
            **choices,
            **with_prefix("training", self._measure_training(features, labels)),
        }
        if self.validation_data_loader is not None:
            found = evaluate(self.model, self.validation_data_loader, self.device, description=None)
            metrics.update(with_prefix("validation", found))
            metrics.update(with_prefix("best_validation", found))
            self._draw_confusion(found)
        if self.serialization_dir is not None:
            write_json(self.serialization_dir / "metrics.json", metrics)
        return metrics

    def _draw_confusion(self, found: dict[str, Any]) -> None:
        matrix = found.get("confusion_matrix")
        if self.serialization_dir is not None and matrix is not None:
            path = self.serialization_dir / CONFUSION_MATRIX
            write_confusion_matrix(path, matrix, self.model.vocab, "validation")

    def _collect(self) -> tuple[list[str], Features, Labels]:
        """Return ids, embeddings `[N, D]` and class indices `[N]` of the training images."""
        ids: list[str] = []
        features: list[torch.Tensor] = []
        labels: list[torch.Tensor] = []
        target = self.model.task.targets[0]
        self.fit_embedding_scaling(self.data_loader)
        self.model.eval()
        with torch.no_grad():
            for batch in self.data_loader.batches(0):
                tensors = self.data_loader.to_device(batch, self.device)
                if target not in tensors:
                    raise TrainingError(
                        f"no label for one of {', '.join(batch.ids[:3])} ...; training needs "
                        "labeled images"
                    )
                embedding = tensors.get("embedding")
                if embedding is None:
                    embedding = embed_batch(self.model, tensors["image"])
                ids += batch.ids
                features.append(embedding.float().cpu())
                labels.append(tensors[target].cpu())
        if not features:
            raise TrainingError("the data loader gave no batches: is there any training data?")
        rows = torch.cat(features).numpy()
        odd = np.flatnonzero(~np.isfinite(rows).all(axis=1)).tolist()
        if odd:
            raise TrainingError(
                f"the embeddings of {len(odd)} of {len(ids)} images hold NaN or infinity "
                f"({', '.join(ids[row] for row in odd[:3])}); are the encoder's weights whole, and "
                "is its input normalized as it was trained?"
            )
        return ids, rows, torch.cat(labels).numpy()

    def class_weights(self) -> torch.Tensor | None:
        """Return the weight of each class in the loss, `[C]` on the CPU, if there are any."""
        weights = getattr(self.model, "class_weights", None)
        return weights.cpu() if isinstance(weights, torch.Tensor) else None

    def _measure_training(self, features: Features, labels: Labels) -> dict[str, float]:
        with torch.no_grad():
            embedding = torch.from_numpy(features).to(self.device)
            target = self.model.task.targets[0]
            if target != "label":
                self.model.collect_metrics(reset=True)
                outputs = self.model(
                    embedding=embedding, **{target: torch.from_numpy(labels).to(self.device)}
                )
                own = self.model.collect_metrics(reset=True)
                return {**scalars(own), "loss": float(outputs["loss"])}
            logits = self.model(embedding=embedding)["logits"].cpu()
        gold = torch.from_numpy(labels)
        right = (logits.argmax(dim=1) == gold).float().mean()
        class_weights = self.class_weights()
        loss = torch.nn.functional.cross_entropy(logits, gold, class_weights)
        if class_weights is not None and not class_weights[gold].any():
            loss = torch.zeros(())  # nothing weighs, and torch divides by the weights
        return {"accuracy": float(right), "loss": float(loss)}


class LinearHeadTrainer(HeadTrainer):
    """Fits the last linear layer; a class without images is never predicted."""

    sets_linear_layer = True

    @classmethod
    @overrides
    def model_fault(cls, model: Model) -> str | None:
        if fault := super().model_fault(model):
            return fault
        layer = getattr(model, "linear_layer", None)
        if isinstance(layer, torch.nn.Linear) and model.embedding_is_fixed():
            return None
        return (
            "it fits the last linear layer alone, so it expects an encoder that does not train "
            "(requires_grad: false); found one that does, or a model without linear_layer"
        )

    @property
    def linear_layer(self) -> torch.nn.Linear:
        """The layer that is fitted."""
        layer = getattr(self.model, "linear_layer", None)
        assert isinstance(layer, torch.nn.Linear)
        return layer

    def set_layer(self, classes: Labels, layer: LinearLayer) -> None:
        """Set the rows of some classes; those of the others are such that none is predicted.

        Args:
            classes: Class indices, one for each row of the layer.
            layer: Its weights and biases.
        """
        linear = self.linear_layer
        with torch.no_grad():
            linear.weight.zero_()
            linear.bias.fill_(ABSENT_BIAS)
            linear.weight[classes] = torch.from_numpy(layer.weights).to(linear.weight)
            linear.bias[classes] = torch.from_numpy(layer.biases).to(linear.bias)

    def set_only_class(self, classes: Labels) -> None:
        """Set a layer that always predicts one class, which needs no images."""
        self.set_layer(
            classes, LinearLayer(np.zeros((1, self.linear_layer.in_features)), np.zeros(1))
        )
