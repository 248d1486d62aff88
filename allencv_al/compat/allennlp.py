"""Experiment configs in the spelling of AllenNLP 0.9 or 0.1, translated before any check.

`common/config/params.py` calls `translate` for every config of an experiment: of a file, of an
archive, and of a run that is recovered.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from typing import Any

from allencv_al.common.config import REMOVED_IN
from allencv_al.common.errors import ConfigurationFaults, Fault

logger = logging.getLogger(__name__)

# Where each old key goes. `trainer.shuffle` takes the place of the data loader's own value, as it
# always did; of any other pair a config may have one key only.
_MOVED = {
    "iterator": "data_loader",
    "validation_iterator": "validation_data_loader",
    "active_learning.pool_data_path": "pool_data_path",
    "trainer.shuffle": "data_loader.shuffle",
    "trainer.use_amp": "trainer.precision",
    "trainer.num_serialized_models_to_keep": "trainer.checkpointer.keep_most_recent_by_count",
    "trainer.keep_serialized_model_every_num_seconds": (
        "trainer.checkpointer.keep_serialized_model_every_num_seconds"
    ),
    "trainer.model_save_interval": "trainer.checkpointer.save_every_num_seconds",
    "trainer.checkpointer.num_serialized_models_to_keep": (
        "trainer.checkpointer.keep_most_recent_by_count"
    ),
}
_OVERRULING = ("trainer.shuffle",)

# Keys of the trainer that have no effect without the callback `tensorboard`
_OF_TENSORBOARD = {
    "summary_interval": "summary_interval",
    "histogram_interval": "distribution_interval",
    "log_batch_size_period": "batch_size_interval",
    "should_log_parameter_statistics": "should_log_parameter_statistics",
    "should_log_learning_rate": "should_log_learning_rate",
}
# AllenCV's detectors, which took normalized images and chose the best epoch by the loss
_DETECTORS = ("rpn", "faster_rcnn", "faster_rcnn2", "keypoint_rcnn")

# Its models that only read weights of other projects
_OBSOLETE = {
    "detectron_rpn": '"rpn" with a backbone',
    "pretrained_rpn": '"rpn" with a backbone, and its weights by the initializer',
    "pretrained_detectron_faster_rcnn": (
        '{"type": "torchvision_detection", "model": "fasterrcnn_resnet50_fpn", '
        '"weights": "DEFAULT"}, which has the same weights'
    ),
}

# Other trainers, and those of users, give keys of the same name a meaning of their own
_TRAINERS = (None, "default", "gradient_descent")


def translate(config: dict[str, Any]) -> None:
    """Translate the config of an experiment in place; each old key is warned of once a process.

    Raises:
        ConfigurationFaults: A value is given by its old and by its new key.
    """
    trainer = config.get("trainer")
    if trainer == "default":
        trainer = config["trainer"] = {"type": "default"}
    trainer = trainer if isinstance(trainer, dict) else {}
    is_known = trainer.get("type") in _TRAINERS
    if trainer.get("type") == "default":
        trainer["type"] = "gradient_descent"
        _warn("the trainer default", "is now gradient_descent")
    for reader in ("dataset_reader", "validation_dataset_reader"):
        _rename_transforms(config.get(reader))
    if "iterator" in config:  # of AllenNLP 0.9; today's configs get a fault with the reason
        _drop_normalization(config)
    faults = [*_translate_vocabulary(config), *_obsolete_models(config)]
    for old, new in _MOVED.items():
        if is_known or not old.startswith("trainer."):
            faults += _move(config, old, new)
    if faults:
        raise ConfigurationFaults(faults)
    if is_known:
        _move_to_tensorboard(trainer)


def _translate_vocabulary(config: dict[str, Any]) -> list[Fault]:
    """Name the saved vocabulary as `{"type": "from_files"}` or `{"type": "extend"}` do."""
    keys = config.get("vocabulary")
    if not isinstance(keys, dict) or keys.get("type", "from_instances") != "from_instances":
        return []
    if not {"directory_path", "extend"} & keys.keys():
        return []
    directory, extends = keys.pop("directory_path", None), keys.pop("extend", False)
    _warn("vocabulary.directory_path", 'is now directory of the types "from_files" and "extend"')
    if directory is None:
        message = "needs directory_path, the saved vocabulary that is to be extended"
        return [Fault("vocabulary.extend", message)] if extends else []
    if not extends:  # nothing is counted then, so that limits of the count had no effect
        for name in ("min_count", "max_vocab_size", "non_padded_namespaces", "tokens_to_add"):
            keys.pop(name, None)
    keys.update(type="extend" if extends else "from_files", directory=directory)
    return []


def _rename_transforms(reader: Any) -> None:
    """Name AllenCV's `keypoint_resize` as `resize`, which moves keypoints as all transforms do."""
    found = reader.get("augmentation") if isinstance(reader, dict) else None
    for step in found if isinstance(found, list) else ():
        if isinstance(step, dict) and step.get("type") == "keypoint_resize":
            step["type"] = "resize"
            _warn("the transform keypoint_resize", "is now resize")


