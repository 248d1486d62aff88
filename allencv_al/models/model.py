"""The base of all models, the device that one runs on, and the batches that its layers refuse."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from allencv_al.common import Registrable
from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files.json_values import not_json
from allencv_al.common.user_mistakes import wrong_result
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.metrics.added_metrics import AddedMetrics
from allencv_al.metrics.base import Metric, MetricInput
from allencv_al.models.decision_threshold import DecisionThreshold
from allencv_al.models.embedding_scaling import EmbeddingScaling
from allencv_al.models.multi_label_head import MultiLabelHead
from allencv_al.modules.image_shape import ImageShape
from allencv_al.modules.regularizers import RegularizerApplicator
from allencv_al.tasks.base import LabelTask, label_task

# Group norm is among them: where each group is one channel it refuses a single value, too.
_LAYERS = (torch.nn.modules.batchnorm._BatchNorm, torch.nn.GroupNorm)
_ONE_VALUE = "Expected more than 1"  # what torch says, of values per channel or spatial elements

OUTPUTS = ("logits", "label_logits", "scores", "objects", "embeddings")
"""Outputs of a model with one row per image; its task says which of them it has."""


def needs_several_items(model: torch.nn.Module) -> bool:
    """Return whether a layer in training mode may refuse a batch of one item."""
    return any(module.training and isinstance(module, _LAYERS) for module in model.modules())


def is_one_value_error(error: ValueError) -> bool:
    """Return whether torch refuses to normalize because there is one value per channel."""
    return str(error).startswith(_ONE_VALUE)


def one_value_message(items: int, cause: str) -> str:
    """Return the message for that error, with its remedy.

    Args:
        items: Number of items in the batch.
        cause: The message of torch.
    """
    if items == 1:
        return (
            "a normalization layer of the model cannot learn from one image, whose map is 1x1 "
            f"there ({cause}); expected a batch_size of 2 or more and 2 or more training images, "
            "or larger images"
        )
    return (
        f"a normalization layer of the model sees one value per channel of each image ({cause}); "
        "expected larger images, or fewer layers that make them smaller"
    )


def resolve_device(cuda_device: int | str | None) -> torch.device:
    """Return the device that a `cuda_device` option names.

    Args:
        cuda_device: -1 is the CPU, n the n-th GPU, "auto" (or None) the first GPU if there is one.

    Raises:
        ConfigurationError: That GPU is not there.
    """
    fault = device_fault(cuda_device)
    if fault is not None:
        raise ConfigurationError(f"cuda_device: {fault}")
    if cuda_device is None or cuda_device == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    return torch.device("cpu") if cuda_device == -1 else torch.device("cuda", int(cuda_device))


def device_fault(cuda_device: int | str | None) -> str | None:
    """Return what is wrong with a `cuda_device` option on this machine, or None."""
    if cuda_device is None or cuda_device == "auto" or cuda_device == -1:
        return None
    # Not isinstance: True is an int, too
    if type(cuda_device) is not int or cuda_device < -1:
        return f'expected -1 (CPU), the number of a GPU or "auto", found {cuda_device!r}'
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if cuda_device < count:
        return None
    found = f"torch finds {count} GPU(s)" if count else "torch finds no GPU"
    return f'GPU {cuda_device} was asked for, but {found} here; use -1 for the CPU or "auto"'


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Flush denormal numbers (below 1.2e-38) to zero on the CPU, within a `with` block.

    Weights that decay pass through them on their way to 0, and a CPU multiplies them some fifty
    times slower than others.
    """
    if _flushes_denormals() or not torch.set_flush_denormal(True):
        yield
        return
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _flushes_denormals() -> bool:
    # 1e-40 is denormal in float32, and 0 only where this thread flushes such numbers
    return bool(torch.full((1,), 1e-38, dtype=torch.float32).mul(0.01) == 0)


AddableMetrics = list[Metric] | dict[str, Metric] | None
"""Metrics that a config adds: a list of registered names or objects, or names for them."""


