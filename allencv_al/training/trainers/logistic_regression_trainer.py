"""Trainer `logistic_regression`: fits the last layer exactly, on the embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt
from numpy.typing import NDArray
from overrides import overrides

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.feature_scaling import FeatureScaling, FeatureScalingKind
from allencv_al.data.data_loaders import DataLoader
from allencv_al.models.model import Model
from allencv_al.training.heads.few_label_head import (
    FROM_POOL,
    HeadFitter,
    LabeledEmbeddings,
    Prior,
)
from allencv_al.training.heads.label_spreading import PoolEmbeddings
from allencv_al.training.heads.softmax_regression import LinearLayer
from allencv_al.training.trainers.base import Trainer
from allencv_al.training.trainers.head_trainer import (
    ABSENT_BIAS,
    Features,
    HeadTrainer,
    Labels,
    LinearHeadTrainer,
)


def _standardize_rule(standardize: bool, prior: str) -> Iterator[tuple[str, str]]:
    if standardize and prior != "none":
        remedy = 'set model.embedding_scaling: "standardize", and leave this out'
        yield "standardize", f'a prior ("{prior}") needs the embeddings of the model; {remedy}'


_NO_POOL = (
    "trainer.prior: label_spreading needs the embeddings of unlabeled images: give pool_data_path "
    "or rows without a label at train_data_path (in active learning cache_embeddings, too), or "
    'take "auto" or "class_means"'
)
_NO_TEXTS = (
    'trainer.prior: "texts" is for the model zero_shot_classifier; take "auto" or "class_means"'
)


@Trainer.register("logistic_regression")
class LogisticRegressionTrainer(LinearHeadTrainer):
    """Fit the last linear layer by multinomial logistic regression; for a frozen encoder.

    What `gradient_descent` approaches in many epochs, this finds in one pass over the images and a
    second or two: the minimum of the cross-entropy plus an L2 penalty, which is unique (a convex
    problem, solved by SciPy's L-BFGS). There is no learning rate to choose, and the same
    labels give the same layer. A class without images is never predicted. The model's
    `class_weights` weigh each image in the sum that is minimized, as scikit-learn's `class_weight`
    does; other keys that change how a model learns are refused. Where images have several classes,
    yes or no is fitted for each class by itself.

    With few labels set `prior: "auto"`, `inverse_regularization: "auto"` and the model's
    `embedding_scaling: "center_l2"`: figures are in docs/results/heads.md.

    Args:
        model: The model; it needs a `linear_layer` and embeddings that do not train.
        data_loader: The training data.
        validation_data_loader: The data of the metrics `validation_*`.
        serialization_dir: Folder of the run; without one nothing is written.
        inverse_regularization: The weight of the loss against the penalty, scikit-learn's `C`:
            smaller values keep the weights smaller. "auto" takes the one of 1, 10, 100 and 1000,
            divided by the mean squared norm of the embeddings, with the smallest log-loss on labels
            that were held out (10 stratified folds); with one image of some class 100, or 10 where
            there is a prior. From 100 labels on it may leave the layer of `discriminant_analysis`
            as it is, but for a factor; the metrics then have 0.
        prior: The layer that the penalty pulls to: "none" is 0; "class_means", the one whose
            prediction is the class with the nearest mean (SimpleShot, 1911.04623);
            "label_spreading", the same with means over all images of the pool, whose classes come
            from label spreading over the graph of neighbors (Zhou et al. 2004; Iscen et al.,
            1904.04717): unlabeled images and those of `pool_data_path`;
            "discriminant_analysis", the one for these means, or those of the labeled images without
            a pool, where directions in which labeled images of one class differ count less (see the
            trainer of this name). "auto" takes the one of them with the smallest log-loss on labels
            that were held out; with one image of some class label_spreading, or class_means without
            a pool. "texts" is the layer that a
            `zero_shot_classifier` begins with: a class is pulled to it by the mean probability that
            its images have there, with the strength of CLAP (Silva-Rodríguez et al.,
            arXiv:2312.12730) where nothing can be held out; a class without images keeps it. For
            such a model "auto" has it as a candidate, and takes it with fewer than two images of
            some class. Unlike in CLAP, vectors of classes keep no length 1, so the problem stays
            convex and is solved exactly.
        standardize: Whether each value of the embedding is scaled to mean 0 and deviation 1 over
            the training images first, which makes `inverse_regularization` mean the same for every
            encoder. The scaling becomes part of the layer.
        max_iterations: The most iterations of L-BFGS.
        tolerance: The largest gradient at which it stops.
        cuda_device: Device that encodes images: -1 is the CPU, n the n-th GPU, "auto" the first GPU
            if there is one.
        pool_embeddings: Returns the embeddings of all images to learn from, labeled or not.

    Raises:
        ConfigurationError: The encoder trains, or the model has no such layer.
    """

    joint_rules = (_standardize_rule,)
    unused_model_keys: ClassVar[Mapping[str, str]] = {
        **HeadTrainer.unused_model_keys,
        "regularizer": "its trainer has a penalty of its own: leave it out and "
        "set trainer.inverse_regularization",
    }

    def __init__(
        self,
        model: Model,
        data_loader: DataLoader,
        validation_data_loader: DataLoader | None = None,
        serialization_dir: str | Path | None = None,
        inverse_regularization: Annotated[float, Gt(0)] | Literal["auto"] = 1.0,
        standardize: bool = False,
        max_iterations: Annotated[int, Ge(1)] = 1000,
        tolerance: Annotated[float, Gt(0)] = 1e-4,
        cuda_device: int | Literal["auto"] | None = "auto",
        *,
        prior: Prior | Literal["auto"] = "none",
        pool_embeddings: Callable[[], PoolEmbeddings] | None = None,
    ) -> None:
        super().__init__(
            *(model, data_loader, validation_data_loader, serialization_dir, cuda_device),
            pool_embeddings,
        )
        if prior == "label_spreading" and pool_embeddings is None:
            raise ConfigurationError(_NO_POOL)
        if prior == "texts" and not isinstance(getattr(model, "text_layer", None), torch.Tensor):
            raise ConfigurationError(_NO_TEXTS)
        self._inverse_regularization = inverse_regularization
        self._standardize = standardize
        self._max_iterations = max_iterations
        self._tolerance = tolerance
        self._prior = prior

    takes_targets = frozenset({"label", "labels"})

    @overrides
    def fit(self, ids: Sequence[str], features: Features, labels: NDArray[Any]) -> dict[str, Any]:
        if labels.ndim > 1:
            return self._fit_each(ids, features, labels)
        classes, indices = np.unique(labels, return_inverse=True)
        texts = self._text_layer() if self._prior in ("texts", "auto") else None
        # Texts know all classes, also those without an image
        if texts is not None:
            classes, indices = np.arange(self.linear_layer.out_features), labels
        elif len(classes) == 1:
            self.set_only_class(classes)
            return {}
        mean, scale = self._scaling(features)
        labeled = LabeledEmbeddings(
            ids, (features - mean) / scale, indices, self._weights_of(classes)
        )
        # Held-out images choose the prior, and a class of one image has none to hold out
        is_sparse = texts is not None and np.bincount(labels, minlength=len(classes)).min() < 2
        priors = self._priors(is_sparse)
        pool = None
        if self.pool_embeddings is not None and not FROM_POOL.isdisjoint(priors):
            pool = self.pool_embeddings()
        fitter = HeadFitter(labeled, pool, self._max_iterations, self._tolerance, texts)
        head = fitter.fit(priors, self._strengths(len(classes)))
        # The layer sees plain embeddings: the standardization becomes a part of it
        weights = head.layer.weights / scale
        self.set_layer(classes, LinearLayer(weights, head.layer.biases - weights @ mean))
        if not self._chooses():
            return {}
        return {
            "prior": head.prior,
            "inverse_regularization": head.inverse_regularization,
            "held_out_log_loss": head.log_loss,
        }

    def _fit_each(
        self, ids: Sequence[str], features: Features, labels: NDArray[np.float32]
    ) -> dict[str, Any]:
        """Fit yes or no for each class by itself, from the images of which it is known."""
        mean, scale = self._scaling(features)
        rows = (features - mean) / scale
        weights, biases = np.zeros((labels.shape[1], rows.shape[1])), np.zeros(labels.shape[1])
        given = self.class_weights()
        pool = None
        if self.pool_embeddings is not None and not FROM_POOL.isdisjoint(self._priors(False)):
            pool = self.pool_embeddings()
        strengths: dict[str, float] = {}
        for index, shown in enumerate(labels.T):
            known = np.flatnonzero(shown >= 0)
            answers = (shown[known] > 0).astype(np.int64)
            if len(set(answers.tolist())) < 2:
                # As far from 0 as the row of a class without images
                biases[index] = -ABSENT_BIAS if answers.any() else ABSENT_BIAS
                continue
            own = np.ones(2) if given is None else np.array([1.0, float(given[index])])
            labeled = LabeledEmbeddings(
                [ids[row] for row in known.tolist()], rows[known], answers, own
            )
            fitter = HeadFitter(labeled, pool, self._max_iterations, self._tolerance, None)
            head = fitter.fit(self._priors(False), self._strengths(2))
            no, yes = head.layer.weights
            weights[index] = (yes - no) / scale
            biases[index] = head.layer.biases[1] - head.layer.biases[0] - weights[index] @ mean
            strengths[self.model.class_names()[index]] = head.inverse_regularization
        self.set_layer(np.arange(len(labels.T)), LinearLayer(weights, biases))
        return {"inverse_regularization": strengths} if self._chooses() else {}

    def _chooses(self) -> bool:
        return self._prior == "auto" or self._inverse_regularization == "auto"

    def _text_layer(self) -> LinearLayer | None:
        layer = getattr(self.model, "text_layer", None)
        if not isinstance(layer, torch.Tensor):
            return None
        return LinearLayer(layer.cpu().double().numpy(), np.zeros(len(layer)))

    def _priors(self, only_texts: bool) -> Sequence[Prior]:
        if self._prior != "auto":
            return [self._prior]
        if only_texts:
            return ["texts"]
        from_pool: list[Prior] = [] if self.pool_embeddings is None else ["label_spreading"]
        from_texts: list[Prior] = [] if self._text_layer() is None else ["texts"]
        return [*from_texts, *from_pool, "class_means", "discriminant_analysis", "none"]

    def _strengths(self, classes: int) -> list[float] | None:
        if self._inverse_regularization == "auto":
            return None
        # scikit-learn penalizes the difference of the two weights, which is twice either of them
        return [self._inverse_regularization / (2 if classes == 2 else 1)]

    def _weights_of(self, classes: Labels) -> NDArray[np.float64]:
        """Return the weight of each class that has images, in the sum of losses."""
        weights = self.class_weights()
        if weights is None:
            return np.ones(len(classes))
        found = weights.numpy().astype(np.float64)[classes]
        if not found.any():
            raise ConfigurationError(
                "class_weights: expected a weight above 0 of a class that has training images"
            )
        return found

    def _scaling(self, features: Features) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        kind: FeatureScalingKind = "standardize" if self._standardize else "none"
        scaling = FeatureScaling.fit(kind, features)
        return scaling.mean, scaling.deviation
