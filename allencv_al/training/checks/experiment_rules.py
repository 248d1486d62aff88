"""Rules across the parts of an experiment's config: data, loader, model and trainer."""

from __future__ import annotations

import re
from collections.abc import Iterator

from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.common.config.targets import subclass_of
from allencv_al.common.errors import ConfigurationError
from allencv_al.data.instance import Instance
from allencv_al.models.model import Model
from allencv_al.modules.image_shape import ImageShape
from allencv_al.tasks.base import label_task
from allencv_al.training.checks.model_check import model_faults, normalization_faults
from allencv_al.training.trainers.base import Trainer
from allencv_al.training.validation_split import fold_count

_OF_ONE_CLASS = Instance("", b"", "class")
_OF_VALIDATION = {"trainer": ("patience", "validation_metric"), "model": ("decision_class",)}


def split_faults(config: ConfigView) -> Iterator[Fault]:
    """Yield the faults of `validation_fraction` and of the keys that belong to it."""
    fraction, fold = config.get("validation_fraction"), config.get("validation_fold")
    if fraction is None:
        for name in ("validation_fold", "group_by"):
            if config.get(name) is not None:
                yield config.fault(name, "needs validation_fraction, found none")
    elif config.get("validation_data_path") is not None:
        yield config.fault("validation_fraction", "expected it or validation_data_path, found both")
    sound = config.sound("validation_fraction") and config.sound("validation_fold")
    if fraction is not None and fold is not None and sound and fold >= fold_count(fraction):
        most = fold_count(fraction) - 1
        yield config.fault("validation_fold", f"expected 0 to {most}, found {fold}")
    pattern = config.get("group_by")
    if isinstance(pattern, str):
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            yield config.fault("group_by", f"no regular expression: {error}")
        else:
            if groups != 1:
                yield config.fault("group_by", f"expected one group in brackets, found {groups}")


def sample_faults(config: ConfigView) -> Iterator[Fault]:
    """Yield `archive_samples` where the config has no images to take them from."""
    names = ("validation_data_path", "validation_fraction", "test_data_path")
    # The samples come from what the model did not learn
    if config.get("archive_samples") and all(config.get(name) is None for name in names):
        yield config.fault("archive_samples", "needs validation_data_path, found none")


def validation_faults(config: ConfigView) -> Iterator[Fault]:
    """Yield the options that need validation data, where the config has none."""
    if any(
        config.get(name) is not None for name in ("validation_data_path", "validation_fraction")
    ):
        return
    for part, names in _OF_VALIDATION.items():
        if (view := config.child(part)) is None:
            continue
        for name in names:
            if view.values.get(name) is not None:
                yield view.fault(name, "needs validation_data_path, found none")


def sampling_faults(config: ConfigView) -> Iterator[Fault]:
    """Yield a `class_sampling` that the trainer does not use, or that corrects twice."""
    loader, trainer, model = (config.child(name) for name in ("data_loader", "trainer", "model"))
    sampling = None if loader is None else loader.get("class_sampling")
    if loader is None or sampling in (None, "natural") or not loader.sound("class_sampling"):
        return
    model_class = None if model is None else subclass_of(model.cls, Model)
    if model is not None and model_class is not None:
        task = label_task(model_class.task_in(model))
        if not task.is_labeled(_OF_ONE_CLASS):  # else all images would count as of one class
            kind = task.name()
            message = f'draws by the one class of an image, and the model learns labels of "{kind}"'
            yield loader.fault("class_sampling", message)
    trainer_class = None if trainer is None else subclass_of(trainer.cls, Trainer)
    if trainer_class is not None and not trainer_class.learns_from_batches:
        message = 'the trainer learns from all images at once; set model.class_weights: "balanced"'
        yield loader.fault("class_sampling", message)
    elif model is not None and model.get("class_weights") == "balanced":
        message = f'"{sampling}" and model.class_weights "balanced" correct twice; leave one out'
        yield loader.fault("class_sampling", message)


def shape_faults(config: ConfigView) -> Iterator[Fault]:
    """Yield where the model does not fit the images, else the faults that building it shows."""
    model = config.child("model")
    model_class = None if model is None else subclass_of(model.cls, Model)
    if model is None or model_class is None:
        return
    shape: ImageShape = (3, None, None)
    try:
        shape = image_shape_in(config)
    except ConfigurationError as error:
        yield config.fault("dataset_reader", str(error))
    misfits = list(model_class.shape_faults(model, shape))
    # A model that does not fit the images cannot be built to find more
    yield from misfits or model_faults(config, shape)
    yield from normalization_faults(config)


def image_shape_in(config: ConfigView) -> ImageShape:
    """Return channels, height and width of an experiment's training images, None where they vary.

    Raises:
        ConfigurationError: A transform cannot take the images before it.
    """
    if not config.sound("dataset_reader") or "dataset_reader" not in config.names:
        return 3, None, None
    shape: ImageShape = config.build("dataset_reader").image_shape()
    return shape
