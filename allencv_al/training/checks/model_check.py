"""Config faults that only the built model shows, found before any data is read."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from allencv_al.common.config.targets import subclass_of
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.names import did_you_mean
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import Model, is_one_value_error, one_value_message
from allencv_al.modules.image_shape import ImageShape
from allencv_al.modules.parameter_names import unmatched_error
from allencv_al.modules.weights import building_without_weights
from allencv_al.training.learning_rate_schedulers.slanted_triangular import SlantedTriangular
from allencv_al.training.optimizers.base import (
    assignment_faults,
    default_group_fault,
    read_rules,
)
from allencv_al.training.trainers.base import Trainer
from allencv_al.training.trainers.epoch_metrics import parse_metric_names, scalars

if TYPE_CHECKING:
    from allencv_al.common.config.config_check import ConfigView
    from allencv_al.common.errors import Fault

logger = logging.getLogger(__name__)

_CLASSES = 10  # more than 5, so that the model reports its top-5 accuracy too
_CHECKED_BY_BUILDING = ("initializer", "regularizer", "metrics")


def parameter_group_faults(
    trainer: ConfigView, trained: Sequence[str], frozen: Sequence[str]
) -> Iterator[Fault]:
    """Yield what is wrong with the parameter groups of a trainer's optimizer.

    Args:
        trainer: A view with `optimizer`.
        trained: The names of the parameters that train.
        frozen: The names of those that do not.
    """
    optimizer = trainer.child("optimizer") if trainer.sound("optimizer") else None
    if optimizer is None or not optimizer.get("parameter_groups"):
        return
    rules = read_rules(optimizer.get("parameter_groups"))
    for place, message in assignment_faults(rules, trained, frozen):
        yield optimizer.fault(place, message)
    # They fall into the default group, which gradual unfreezing never trains
    left = [name for name in trained if not any(rule.holds(name) for rule in rules)]
    if left and _unfreezes(trainer):
        yield optimizer.fault("parameter_groups", default_group_fault(left))


def unfreezing_faults(trainer: ConfigView) -> Iterator[Fault]:
    """Yield what is wrong with gradual unfreezing in a trainer's config.

    The trainer has the number of epochs, its optimizer the groups, and its scheduler the option, so
    that none of them can check alone. For the trainer's `config_faults`.

    Args:
        trainer: A view with `num_epochs`, `optimizer` and `learning_rate_scheduler`.
    """
    groups = _trained_groups(trainer.get("optimizer"))
    for place, scheduler, epochs in _schedules(trainer):
        if not _is_gradual(scheduler) or not isinstance(epochs, int):
            continue
        if groups < 2:
            message = (
                "gradual unfreezing needs at least 2 groups in the optimizer's parameter_groups, "
                f"found {groups}"
            )
            yield trainer.fault("learning_rate_scheduler.gradual_unfreezing", message)
        elif message_of_epochs := SlantedTriangular.epoch_fault(groups, epochs):
            yield trainer.fault(place, message_of_epochs)


def _unfreezes(trainer: ConfigView) -> bool:
    """Return whether a trainer's config asks for gradual unfreezing at any time."""
    return any(_is_gradual(scheduler) for _, scheduler, _ in _schedules(trainer))


def _is_gradual(scheduler: Mapping[str, Any]) -> bool:
    is_slanted = scheduler.get("type") == "slanted_triangular"
    return is_slanted and scheduler.get("gradual_unfreezing") is True


def _trained_groups(optimizer: Any) -> int:
    groups = optimizer.get("parameter_groups") if isinstance(optimizer, Mapping) else None
    if not isinstance(groups, list):
        return 0
    return sum(not _is_frozen(group) for group in groups)


def _is_frozen(group: Any) -> bool:
    options = group[1] if isinstance(group, list) and len(group) > 1 else {}
    return isinstance(options, Mapping) and options.get("requires_grad") is False


def _schedules(trainer: ConfigView) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """Yield each schedule with its number of epochs and the key that gives that number."""
    scheduler = trainer.get("learning_rate_scheduler")
    if not isinstance(scheduler, Mapping):
        return
    here = "learning_rate_scheduler"
    if scheduler.get("type") == "combined":
        pairs = scheduler.get("schedulers")
        for index, pair in enumerate(pairs if isinstance(pairs, list) else []):
            if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], Mapping):
                yield _fewest(
                    (f"{here}.schedulers.{index}.0", pair[0]),
                    (f"{here}.schedulers.{index}.1.num_epochs", pair[1].get("num_epochs")),
                    pair[1],
                )
        return
    yield _fewest(
        ("num_epochs", trainer.get("num_epochs")),
        (f"{here}.num_epochs", scheduler.get("num_epochs")),
        scheduler,
    )


