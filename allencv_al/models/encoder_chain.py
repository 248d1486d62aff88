"""Checks of a classifier's config: its encoders, one behind the other, its loss and classes."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from allencv_al.common import ConfigurationError
from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.common.errors import ConfigurationFaults
from allencv_al.common.user_mistakes import wrong_result
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.modules.im2im_encoders.base import Im2ImEncoder
from allencv_al.modules.im2vec_encoders.base import Im2VecEncoder
from allencv_al.modules.image_shape import ImageShape, input_sizes
from allencv_al.modules.network_encoder import NetworkEncoder

# What draws anew for each batch in training mode
_CHANCE = (torch.nn.modules.dropout._DropoutNd,)
_NAMES = ("im2im_encoder", "im2vec_encoder")


def chain_faults(config: ConfigView, image_shape: ImageShape) -> list[Fault]:
    """Return the faults of the encoders of a classifier, and where one does not fit its input.

    Args:
        config: The config of the classifier.
        image_shape: Channels, height and width of its images; None for a size that varies.
    """
    # A list, because a generator must not be left while the default device is "meta"
    with torch.device("meta"):
        return list(_faults(config, image_shape))


def chain_is_fixed(config: ConfigView, image_shape: ImageShape) -> bool:
    """Return whether an image has one embedding throughout a training; False with faults.

    Args:
        config: The config of the classifier.
        image_shape: As for `chain_faults`.
    """
    if not config.sound(*encoders_in(config)):
        return False
    try:
        with torch.device("meta"):
            return is_fixed(*_build_encoders(config, image_shape))
    except ConfigurationError:  # `chain_faults` tells
        return False


def _faults(config: ConfigView, image_shape: ImageShape) -> Iterator[Fault]:
    names = encoders_in(config)
    try:
        if config.sound(*names):
            _build_encoders(config, image_shape)
        elif config.sound(names[0]):  # the faults of the other one are known
            config.build(names[0], **input_sizes(image_shape))
    except ConfigurationFaults as error:
        yield from error.faults
    except _MisfitError as error:
        yield config.fault(error.name, str(error))


def is_fixed(im2im_encoder: Im2ImEncoder | None, im2vec_encoder: Im2VecEncoder) -> bool:
    """Return whether neither a parameter that trains nor chance stands before the linear layer."""
    if im2im_encoder is not None and not _is_frozen(im2im_encoder):
        return False
    return _is_frozen(im2vec_encoder) or (
        not any(parameter.requires_grad for parameter in im2vec_encoder.parameters())
        and not any(True for _ in im2vec_encoder.buffers())
        and not any(isinstance(module, _CHANCE) for module in im2vec_encoder.modules())
    )


def _is_frozen(encoder: torch.nn.Module) -> bool:
    return isinstance(encoder, NetworkEncoder) and encoder.frozen


def encoders_in(config: ConfigView) -> list[str]:
    """Return the encoders of a config; a subclass may take one of them only."""
    return [name for name in _NAMES if config.get(name) is not None] or [_NAMES[-1]]


class _MisfitError(ConfigurationError):
    """An encoder does not fit what comes in.

    Args:
        name: The encoder's name among the arguments.
        message: The problem.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def _build_encoders(
    config: ConfigView, image_shape: ImageShape
) -> tuple[Im2ImEncoder | None, Im2VecEncoder]:
    """Return the encoders of a config without faults in them.

    Raises:
        ConfigurationFaults: One of them cannot be built.
        _MisfitError: One does not fit what comes in.
    """
    shape, name = image_shape, ""
    im2im_encoder: Im2ImEncoder | None = None
    try:
        if config.get("im2im_encoder") is not None:
            name = "im2im_encoder"
            im2im_encoder = config.build(name, **input_sizes(shape))
            shape = map_shape(im2im_encoder, shape)
        name = "im2vec_encoder"
        im2vec_encoder: Im2VecEncoder = config.build(name, **input_sizes(shape))
        im2vec_encoder.check_input(*shape)
    except ConfigurationFaults:
        raise
    except ConfigurationError as error:
        raise _MisfitError(name, str(error)) from error
    return im2im_encoder, im2vec_encoder


def map_shape(encoder: Im2ImEncoder, image_shape: ImageShape) -> ImageShape:
    """Return the shape of the map that an encoder makes of images, checked for user classes."""
    shape: object = encoder.output_shape(*image_shape)
    if not isinstance(shape, tuple) or len(shape) != 3:
        raise wrong_result(encoder, "output_shape", "(channels, height, width)", shape)
    return shape


def count_from(encoder: Im2ImEncoder | Im2VecEncoder, method: str) -> int:
    """Return the number that a method of an encoder gives, checked for user classes."""
    count = getattr(encoder, method)()
    # A bool is an int, and no size
    if type(count) is not int or count < 1:
        raise wrong_result(encoder, method, "an int of at least 1", count)
    return count


SEVERAL = frozenset({"multi_label"})
"""The tasks of the classifier whose images have several classes."""

ALL_ZERO = "expected a weight above 0 for one class at least, found only 0"


def smoothing_rule(loss: str, label_smoothing: float) -> Iterator[tuple[str, str]]:
    """Yield label smoothing where the loss has none."""
    if loss != "cross_entropy" and label_smoothing:
        yield "label_smoothing", f'expected 0 with loss "{loss}", found {label_smoothing}'


def task_rule(
    task: str,
    loss: str,
    label_smoothing: float,
    decision_class: str | None,
    thresholds: float | str | None,
) -> Iterator[tuple[str, str]]:
    """Yield what images with one class alone, or with several, can have."""
    if task not in SEVERAL:
        if thresholds is not None:
            yield "thresholds", "are of images with several classes: set task to multi_label"
        return
    if loss != "cross_entropy":
        yield "loss", f'expected "cross_entropy" with task "{task}", found "{loss}"'
    if label_smoothing:
        yield "label_smoothing", f'expected 0 with task "{task}", found {label_smoothing}'
    if decision_class is not None:
        yield "decision_class", 'is of images with one class: set thresholds to "f1" instead'


def weights_rule(
    class_weights: list[float] | dict[str, float] | str | None,
) -> Iterator[tuple[str, str]]:
    """Yield a list of weights that are all 0."""
    # By name, classes that are not named have weight 1: the vocabulary decides
    if isinstance(class_weights, list) and not any(class_weights):
        yield "class_weights", ALL_ZERO


def label_count(vocab: Vocabulary, namespace: str, num_labels: int | None) -> int:
    """Return the number of classes.

    Args:
        vocab: The names of the classes.
        namespace: Their namespace.
        num_labels: The number that the config gives, if any.

    Raises:
        ConfigurationError: There is no class, or there are more than the config says.
    """
    known = vocab.get_vocab_size(namespace)
    if num_labels is None:
        if known == 0:
            raise ConfigurationError(
                f'label_namespace: the vocabulary has no class in "{namespace}"; is any item of '
                "the training data labeled? (num_labels gives the number without a vocabulary)"
            )
        return known
    if num_labels < known:
        raise ConfigurationError(
            f'num_labels: expected at least {known}, the classes in "{namespace}", '
            f"found {num_labels}"
        )
    return num_labels
