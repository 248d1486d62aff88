"""The image classifier: encoders from the image to a vector, and a linear layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Interval
from numpy.typing import NDArray
from overrides import overrides
from torch import Tensor
from torch.nn import functional as F

from allencv_al.common import ConfigurationError, Lazy
from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.common.config.configurable import Rule
from allencv_al.common.feature_scaling import FeatureScalingKind
from allencv_al.common.names import class_name, did_you_mean
from allencv_al.common.user_mistakes import wrong_result
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.metrics.base import within_classes
from allencv_al.metrics.classification import CategoricalAccuracy, ClassifierMetrics
from allencv_al.models.decision_threshold import DecisionThreshold
from allencv_al.models.embedding_scaling import EmbeddingScaling
from allencv_al.models.encoder_chain import (
    ALL_ZERO,
    SEVERAL,
    chain_faults,
    chain_is_fixed,
    count_from,
    encoders_in,
    is_fixed,
    label_count,
    map_shape,
    smoothing_rule,
    task_rule,
    weights_rule,
)
from allencv_al.models.model import AddableMetrics, Model
from allencv_al.models.multi_label_head import MultiLabelHead, balanced_weights
from allencv_al.modules.feedforward import Count, DropProbability
from allencv_al.modules.im2im_encoders.base import Im2ImEncoder
from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder
from allencv_al.modules.image_shape import ImageShape, input_sizes
from allencv_al.modules.initializer_applicator import InitializerApplicator
from allencv_al.modules.network_encoder import NetworkEncoder
from allencv_al.modules.regularizers import RegularizerApplicator
from allencv_al.modules.weights import (
    load_weights,
    missing_file_faults,
    read_weights,
    reading_enabled,
)

_MOVING_STATISTICS = (
    '"{}" needs the mean of all embeddings, which an encoder that trains keeps changing; '
    'freeze the encoder (requires_grad: false), or take "l2"'
)
_UNKNOWN_IMAGES: ImageShape = (3, None, None)
_Weight = Annotated[float, Ge(0)]
_Share = Annotated[float, Interval(gt=0, lt=1)]


@Model.register("basic_image_classifier")
class BasicImageClassifier(Model):
    """Classify images: `im2im_encoder`, if any, then `im2vec_encoder`, then a linear layer.

    An image has one class or, with the task `multi_label`, several or none: each class then has a
    sigmoid and a threshold of its own, and the metrics are `macro_f1`, `micro_f1`, the precision
    and recall of both, `mean_average_precision`, `subset_accuracy`, `hamming_loss`, and by class
    name `per_class_f1`, `per_class_precision`, `per_class_recall` and
    `per_class_average_precision`, in evaluation.

    Metrics of one class per image: `accuracy`; in evaluation also `top_5_accuracy` (with more than
    five classes), `balanced_accuracy`, `macro_f1`, `roc_auc` and `average_precision` (means of each
    class against the others), `expected_calibration_error` (15 bins); by class name, None where
    undefined, `per_class_accuracy` (recall), `per_class_precision`, `per_class_f1`,
    `per_class_roc_auc` and `per_class_average_precision`; and `confusion_matrix` (rows: the image's
    class).

    Args:
        vocab: The names of the classes.
        im2vec_encoder: From the feature map, or the image itself, to one vector. Its
            `input_channels`, `input_height` and `input_width` are known from what comes before it.
        im2im_encoder: From the image to a feature map.
        dropout: Probability of zeroing a value of the vector while training.
        num_labels: Number of classes; that of the vocabulary by default.
        label_namespace: Namespace of the class names in the vocabulary.
        initializer: Initial values by regular expressions on parameter names.
        embedding_scaling: Scaling of the vector before the linear layer: "none"; "l2", to
            length 1; "power_l2", the square root first, for values of 0 and above; "center_l2",
            minus the mean first; "standardize", to mean 0 and deviation 1; "standardize_l2", to
            length 1 after that. Statistics are those of the pool in active learning, else of the
            training images where there are 5 a class; they need an encoder that does not train.
            "center_l2" is the best for few labels (docs/results/heads.md).
        loss: The loss: "cross_entropy", or "multi_margin", the hinge loss of a support vector
            machine over several classes (Weston and Watkins 1999, `torch.nn.MultiMarginLoss`).
        label_smoothing: Share of the target spread evenly over all classes, 0 to below 1 (Szegedy
            et al. 2015, arXiv:1512.00567); in the loss of evaluation too.
        class_weights: Weight of each class in the loss: a list in the vocabulary's (sorted) order,
            or by class name, where a class that is not named has weight 1; one of them above 0.
            "balanced" gives all classes with training images the same sum of weights, N / (C * n)
            for one of C classes with n of N images (scikit-learn's `class_weight`), in each round
            of active learning anew; a class without images has 1. Archives keep these weights. With
            several classes per image it multiplies the loss of the images that show the class, and
            "balanced" gives these as much weight in sum as all others.
        regularizer: Penalties that training adds to the loss.
        weights_file: Weights of encoder and linear layer to begin with: the `model.safetensors` of
            a run of ours, or a checkpoint whose names the encoder knows (torchvision's for
            `pretrained_resnet` and `torchvision`; akamaster's CIFAR-10 ResNets for
            `cifar_resnet`). Its classes must be the vocabulary's, in its order. To take the
            encoder alone, give the encoder the file.
        metrics: Registered metrics beside those above: a list, or an object that gives each a name.
            In training too.
        decision_class: A rare class. After training it gets the threshold of its probability with
            the largest F1 score on the validation images: from there on, `predict`, the pages and
            audits say that class, else the likeliest other one. Probabilities, and the metrics of
            the likeliest class, stay as they are; `decision_precision`, `decision_recall` and
            `decision_f1` are those of this class by the threshold, `decision_threshold`.
        task: The kind of labels: one class per image, or several.
        thresholds: With several classes per image, the probability from which a class is predicted,
            0.5 by default; or "f1": each class gets the one with its largest F1 score on the
            validation images, after training.
        image_shape: Channels, height and width of the images, None for a size that varies.

    Raises:
        ConfigurationError: The encoders do not fit each other (both shapes are in the message), or
            the class weights do not fit the vocabulary.
        WeightsError: The weights file is absent or does not fit.
    """

    joint_rules: ClassVar[tuple[Rule, ...]] = (smoothing_rule, weights_rule, task_rule)

    def __init__(
        self,
        vocab: Vocabulary,
        im2vec_encoder: Lazy[Im2VecEncoder],
        im2im_encoder: Lazy[Im2ImEncoder] | None = None,
        dropout: DropProbability | None = None,
        num_labels: Count | None = None,
        label_namespace: str = "labels",
        initializer: InitializerApplicator | None = None,
        label_smoothing: DropProbability = 0.0,
        class_weights: list[_Weight] | dict[str, _Weight] | Literal["balanced"] | None = None,
        regularizer: RegularizerApplicator | None = None,
        weights_file: Path | None = None,
        loss: Literal["cross_entropy", "multi_margin"] = "cross_entropy",
        embedding_scaling: FeatureScalingKind = "none",
        metrics: AddableMetrics = None,
        decision_class: str | None = None,
        image_shape: ImageShape | None = None,
        *,
        task: Literal["single_label", "multi_label"] = "single_label",
        thresholds: _Share | Literal["f1"] | None = None,
    ) -> None:
        self.label_task = task  # type: ignore[misc]  # of each model, not of the class
        if task in SEVERAL:
            self.metric_inputs = frozenset({"labels"})  # type: ignore[misc]
        super().__init__(vocab, regularizer, metrics)
        self._make_encoders(im2im_encoder, im2vec_encoder, image_shape)
        self._label_namespace = label_namespace
        self._num_labels = label_count(vocab, label_namespace, num_labels)
        self._label_smoothing = label_smoothing
        self._loss = loss
        width = count_from(self._im2vec_encoder, "get_output_dim")
        self._embedding_scaling = None
        if embedding_scaling != "none":
            self._embedding_scaling = EmbeddingScaling(embedding_scaling, width)
            moves = not self.embedding_is_fixed()
            if moves and EmbeddingScaling.needs_statistics(embedding_scaling):
                message = _MOVING_STATISTICS.format(embedding_scaling)
                raise ConfigurationError(f"embedding_scaling: {message}")
        self._dropout = torch.nn.Dropout(dropout) if dropout else None
        self._width = width
        self._classification_layer = self.make_head(width, self._num_labels)
        self._class_weights: Tensor | None
        # Weights of the config come from there again; those of the training labels do not
        self.balances_classes = class_weights == "balanced"
        weights = self._weight_tensor(class_weights)
        self.register_buffer("_class_weights", weights, persistent=self.balances_classes)
        self._decision: DecisionThreshold | None = None
        if decision_class is not None:
            self._decision = DecisionThreshold(self._class_index("decision_class", decision_class))
        self._several: MultiLabelHead | None = None
        if task in SEVERAL:
            self._several = MultiLabelHead(self._num_labels, thresholds or 0.5)
        self._accuracy = CategoricalAccuracy()  # of training: cheap enough for every step
        # In no checkpoint: an evaluation is begun anew
        self._evaluation = ClassifierMetrics(self._num_labels)
        self._read_weights_file(weights_file)
        if initializer is not None:
            initializer(self)

    takes_embeddings = True
    metric_inputs = frozenset({"classes"})
    head_buffers = frozenset(
        {"_class_weights", "_decision.threshold", "_decision.fitted", "_several.thresholds"}
    )

    @classmethod
    @overrides
    def task_in(cls, config: ConfigView) -> str:
        name = config.get("task")
        return name if isinstance(name, str) else cls.label_task

    def make_head(self, width: int, classes: int) -> torch.nn.Module:
        """Return the module from embeddings `[B, width]` to logits `[B, classes]`."""
        return torch.nn.Linear(width, classes)

    @property
    def linear_layer(self) -> torch.nn.Linear | None:
        """The last layer, from an embedding to logits, where it is a linear one."""
        layer = self._classification_layer
        return layer if isinstance(layer, torch.nn.Linear) else None

    @property
    def class_weights(self) -> Tensor | None:
        """The weight of each class in the loss, if there are any."""
        return self._class_weights

    @property
    @overrides
    def embedding_scaling(self) -> EmbeddingScaling | None:
        return self._embedding_scaling

    @property
    @overrides
    def decision_threshold(self) -> DecisionThreshold | None:
        return self._decision

    @property
    @overrides
    def several_classes(self) -> MultiLabelHead | None:
        return self._several

    @overrides
    def embedding_is_fixed(self) -> bool:
        return is_fixed(self._im2im_encoder, self._im2vec_encoder)

    @overrides
    def balance_classes(self, labels: NDArray[Any]) -> None:
        if not self.balances_classes or self._class_weights is None:
            return
        if self._several is not None:
            with torch.no_grad():
                self._class_weights.copy_(torch.from_numpy(balanced_weights(labels)))
            return
        counts = np.bincount(labels, minlength=self._num_labels)
        present = counts > 0
        weights = np.ones(self._num_labels)
        # Absent classes do not count, so the mean weight of the images is 1
        weights[present] = counts.sum() / (present.sum() * counts[present])
        with torch.no_grad():
            self._class_weights.copy_(torch.from_numpy(weights))

    @overrides
    def embed(self, image: Tensor) -> Tensor:
        if self._im2im_encoder is not None:
            image = self._im2im_encoder(image)
        vectors: Tensor = self._im2vec_encoder(image)
        expected = (image.shape[0], self._width)  # len() would fix the number in an export
        if not isinstance(vectors, Tensor) or vectors.shape != expected:
            wanted = "vectors [B, D], here {} x {}".format(*expected)
            raise wrong_result(self._im2vec_encoder, "forward", wanted, vectors)
        return vectors if self._embedding_scaling is None else self._embedding_scaling(vectors)

    @overrides
    def forward(
        self,
        image: Tensor | None = None,
        label: Tensor | None = None,
        embedding: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return `logits` and `probs` `[B, num_labels]`, float32, and `loss` when labeled.

        With class weights also `loss_sum`: the loss before its division by the sum of the weights.
        With several classes per image, `label_logits` in place of `logits`.

        Args:
            image: Images `[B, C, H, W]`, float.
            label: Class indices `[B]`, int64.
            embedding: The result of `embed` for the images, `[B, D]`; in their place.
            labels: For several classes per image: 1 for each class that an image shows, 0 for
                others, below 0 where it is not known, float `[B, num_labels]`.

        Raises:
            ValueError: A class index is none of a class. On a GPU, which nothing waits for here,
                the metrics find it.
        """
        if self._several is not None:
            outputs = self._outputs(image, labels, embedding)
            if labels is not None:
                if not self.training:
                    self._several.count(outputs["label_logits"], labels)
                known = labels >= 0
                self.count_metrics("labels", outputs["label_logits"], labels.clamp(min=0), known)
            return outputs
        safe = None if label is None else within_classes(label, self._num_labels)
        outputs = self._outputs(image, safe, embedding)
        if label is not None:
            self._count(outputs["logits"], label)
        return outputs

    @overrides
    def loss_weight(self, inputs: Mapping[str, Any], items: int) -> Tensor | float:
        if self._several is not None and "labels" in inputs:
            known: Tensor = inputs["labels"] >= 0
            return known.sum()
        weights, label = self._mean_weights(), inputs.get("label")
        if weights is None or label is None:
            return float(items)
        return weights[within_classes(label.to(weights.device), self._num_labels)].sum()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the network and its loss in place; the arguments are `torch.compile`'s.

        The metrics stay outside: tensors that a compiled graph changes keep it from being a CUDA
        graph.
        """
        self._outputs = torch.compile(self._outputs, *args, **kwargs)  # type: ignore[method-assign]

    @overrides
    def make_output_human_readable(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Add `prediction`, the class index `[B]`, and `class`, the list of class names.

        With several classes per image there are `classes`, the predicted names, and `probabilities`
        by name.
        """
        if self._several is not None:
            return self._several.readable(outputs, self.class_names())
        if self._decision is None:
            prediction = outputs["probs"].argmax(dim=-1)
        else:
            prediction = self._decision.decide(outputs["logits"])
        names = self.class_names()
        outputs["prediction"] = prediction
        outputs["class"] = [names[index] for index in prediction.tolist()]
        return outputs

    @overrides
    def get_metrics(self, reset: bool = False) -> dict[str, Any]:
        if self._several is not None:
            return {} if self.training else self._several.metrics.values(self.class_names(), reset)
        if self.training:
            return {"accuracy": self._accuracy.get_metric(reset)}
        found = self._evaluation.values(self.class_names(), reset)
        return found if self._decision is None else found | self._decision.metrics(reset)

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        yield from missing_file_faults(config)

    @classmethod
    @overrides
    def shape_faults(cls, config: ConfigView, image_shape: ImageShape) -> Iterator[Fault]:
        yield from chain_faults(config, image_shape) or _scaling_faults(config, image_shape)

    @classmethod
    @overrides
    def fixed_embedding_in(cls, config: ConfigView, image_shape: ImageShape) -> bool:
        return chain_is_fixed(config, image_shape)

    def _outputs(
        self, image: Tensor | None, label: Tensor | None, embedding: Tensor | None = None
    ) -> dict[str, Tensor]:
        if (image is None) == (embedding is None):
            raise ValueError("forward takes either image or embedding")
        vectors = self.embed(image) if embedding is None else embedding  # type: ignore[arg-type]
        if self._dropout is not None:
            vectors = self._dropout(vectors)
        # Half precision ends here: a softmax of it would lose its small probabilities
        logits: Tensor = self._classification_layer(vectors).float()
        if self._several is not None:
            outputs = self._several.outputs(logits)
            if label is not None:
                outputs |= self._several.losses(logits, label, self._class_weights)
            return outputs
        outputs = {"logits": logits, "probs": logits.softmax(dim=-1)}
        if label is not None:
            outputs |= self._losses(logits, label)
        return outputs

    def _losses(self, logits: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Return `loss`, and its `loss_sum` where it is a weighted mean."""
        if self._loss == "multi_margin":
            return {"loss": F.multi_margin_loss(logits, label, weight=self._class_weights)}
        weights, smoothing = self._mean_weights(), self._label_smoothing
        if weights is None:
            return {"loss": F.cross_entropy(logits, label, label_smoothing=smoothing)}
        loss = F.cross_entropy(logits, label, weights, reduction="sum", label_smoothing=smoothing)
        total = weights[label].sum()
        # A batch of classes of weight 0 alone teaches nothing: 0, where torch divides by 0
        return {"loss": loss / torch.where(total > 0, total, torch.inf), "loss_sum": loss}

    def _mean_weights(self) -> Tensor | None:
        """Return the weights that the loss is a weighted mean with; None if it is a plain one.

        torch's hinge loss multiplies by the weights but divides by the number of items.
        """
        return self._class_weights if self._loss == "cross_entropy" else None

    def _count(self, logits: Tensor, label: Tensor) -> None:
        (self._accuracy if self.training else self._evaluation)(logits, label)
        if self._decision is not None and not self.training:
            self._decision.count(logits, label)
        self.count_metrics("classes", logits, label)

    @overrides
    def class_names(self) -> list[str]:
        """Return the names by index; a class beyond the vocabulary has only its number."""
        names = self.vocab.get_index_to_token_vocabulary(self._label_namespace)
        return [names.get(index, str(index)) for index in range(self._num_labels)]

    def _class_index(self, key: str, name: str) -> int:
        names = self.vocab.get_index_to_token_vocabulary(self._label_namespace)
        found = [index for index, known in names.items() if known == class_name(name)]
        if not found:
            hint = did_you_mean(class_name(name), names.values())
            hint = hint or f"; known: {', '.join(names.values())}"
            raise ConfigurationError(f'{key}: "{class_name(name)}" is no class{hint}')
        return found[0]

    def _weight_tensor(
        self, weights: list[float] | dict[str, float] | Literal["balanced"] | None
    ) -> Tensor | None:
        if weights is None:
            return None
        if weights == "balanced":  # until there are training images
            return torch.ones(self._num_labels)
        if isinstance(weights, dict):
            by_index = {self._class_index("class_weights", name): weights[name] for name in weights}
            weights = [by_index.get(index, 1.0) for index in range(self._num_labels)]
        if len(weights) != self._num_labels:
            raise ConfigurationError(
                f"class_weights: expected {self._num_labels} weights, one for each class, "
                f"found {len(weights)}"
            )
        if not any(weights):
            raise ConfigurationError(f"class_weights: {ALL_ZERO}")
        return torch.tensor(weights, dtype=torch.float32)

    def _make_encoders(
        self,
        im2im_encoder: Lazy[Im2ImEncoder] | None,
        im2vec_encoder: Lazy[Im2VecEncoder],
        image_shape: ImageShape | None,
    ) -> None:
        shape = image_shape or _UNKNOWN_IMAGES
        self._im2im_encoder: Im2ImEncoder | None = None
        if im2im_encoder is not None:
            self._im2im_encoder = Lazy.wrap(im2im_encoder).construct(**input_sizes(shape))
            channels = count_from(self._im2im_encoder, "get_input_channels")
            shape = map_shape(self._im2im_encoder, image_shape or (channels, None, None))
        self._im2vec_encoder = Lazy.wrap(im2vec_encoder).construct(**input_sizes(shape))
        if im2im_encoder is not None or image_shape is not None:
            self._im2vec_encoder.check_input(*shape)

    def _read_weights_file(self, path: Path | None) -> None:
        if path is None or not reading_enabled():
            return
        encoder, place = (
            (self._im2vec_encoder, "_im2vec_encoder.")
            if self._im2im_encoder is None
            else (self._im2im_encoder, "_im2im_encoder.")
        )
        rules = encoder.name_maps if isinstance(encoder, NetworkEncoder) else ()
        whole = [rule.inside(place, "_classification_layer.") for rule in rules if rule.head]
        weights = read_weights(path)
        own = self.state_dict()
        for name in self.head_buffers:  # those of other training images
            weights.pop(name, None)
            if name in own:
                weights[name] = own[name]
        load_weights(self, weights, str(path), whole)


def _scaling_faults(config: ConfigView, image_shape: ImageShape) -> Iterator[Fault]:
    if not config.sound("embedding_scaling", *encoders_in(config)):
        return  # of an encoder with a fault nothing is known
    kind = config.get("embedding_scaling")
    if not EmbeddingScaling.needs_statistics(kind):
        return
    if not BasicImageClassifier.fixed_embedding_in(config, image_shape):
        yield config.fault("embedding_scaling", _MOVING_STATISTICS.format(kind))