def _fewest(
    outer: tuple[str, Any], own: tuple[str, Any], scheduler: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any], Any]:
    """Return the smaller number of epochs: what ends first leaves groups untrained."""
    counts = [(place, epochs) for place, epochs in (outer, own) if isinstance(epochs, int)]
    place, epochs = min(counts, key=lambda count: count[1], default=(outer[0], None))
    return place, scheduler, epochs


def model_faults(experiment: ConfigView, image_shape: ImageShape) -> Iterator[Fault]:
    """Yield expressions that match no parameter, unknown metrics, and maps that are too small.

    The model is built on the `meta` device, where nothing is computed, without weights and for
    made-up labels. A model that cannot be built so is not checked here: the constructors check
    again when training builds it.

    Args:
        experiment: A view with `model`, `trainer` and the data loaders.
        image_shape: Channels, height and width of the images, None where they vary.
    """
    model, trainer = experiment.child("model"), experiment.child("trainer")
    if model is None or not experiment.sound("model"):
        return
    try:
        built = build_on_meta(experiment, model, image_shape)
    except ConfigurationError as error:
        yield from _applicator_faults(model, str(error))
        return
    except Exception:  # a user's model may do anything on "meta"
        logger.debug("the model cannot be built on meta", exc_info=True)
        return
    trained, frozen = _names(built)
    if trainer is not None and trainer.sound("no_grad"):
        patterns = [re.compile(pattern) for pattern in trainer.get("no_grad") or ()]
        for index, pattern in enumerate(patterns):
            if not any(map(pattern.search, [*trained, *frozen])):
                message = str(unmatched_error("no_grad", pattern, [*trained, *frozen]))
                yield trainer.fault(f"no_grad.{index}", message.removeprefix("no_grad: "))
        frozen += [name for name in trained if any(p.search(name) for p in patterns)]
        trained = [name for name in trained if name not in frozen]
        for name in frozen:  # so that its batch norm stays in evaluation mode
            built.get_parameter(name).requires_grad_(False)
    yield from _regularizer_faults(model, built, trained)
    if trainer is None:
        return
    trainer_class = subclass_of(trainer.cls, Trainer)
    if trainer_class is not None and (fault := trainer_class.model_fault(built)):
        yield trainer.fault("", fault)
    elif trainer_class is not None and trainer_class.sets_linear_layer:
        yield from _overwritten_faults(model, built)
    if trainer.sound("no_grad"):
        yield from parameter_group_faults(trainer, trained, frozen)
    yield from _metric_faults(trainer, built)
    yield from _single_value_faults(experiment, trainer, built, image_shape)


def normalization_faults(experiment: ConfigView) -> Iterator[Fault]:
    """Yield transforms that normalize images for a model that does so itself.

    Args:
        experiment: A view with `model` and the readers.
    """
    model = experiment.child("model")
    kind = None if model is None else subclass_of(model.cls, Model)
    if kind is None or not kind.normalizes_images:
        return
    for name in ("dataset_reader", "validation_dataset_reader"):
        if name not in experiment.names or not experiment.sound(name):
            continue
        for index, step in enumerate(experiment.build(name).augmentation):
            if step.as_normalization() is not None:
                message = "the model normalizes images itself: leave this transform out"
                yield experiment.fault(f"{name}.augmentation.{index}", message)


def build_on_meta(experiment: ConfigView, model: ConfigView, image_shape: ImageShape) -> Model:
    """Return a model on the `meta` device, without weights and for made-up labels.

    Args:
        experiment: A view with a sound `model`.
        model: The view of that model.
        image_shape: Channels, height and width of the images, None where they vary.
    """
    weights, count = model.get("class_weights"), model.get("num_labels") or _CLASSES
    names = [f"class {i}" for i in range(count)]
    if isinstance(decided := model.get("decision_class"), str):
        # Names that the config itself mentions must be classes, or building fails for that
        names = [decided, *names][:count]
    if isinstance(weights, dict):
        names = list(dict.fromkeys([*weights, *names]))[: max(count, len(weights) + 1)]
    elif isinstance(weights, list):
        names = [f"class {i}" for i in range(len(weights))]
    namespace = str(model.get("label_namespace") or "labels")
    stand_in = Vocabulary({"labels": dict.fromkeys(names, 1), namespace: dict.fromkeys(names, 1)})
    # Shapes without memory or time: a model of any size is checked in milliseconds
    with torch.device("meta"), building_without_weights():
        built: Model = experiment.build(
            "model", vocab=stand_in, serialization_dir=None, image_shape=image_shape
        )
    return built


def _names(model: Model) -> tuple[list[str], list[str]]:
    """Return the names of the parameters that train, and of those that do not."""
    parameters = dict(model.named_parameters())
    return (
        [name for name, parameter in parameters.items() if parameter.requires_grad],
        [name for name, parameter in parameters.items() if not parameter.requires_grad],
    )