def _obsolete_models(config: dict[str, Any]) -> Iterator[Fault]:
    """Yield each model of AllenCV that is no more, with what to use instead."""
    for path in ("model.type", "model.rpn.type"):
        holder = _holder(config, path)
        name = None if holder is None else holder.get("type")
        if isinstance(name, str) and name in _OBSOLETE:
            yield Fault(path, f'there is no "{name}" any more; use {_OBSOLETE[name]}')


def _drop_normalization(config: dict[str, Any]) -> None:
    """Take out the normalization before detectors, which do it themselves."""
    model = config.get("model")
    if not isinstance(model, dict) or model.get("type") not in _DETECTORS:
        return
    for name in ("dataset_reader", "validation_dataset_reader"):
        reader = config.get(name)
        steps = reader.get("augmentation") if isinstance(reader, dict) else None
        if isinstance(reader, dict) and isinstance(steps, list):
            kept = [one for one in steps if not _is_normalization(one)]
            if len(kept) < len(steps):
                reader["augmentation"] = kept
                _warn("normalize before a detector", "is left out: the model normalizes itself")


def _is_normalization(step: Any) -> bool:
    return step == "normalize" or (isinstance(step, dict) and step.get("type") == "normalize")


def _move(config: dict[str, Any], old: str, new: str) -> list[Fault]:
    holder = _holder(config, old)
    name = old.rpartition(".")[2]
    if holder is None or name not in holder:
        return []
    value = holder[name]
    if old == "trainer.use_amp":
        value = "mixed" if value is True else None
    if value is not None:  # null, and use_amp: false, are what the new key means by default
        target, key = _holder(config, new, create=True), new.rpartition(".")[2]
        if target is None:  # no object, which the check reports
            return []
        if target.get(key, "auto") not in (None, "auto") and old not in _OVERRULING:
            return [Fault(old, f"expected either this or {new}, found both; leave this one out")]
        target[key] = value
    del holder[name]
    _warn(old, f"is now {new}")
    return []


def _holder(config: dict[str, Any], path: str, create: bool = False) -> dict[str, Any] | None:
    """Return the object that has the last key of a dotted path; None where there is no object."""
    for part in path.split(".")[:-1]:
        inner = config.get(part)
        if isinstance(inner, str):  # a name alone is short for an object
            inner = {"type": inner}
        elif inner is None and create:
            inner = {}
        if not isinstance(inner, dict):
            return None
        if create:
            config[part] = inner
        config = inner
    return config


def _move_to_tensorboard(trainer: dict[str, Any]) -> None:
    """Give the callback `tensorboard`, where there is one, the options that the trainer had."""
    found = trainer.get("callbacks")
    callbacks = found if isinstance(found, list) else []
    for old, new in _OF_TENSORBOARD.items():
        if old not in trainer:
            continue
        value = trainer.pop(old)
        _warn(
            f"trainer.{old}",
            f"is now {new} of the callback tensorboard, without which it has no effect",
        )
        for index, callback in enumerate(callbacks):
            options = {"type": callback} if isinstance(callback, str) else callback
            if isinstance(options, dict) and options.get("type") == "tensorboard":
                if value is not None and options.get(new) is None:
                    options[new] = value
                callbacks[index] = options
    for options in callbacks:
        if isinstance(options, dict) and options.get("type") == "tensorboard":
            # In version 0.1 null meant the trainer's value, which is the default of today
            for new in _OF_TENSORBOARD.values():
                if options.get(new, "") is None:
                    del options[new]


@cache
def _warn(old: str, change: str) -> None:
    logger.warning("%s %s; the old key will be removed in %s", old, change, REMOVED_IN)