class Model(torch.nn.Module, Registrable):
    """A network with its loss and its metrics.

    A subclass writes `forward(image, label=None, ...)`, which takes a batch's tensors by name and
    returns a dictionary: `loss` when the labels are given, and the outputs.

    Args:
        vocab: The names of the classes.
        regularizer: Penalties that training adds to the loss.
        metrics: Registered metrics beside the model's own: a list, or an object that gives each
            a name. They get what the model passes to `count_metrics`.

    Raises:
        ConfigurationError: Two metrics have one name, or the model has not what one takes.
    """

    builtin: ClassVar[dict[str, str]] = {
        "basic_image_classifier": "allencv_al.models.basic_classifier",
        "nearest_neighbors_classifier": "allencv_al.models.nearest_neighbors_classifier",
        "faster_rcnn": "allencv_al.models.detection.rcnn",
        "fcos": "allencv_al.models.detection.detectors",
        "keypoint_rcnn": "allencv_al.models.detection.rcnn",
        "retinanet": "allencv_al.models.detection.detectors",
        "rpn": "allencv_al.models.detection.rcnn",
        "semantic_segmentation": "allencv_al.models.segmentation.semantic_segmentation",
        "ssdlite": "allencv_al.models.detection.detectors",
        "torchvision_detection": "allencv_al.models.detection.detectors",
        "torchvision_segmentation": "allencv_al.models.segmentation.torchvision_segmentation",
        "zero_shot_classifier": "allencv_al.models.zero_shot_classifier",
    }
    injected = ("vocab", "serialization_dir", "image_shape")

    default_predictor: ClassVar[str] = "default_image"
    """The registered name of the predictor for this kind of model."""

    takes_embeddings: ClassVar[bool] = False
    """Whether `forward` takes `embedding=` (what `embed` returned) in place of `image=`."""

    predicts_untrained: ClassVar[bool] = False
    """Whether the initial weights predict classes, as vectors of the classes' names do."""

    balances_classes: bool = False
    """Whether the weights of the classes in the loss depend on the training labels."""

    has_evaluation_loss: ClassVar[bool] = True
    """Whether `forward` returns a loss in evaluation, too, by which epochs can be chosen."""

    normalizes_images: ClassVar[bool] = False
    """Whether the model wants images from 0 to 1, which no transform has normalized."""

    metric_inputs: ClassVar[frozenset[MetricInput]] = frozenset()
    """The kinds of inputs that the model gives to metrics of a config; see `Metric.takes`."""

    label_task: ClassVar[str] = "single_label"
    """The registered name of the kind of labels that the model learns; see `LabelTask`."""

    head_buffers: ClassVar[frozenset[str]] = frozenset()
    """Names of buffers that training sets, and on which no embedding depends."""

    def __init__(
        self,
        vocab: Vocabulary,
        regularizer: RegularizerApplicator | None = None,
        metrics: AddableMetrics = None,
    ) -> None:
        super().__init__()
        self.vocab = vocab
        self._regularizer = regularizer
        self._added_metrics = AddedMetrics(metrics, self.metric_inputs)

    @abstractmethod
    def forward(self, image: Tensor, label: Tensor | None = None) -> dict[str, Any]:
        """Return the outputs for a batch, with `loss` when it is labeled.

        Args:
            image: Images `[B, C, H, W]`, float.
            label: Class indices `[B]`, int64.
        """
        raise NotImplementedError

    def embed(self, image: Tensor) -> Tensor:
        """Return the vectors `[B, D]` that the last linear layer sees.

        Args:
            image: Images `[B, C, H, W]`, float.
        """
        raise NotImplementedError(f"{type(self).__name__} has no embeddings")

    def objects(self, image: Tensor) -> Tensor:
        """Return the surest objects that are found in each image, float `[B, K, 3 + D]`.

        See `objects` of `Pool`.

        Args:
            image: Images `[B, C, H, W]`, float.
        """
        raise NotImplementedError(f"{type(self).__name__} finds no objects")

    @property
    def embedding_scaling(self) -> EmbeddingScaling | None:
        """The scaling that `embed` ends with, if there is one."""
        return None

    @property
    def decision_threshold(self) -> DecisionThreshold | None:
        """The threshold from which one class is predicted, if there is one."""
        return None

    @property
    def several_classes(self) -> MultiLabelHead | None:
        """The sigmoids of the classes, where an image may have several."""
        return None

    @property
    def task(self) -> LabelTask:
        """The kind of labels that the model learns."""
        return label_task(self.label_task)

    @classmethod
    def task_in(cls, config: ConfigView) -> str:
        """Return the registered name of the task of the model that a config describes."""
        return cls.label_task

    def embedding_is_fixed(self) -> bool:
        """Return whether an image's embedding before its scaling stays the same for good.

        True where neither a parameter that trains nor chance stands before it: then each image is
        encoded once, however often the rest is trained.
        """
        return False

    def balance_classes(self, labels: NDArray[Any]) -> None:
        """Set the weights of the classes in the loss, where `balances_classes`.

        Args:
            labels: The first of the task's `targets` of the images that the model is about to be
                trained on, such as class indices `[N]`.
        """

    def loss_weight(self, inputs: Mapping[str, Any], items: int) -> Tensor | float:
        """Return what the loss of a batch counts in the mean over several batches.

        A model whose `loss` is another mean than that over the items says here what it divides
        by: the sum of the items' weights, for example.

        Args:
            inputs: The inputs of `forward`, on any device.
            items: Number of items.
        """
        return float(items)

    def loss_sum(self, outputs: Mapping[str, Any], inputs: Mapping[str, Any], items: int) -> Tensor:
        """Return the loss of a batch before it is divided by its `loss_weight`.

        Args:
            outputs: The outputs of `forward` for the inputs, with `loss`; its `loss_sum`, where it
                has one, is the result.
            inputs: The inputs of `forward`.
            items: Number of items.
        """
        if "loss_sum" in outputs:
            found: Tensor = outputs["loss_sum"]
            return found
        loss: Tensor = outputs["loss"]
        return loss * self.loss_weight(inputs, items)

    def make_output_human_readable(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Add what a person reads to the outputs of `forward`, and return them."""
        return outputs

    def get_metrics(self, reset: bool = False) -> dict[str, Any]:
        """Return the metrics of the batches so far, all of them JSON.

        In training mode those of training, else those of evaluation: they are kept apart.

        Args:
            reset: Whether to begin anew afterwards.
        """
        return {}

    def collect_metrics(self, reset: bool = False) -> dict[str, Any]:
        """Return what `get_metrics` returns and the metrics of the config; tensors as numbers.

        Raises:
            UserCodeError: It is no dictionary, or not JSON.
        """
        found = self.get_metrics(reset=reset)
        if not isinstance(found, Mapping):
            raise wrong_result(self, "get_metrics", "a dictionary of metrics", found)
        added = self._added_metrics.values(self.training, self.class_names, reset)
        metrics = {name: _number_of(value) for name, value in {**found, **added}.items()}
        odd = not_json(metrics)
        if odd is not None:
            place, value = odd
            raise wrong_result(self, "get_metrics", f"JSON as the metric {place}", value)
        return metrics

    def count_metrics(
        self,
        kind: MetricInput,
        predictions: Any,
        gold: Any = None,
        mask: Tensor | None = None,
    ) -> None:
        """Add a batch to the metrics of the config that take inputs of this kind.

        Args:
            kind: The kind of the inputs, one of `metric_inputs`; see `Metric.takes`.
            predictions: The predictions.
            gold: The gold values.
            mask: The items that count; all by default.
        """
        self._added_metrics(self.training, kind, predictions, gold, mask)

    def class_names(self) -> Sequence[str]:
        """Return a name for each class, by index; those of the vocabulary by default."""
        return list(self.vocab.get_index_to_token_vocabulary().values())

    def metric_state(self) -> dict[str, Tensor]:
        """Return the sums behind the metrics; a mid-epoch checkpoint needs them."""
        state = ((name, metric.state()) for name, metric in self._metrics().items())
        return {name: sums for name, sums in state if sums is not None}

    def load_metric_state(self, state: Mapping[str, Tensor]) -> None:
        """Set the sums behind the metrics to what `metric_state` returned; reset the others."""
        for name, metric in self._metrics().items():
            metric.load_state(state.get(name))

    def get_regularization_penalty(self) -> Tensor | None:
        """Return what training adds to the loss; None where no parameter has a penalty."""
        return None if self._regularizer is None else self._regularizer(self)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; a batch norm whose parameters are frozen stays in evaluation mode.

        So gradual unfreezing and `no_grad` freeze a layer wholly. torch alone would keep updating
        its statistics, and so change what a frozen layer computes.
        """
        super().train(mode)
        if mode:
            for module in self.modules():
                if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                    weight = module.weight
                    if weight is not None and not weight.requires_grad:
                        module.eval()
        return self

    @classmethod
    def shape_faults(cls, config: ConfigView, image_shape: ImageShape) -> Iterator[Fault]:
        """Yield the parts of the config that do not fit each other, or the images.

        Args:
            config: The model's config.
            image_shape: Channels, height and width that the dataset reader gives; None for a
                size that varies by image.
        """
        return iter(())

    @classmethod
    def fixed_embedding_in(cls, config: ConfigView, image_shape: ImageShape) -> bool:
        """Return whether the model that a config describes will have an `embedding_is_fixed`.

        Args:
            config: The model's config.
            image_shape: As in `shape_faults`.
        """
        return False

    def _metrics(self) -> dict[str, Metric]:
        own = {name: value for name, value in vars(self).items() if isinstance(value, Metric)}
        added = self._added_metrics.of_training()
        return own | {f"metrics.{name}": metric for name, metric in added.items()}


def _number_of(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.item() if value.numel() == 1 else value.tolist()
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def scaling_names(model: Model) -> set[str]:
    """Return the names of the statistics of a model's `embedding_scaling` in its state."""
    scaling = model.embedding_scaling
    own = set() if scaling is None else {id(buffer) for buffer in scaling.buffers()}
    return {name for name, buffer in model.named_buffers() if id(buffer) in own}


def checked_outputs(model: Model, outputs: Any) -> dict[str, Any]:
    """Return what `forward` returned.

    Raises:
        UserCodeError: It is no dictionary, or its loss is no single number.
    """
    if not isinstance(outputs, Mapping):
        raise wrong_result(model, "forward", 'a dictionary with "loss" and the outputs', outputs)
    loss = outputs.get("loss")
    if loss is not None and not (isinstance(loss, Tensor) and loss.numel() == 1):
        raise wrong_result(model, "forward", 'as "loss" a tensor of one number', loss)
    if loss is not None and loss.ndim:  # [1]: sums and means are taken of single numbers
        return {**outputs, "loss": loss.reshape(())}
    return outputs if isinstance(outputs, dict) else dict(outputs)


def model_outputs(model: Model, image: Tensor, needs: Collection[str]) -> dict[str, Tensor]:
    """Return what is needed, each `[B, ...]`, by the fewest passes.

    A model that takes embeddings encodes the image once for both.

    Args:
        model: The model, in the mode that is wanted.
        image: Images `[B, C, H, W]`, float.
        needs: Some of `OUTPUTS`.
    """
    of_head = set(needs) - {"embeddings", "objects"}
    # Objects have features of places that no forward returns
    outputs = {"objects": model.objects(image)} if "objects" in needs else {}
    if "embeddings" not in needs:
        return outputs | (head_outputs(model, model(image=image), of_head) if of_head else {})
    outputs["embeddings"] = model.embed(image)
    if of_head:
        inputs = {"image": image}
        if model.takes_embeddings:
            inputs = {"embedding": outputs["embeddings"]}
        outputs |= head_outputs(model, model(**inputs), of_head)
    return outputs


def head_outputs(
    model: Model, found: Mapping[str, Any], needs: Collection[str]
) -> dict[str, Tensor]:
    """Return what is needed of a result of `forward`, each with one row per image.

    Args:
        model: The model, whose task reduces what has the size of an image to `scores`.
        found: The result of its `forward`.
        needs: Some of `logits`, `label_logits` and `scores`. `label_logits` are told from the
            thresholds of the classes: a class is predicted from 0 on.

    Raises:
        UserCodeError: The result has not what the model's kind of labels has.
    """
    outputs = {}
    for name in ("logits", "label_logits"):
        if name in needs:
            rows = found.get(name)
            if not isinstance(rows, Tensor) or rows.ndim != 2:
                expected = (
                    f'`{name}` [B, C], as label_task = "{model.label_task}" has them; a model of '
                    f"masks, boxes or several classes names its own kind"
                )
                raise wrong_result(model, "forward", expected, found)
            outputs[name] = rows
    several = model.several_classes
    if "label_logits" in outputs and several is not None:
        outputs["label_logits"] = several.over_thresholds(outputs["label_logits"])
    if "scores" in needs:
        outputs["scores"] = model.task.unit_scores(found)
    return outputs
