"""Checks of a classifier's config: values that do not fit each other, and its classes."""

from __future__ import annotations

from collections.abc import Iterator

from allencv_al.common import ConfigurationError
from allencv_al.data.vocabulary import Vocabulary

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
