"""Cold start: embeddings of an ImageNet network, for a first query without a trained model."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import torch
from torchvision import models

from allencv_al.common.errors import ConfigurationError, WeightsError
from allencv_al.common.files.paths import expanded
from allencv_al.data.dataset_readers.image_classification_directory import (
    ImageClassificationDirectory,
)
from allencv_al.data.instance import LABEL_NAMESPACE
from allencv_al.data.transforms.normalize import Normalize
from allencv_al.data.transforms.resizing import Resize
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.basic_classifier import BasicImageClassifier
from allencv_al.models.model import resolve_device
from allencv_al.modules.foreign_weights import SUFFIXES
from allencv_al.modules.im2im_encoders.torchvision import TorchvisionEncoder
from allencv_al.modules.im2vec_encoders.pooling import PoolEncoder
from allencv_al.modules.torchvision_networks import name_problem
from allencv_al.modules.weights import read_weights
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.predictors.predictor import Predictor
from allencv_al.selection.strategies.base import QueryStrategy, needs_of

logger = logging.getLogger(__name__)

DEFAULT_IMAGE_SIZE = 224  # the size that torchvision's ImageNet weights were trained at
DEFAULT_STRATEGY = "typiclust"

_PUBLISHED = "DEFAULT"
_NO_CLASS = "unknown"  # a classifier needs a class; this one is never asked for predictions
_OF_EMBEDDINGS = {"embeddings", "labeled_embeddings"}


def embedding_predictor(
    encoder: str,
    weights_file: Path | None = None,
    image_size: int = DEFAULT_IMAGE_SIZE,
    classes: Iterable[str] = (),
    cuda_device: int | str = -1,
) -> Predictor:
    """Return a predictor whose embeddings are useful and whose logits are not.

    Args:
        encoder: The name of a torchvision classifier (`squeezenet1_1`, `resnet18`); its feature map
            is averaged over all positions.
        weights_file: Its weights. Default: the weights that torchvision publishes, downloaded once.
        image_size: Images are scaled to this height and width.
        classes: The classes of the labeled images, if any.
        cuda_device: Its device: -1 is the CPU, n the n-th GPU, "auto" the first GPU if any.

    Raises:
        ConfigurationError: torchvision has no such classifier, or the size is too small for it.
        WeightsError: The weights are absent, cannot be downloaded, or do not fit.
    """
    problem = name_problem(encoder)
    if problem:
        raise ConfigurationError(problem)
    if image_size < 1:
        raise ConfigurationError(f"image_size: expected at least 1, found {image_size}")
    device = resolve_device(cuda_device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the last layer is not used, but equal seeds keep fingerprints equal
        network = _encoder(encoder, weights_file)
        channels = _feature_channels(network, encoder, image_size)
        vocabulary = Vocabulary({LABEL_NAMESPACE: dict.fromkeys(classes, 1) or {_NO_CLASS: 1}})
        model = BasicImageClassifier(vocabulary, PoolEncoder(channels), network)
    reader = ImageClassificationDirectory(
        [
            Resize(image_size, image_size, interpolation="area"),
            Normalize(),  # by ImageNet's mean and deviation, as torchvision's classifiers expect
        ],
        unlabeled="always",
    )
    return ImagePredictor(model.to(device).eval(), reader)


def split_weights(text: str) -> tuple[str, Path | None]:
    """Split `squeezenet1_1:weights.pth` into the name and the file; the file may be absent."""
    name, _, file = text.partition(":")
    return name, expanded(file) if file else None


def check_needs_no_model(strategy: QueryStrategy, name: str) -> None:
    """Raise if a strategy needs more than embeddings: only a trained model has logits.

    Args:
        strategy: The strategy.
        name: Its name in the message.

    Raises:
        ConfigurationError: It needs more; the message lists strategies that do not.
    """
    further = sorted(needs_of(strategy) - _OF_EMBEDDINGS)
    if further:
        raise ConfigurationError(
            f"{name} needs {', '.join(further)} of a trained model, and without one there are "
            f"embeddings only; strategies for those: {', '.join(strategies_without_model())}"
        )


def strategies_without_model() -> list[str]:
    """Return the registered strategies that need at most embeddings and wrap no other strategy."""
    return [name for name in QueryStrategy.list_available() if _works_by_name(name)]


def _works_by_name(name: str) -> bool:
    try:
        strategy: QueryStrategy = QueryStrategy.from_params(name)
    except ConfigurationError:
        return False  # a wrapper: its needs are those of the wrapped strategy
    return needs_of(strategy) <= _OF_EMBEDDINGS


def _encoder(name: str, weights_file: Path | None) -> TorchvisionEncoder:
    if weights_file is not None:
        if weights_file.suffix not in SUFFIXES or not weights_file.is_file():
            read_weights(weights_file)  # raises the error that names the fault
        return TorchvisionEncoder(name, str(weights_file), requires_grad=False)
    try:
        return TorchvisionEncoder(name, _PUBLISHED, requires_grad=False)
    except WeightsError as error:
        url = models.get_model_weights(name)[_PUBLISHED].url
        file = url.rpartition("/")[2]
        logger.debug("%s", error)
        raise WeightsError(
            f"the weights of {name} are not on this machine and cannot be downloaded "
            f"({_cause(error)}); fetch {url} elsewhere, and name the file: {name}:{file}"
        ) from error


def _cause(error: BaseException) -> BaseException:
    return error if error.__cause__ is None else error.__cause__


def _feature_channels(network: TorchvisionEncoder, name: str, image_size: int) -> int:
    try:
        channels, height, width = network.output_shape(3, image_size, image_size)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"image_size {image_size} does not suit {name}: {error}"
        ) from error
    if 0 in (height, width):
        raise ConfigurationError(f"image_size {image_size} is too small for {name}")
    return channels
