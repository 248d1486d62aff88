"""Cold start: embeddings of a pretrained network, for a first query without a trained model."""

from __future__ import annotations

import json
from collections.abc import Iterable

import torch
from torchvision import models

from allencv_al.common import Lazy
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, WeightsError
from allencv_al.common.files.paths import expanded
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_classification_directory import (
    ImageClassificationDirectory,
)
from allencv_al.data.dataset_readers.vectors import VectorsOfImages
from allencv_al.data.instance import LABEL_NAMESPACE
from allencv_al.data.transforms.base import ImageTransform
from allencv_al.data.vector_files import is_vector_file, read_vectors
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.basic_classifier import BasicImageClassifier
from allencv_al.models.model import resolve_device
from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder
from allencv_al.modules.im2vec_encoders.pooling import PoolEncoder
from allencv_al.modules.pretrained_encoders import OFFLINE, EncoderName, Preprocessing
from allencv_al.modules.weights import is_source
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.predictors.predictor import Predictor
from allencv_al.selection.strategies.base import QueryStrategy, needs_of

DEFAULT_STRATEGY = "typiclust"

_PUBLISHED = "DEFAULT"
_NO_CLASS = "unknown"  # a classifier needs a class; this one is never asked for predictions
_OF_EMBEDDINGS = {"embeddings", "labeled_embeddings"}
# For a network whose own preprocessing is not known: ImageNet's
_USUAL = Preprocessing(224, 224, 256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def embedding_predictor(
    encoder: str,
    image_size: int | None = None,
    classes: Iterable[str] = (),
    cuda_device: int | str = -1,
) -> Predictor:
    """Return a predictor whose embeddings are useful and whose logits are not.

    Args:
        encoder: The source of embeddings: `offline` (the network that the extra `[offline]`
            installs), `timm:NAME`, `torchvision:NAME` or a torchvision name alone, each with
            `:WEIGHTS` behind it for weights in a file, a folder or a package (by default those
            that the library publishes, downloaded once); `open_clip:NAME:WEIGHTS`, or
            `open_clip:FOLDER`; or a file of vectors (`.npz`, `.npy`, `.parquet`) whose ids are
            those of the images.
        image_size: Height and width of the images after scaling and cropping. Default: those that
            the network was trained with.
        classes: The classes of the labeled images, if any.
        cuda_device: Its device: -1 is the CPU, n the n-th GPU, "auto" the first GPU if any.

    Raises:
        ConfigurationError: There is no such network, or the size does not suit it.
        WeightsError: The weights are absent, cannot be downloaded, or do not fit.
        DataError: The file of vectors is absent or damaged.
    """
    if image_size is not None and image_size < 1:
        raise ConfigurationError(f"image_size: expected at least 1, found {image_size}")
    device = resolve_device(cuda_device)
    vocabulary = Vocabulary({LABEL_NAMESPACE: dict.fromkeys(classes, 1) or {_NO_CLASS: 1}})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the last layer is not used, but equal seeds keep fingerprints equal
        network, reader = _parts(encoder, image_size)
        model = BasicImageClassifier(vocabulary, Lazy.wrap(network))
    return ImagePredictor(model.to(device).eval(), reader)


def _parts(encoder: str, image_size: int | None) -> tuple[Im2VecEncoder, DatasetReader]:
    if is_vector_file(encoder):
        table = read_vectors(expanded(encoder))
        return PoolEncoder(table.dimension), VectorsOfImages(table)
    name = EncoderName.parse(encoder)
    network = _network(name)
    sizes = {} if image_size is None else {"height": image_size, "width": image_size}
    config = (name.preprocessing() or _USUAL).transform(sizes)
    try:
        network.check_input(3, config["height"], config["width"])
    except ConfigurationError as error:
        raise ConfigurationError(
            f"image_size {config['height']} does not suit {name.model}: {error}"
        ) from error
    transform: ImageTransform = ImageTransform.from_params(config)
    return network, ImageClassificationDirectory([transform], unlabeled="always")


def text_source(encoder: str) -> str | None:
    """Return the arguments of the `TextEncoder` beside an encoder, as JSON; None if it has none.

    Args:
        encoder: As of `embedding_predictor`.
    """
    name = None if is_vector_file(encoder) else EncoderName.parse(encoder)
    if name is None or name.library != "open_clip":
        return None
    config = name.config()
    weights = config["weights"]
    if is_source(weights):  # the page may be served from another folder
        weights = str(expanded(weights).absolute())
    return json.dumps({"model": config["model"], "weights": weights})


def _network(name: EncoderName) -> Im2VecEncoder:
    try:
        network: Im2VecEncoder = Im2VecEncoder.from_params(name.config())
    except ConfigurationFaults as error:
        raise ConfigurationFaults(error.faults, f"--embeddings {name.model}") from error
    except WeightsError as error:
        if name.weights is not None:
            raise
        # The library's own words say which address failed
        cause = error if error.__cause__ is None else error.__cause__
        raise WeightsError(
            f"the weights of {name.model} are not on this machine and cannot be downloaded "
            f"({cause}); {_remedy(name)}, or use --embeddings {OFFLINE}"
        ) from error
    return network


def _remedy(name: EncoderName) -> str:
    """Return how to give weights that were fetched elsewhere."""
    if name.library != "torchvision":
        return f"name a file or folder with them: {name.library}:{name.model}:FOLDER"
    # The file is known by its name in the address, as torchvision stores it
    url = models.get_model_weights(name.model)[_PUBLISHED].url
    return f"fetch {url} elsewhere, and name the file: {name.model}:{url.rpartition('/')[2]}"


def check_needs_no_model(strategy: QueryStrategy, name: str) -> None:
    """Raise if a strategy needs more than embeddings: only a trained model has logits.

    Args:
        strategy: The strategy.
        name: Its name in the message.

    Raises:
        ConfigurationError: It needs more; the message lists strategies that do not.
    """
    further = sorted(needs_of(strategy.before_labels()) - _OF_EMBEDDINGS)
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
    return needs_of(strategy.before_labels()) <= _OF_EMBEDDINGS
