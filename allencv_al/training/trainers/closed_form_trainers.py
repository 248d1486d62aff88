"""Trainers without a search: class means, discriminant analysis, nearest neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Interval
from overrides import overrides

from allencv_al.data.data_loaders import DataLoader
from allencv_al.models.model import Model
from allencv_al.models.nearest_neighbors_classifier import NearestNeighborsClassifier
from allencv_al.training.heads.few_label_head import (
    SHRINKAGE,
    HeadFitter,
    LabeledEmbeddings,
    Prior,
)
from allencv_al.training.trainers.base import Trainer
from allencv_al.training.trainers.head_trainer import (
    Features,
    HeadTrainer,
    Labels,
    LinearHeadTrainer,
)


class _ClosedFormTrainer(LinearHeadTrainer):
    """Sets the last layer to one that is computed from the labeled images alone."""

    head: ClassVar[Prior]
    shrinkage: float | Literal["ledoit_wolf", "oas"] = SHRINKAGE

    @overrides
    def fit(self, ids: Sequence[str], features: Features, labels: Labels) -> dict[str, Any]:
        classes, indices = np.unique(labels, return_inverse=True)
        if len(classes) == 1:
            self.set_only_class(classes)
            return {}
        labeled = LabeledEmbeddings(ids, features.astype(float), indices, np.ones(len(classes)))
        layer, loss = HeadFitter(labeled, shrinkage=self.shrinkage).closed_form(self.head)
        self.set_layer(classes, layer)
        return {"held_out_log_loss": loss}


@Trainer.register("class_means")
class ClassMeansTrainer(_ClosedFormTrainer):
    """Set the last layer to predict the class with the nearest mean; for a frozen encoder.

    Each class counts the same, however many images it has (SimpleShot, 1911.04623). Probabilities
    have the temperature with the smallest log-loss on labels that were held out. This is the
    reference that a method should beat; `logistic_regression` with `prior: "auto"` begins here and
    outgrows it (docs/results/heads.md).

    Args:
        model: The model; it needs a `linear_layer` and embeddings that do not train.
        data_loader: The training data.
        validation_data_loader: The data of the metrics `validation_*`.
        serialization_dir: Folder of the run; without one nothing is written.
        cuda_device: Device that encodes images: -1 is the CPU, n the n-th GPU, "auto" the first GPU
            if there is one.
        pool_embeddings: Returns the embeddings of all images, whose statistics `embedding_scaling`
            has.

    Raises:
        ConfigurationError: The encoder trains, or the model has no such layer.
    """

    head = "class_means"


@Trainer.register("discriminant_analysis")
class DiscriminantAnalysisTrainer(_ClosedFormTrainer):
    """Set the last layer by linear discriminant analysis; for a frozen encoder.

    The class with the nearest mean is predicted, where directions in which images of one class
    differ count less: `class_means` in the metric of the inverse covariance within the classes.
    Each class counts the same. Probabilities have the temperature with the smallest log-loss on
    labels that were held out. With one image of each class this is `class_means`.

    Args:
        model: The model; it needs a `linear_layer` and embeddings that do not train.
        data_loader: The training data.
        shrinkage: The share of a sphere in the covariance, which few images cannot tell: above 0,
            1 is `class_means`. "ledoit_wolf" and "oas" estimate it (Ledoit and Wolf 2004; Chen et
            al. 2010); figures are in docs/results/heads.md.
        kwargs: The parameters of `class_means`.

    Raises:
        ConfigurationError: The encoder trains, or the model has no such layer.
    """

    head = "discriminant_analysis"

    def __init__(
        self,
        model: Model,
        data_loader: DataLoader,
        *,
        shrinkage: Annotated[float, Interval(gt=0, le=1)]
        | Literal["ledoit_wolf", "oas"] = SHRINKAGE,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, data_loader, **kwargs)
        self.shrinkage = shrinkage


@Trainer.register("nearest_neighbors")
class NearestNeighborsTrainer(HeadTrainer):
    """Store the training images' embeddings in a `nearest_neighbors_classifier`.

    Training images vote for themselves in `training_accuracy`: only other images measure.

    Args:
        model: The model `nearest_neighbors_classifier`; its embeddings do not train.
        data_loader: The training data.
        validation_data_loader: The data of the metrics `validation_*`.
        serialization_dir: Folder of the run; without one nothing is written.
        cuda_device: Device that encodes images: -1 is the CPU, n the n-th GPU, "auto" the first GPU
            if there is one.
        pool_embeddings: Returns the embeddings of all images, whose statistics `embedding_scaling`
            has.

    Raises:
        ConfigurationError: The encoder trains, or the model is another one.
    """

    @classmethod
    @overrides
    def model_fault(cls, model: Model) -> str | None:
        if isinstance(model, NearestNeighborsClassifier) and model.embedding_is_fixed():
            return None
        return (
            'it expects the model "nearest_neighbors_classifier" with an encoder that does not '
            "train (requires_grad: false)"
        )

    @overrides
    def fit(self, ids: Sequence[str], features: Features, labels: Labels) -> dict[str, Any]:
        assert isinstance(self.model, NearestNeighborsClassifier)
        self.model.store(features, labels)
        return {}