def _applicator_faults(model: ConfigView, message: str) -> Iterator[Fault]:
    """Yield the faults of initializer, regularizer, metrics; others depend on the data."""
    for name in _CHECKED_BY_BUILDING:
        _, found, cause = message.partition(f"{name}: ")
        if found and name in model.names:
            yield model.fault(name, cause.splitlines()[0])


def _regularizer_faults(model: ConfigView, built: Model, trained: Sequence[str]) -> Iterator[Fault]:
    if model.values.get("regularizer") is None:
        return
    try:
        built.get_regularization_penalty()
    except ConfigurationError as error:
        yield from _applicator_faults(model, str(error))
        return
    for index, expression in enumerate(_expressions(model.values["regularizer"])):
        if not any(map(re.compile(expression).search, trained)):
            message = f"{expression!r} matches parameters only that do not train: it has no effect"
            yield model.fault(f"regularizer.regexes.{index}.0", message)


def _overwritten_faults(model: ConfigView, built: Model) -> Iterator[Fault]:
    """Yield initializers that match only the layer whose weights the trainer sets."""
    layer = getattr(built, "linear_layer", None)
    own = {id(p) for p in layer.parameters()} if isinstance(layer, torch.nn.Module) else set()
    for index, expression in enumerate(_expressions(model.values.get("initializer"))):
        found = [id(p) for name, p in built.named_parameters() if re.search(expression, name)]
        if own.issuperset(found):
            message = f"{expression!r} matches parameters only that the trainer sets itself"
            yield model.fault(f"initializer.regexes.{index}.0", message)


def _expressions(applicator: Any) -> list[str]:
    pairs = applicator.get("regexes") if isinstance(applicator, dict) else None
    return [pair[0] for pair in pairs or ()]


def _metric_faults(trainer: ConfigView, built: Model) -> Iterator[Fault]:
    """Yield metrics that a model of this package does not report; others are checked by a batch."""
    names = trainer.get("validation_metric", "")  # empty where a trainer has no such parameter
    if names == "" or not trainer.sound("validation_metric"):
        return
    names = built.task.main_metric if names is None else names
    # A user's model may report names that only a batch shows
    if not type(built).__module__.startswith("allencv_al."):
        return
    reported = scalars(built.eval().collect_metrics(reset=True))
    known = sorted({*(["loss"] if built.has_evaluation_loss else []), *reported})
    try:
        wanted = parse_metric_names([names] if isinstance(names, str) else names)
    except ConfigurationError:  # reported by the trainer's own check
        return
    for _, name in wanted:
        if name not in known:
            hint = did_you_mean(name, known) or f"; it reports {', '.join(known)}"
            message = f'the model reports no single number "{name}"{hint}'
            yield trainer.fault("validation_metric", message)


def _single_value_faults(
    experiment: ConfigView, trainer: ConfigView, built: Model, shape: ImageShape
) -> Iterator[Fault]:
    """Yield that a normalization has one value per channel, where the images' size is known."""
    if None in shape or not getattr(trainer.cls, "learns_from_batches", False):
        return
    # Two images first: if even these leave one value per channel, the size is the fault
    message = _single_value(built, 2, shape)
    if message is not None:
        yield experiment.fault("model", message)
        return
    loader = experiment.child("data_loader")
    if loader is None or not loader.sound("batch_size") or loader.get("batch_size") != 1:
        return
    message = _single_value(built, 1, shape)
    if message is not None:
        yield loader.fault("batch_size", message)


def _single_value(built: Model, items: int, shape: ImageShape) -> str | None:
    try:
        with torch.device("meta"), torch.no_grad():
            built.train()(torch.empty((items, *shape)))  # type: ignore[arg-type]
    except ValueError as error:
        if is_one_value_error(error):
            return one_value_message(items, str(error))
    except Exception:  # some operations do not work on "meta"; training finds real faults
        logger.debug("the model cannot be run on meta", exc_info=True)
    return None


def unused_key_faults(experiment: ConfigView) -> Iterator[Fault]:
    """Yield keys of the model that its trainer would not use.

    Args:
        experiment: A view with `model` and `trainer`.
    """
    model, trainer = experiment.child("model"), experiment.child("trainer")
    if model is None or trainer is None:
        return
    reasons: dict[str, str] = dict(getattr(trainer.cls, "unused_model_keys", {}))
    if experiment.get("active_learning") is not None:
        reasons.pop("dropout", None)  # query strategies draw from it
    for name, reason in reasons.items():
        argument = model.target.signature.arguments.get(name)
        if argument is None or not model.sound(name) or name not in model.names:
            continue
        if not _is_same(model.values[name], None if argument.required else argument.default):
            yield model.fault(name, reason)


def _is_same(value: Any, default: Any) -> bool:
    return value == default or (not value and not default)
