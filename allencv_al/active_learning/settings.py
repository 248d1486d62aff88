"""`ActiveLearningSettings`: the block `active_learning` of a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval
from overrides import overrides

from allencv_al.active_learning.audit_sampling import AuditSample
from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.pool_conditions import PoolConditions
from allencv_al.active_learning.relabeling import ONE_PERSON, Relabeling
from allencv_al.active_learning.stop_rules.base import StopRule
from allencv_al.common.config.config_check import ConfigView, Fault
from allencv_al.common.config.configurable import Lazy
from allencv_al.common.config.registrable import FromParams
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.names import class_name
from allencv_al.labels.annotators.base import Annotator
from allencv_al.models.precision import Precision
from allencv_al.selection.strategies.base import QueryStrategy, needs_of
from allencv_al.tasks.base import LabelTask

Retrain = Literal["cold", "warm", "shrink_perturb"]

DEFAULT_QUERY_SIZE = 20
# Outputs of a model before it is trained that mean something
_UNTRAINED = frozenset({"embeddings", "labeled_embeddings"})
# Of one that knows its classes by their names: as many typical items of each
_FIRST_BY_NAMES = {"type": "class_balanced", "strategy": "typiclust"}


def _first_query_problem(strategy: QueryStrategy, predicts_untrained: bool) -> str | None:
    offered = _UNTRAINED | ({"logits", "labeled_logits"} if predicts_untrained else set())
    more = needs_of(strategy.before_labels()) - offered
    if not more:
        return None
    return (
        f"there is no model yet, and this strategy needs its {', '.join(sorted(more))}; choose one "
        "that needs none (random), or only embeddings (typiclust, k_center, max_herding), or a "
        "model that knows classes by their names (zero_shot_classifier)"
    )


def first_query_faults(block: ConfigView, predicts_untrained: bool) -> Iterator[Fault]:
    """Yield a strategy for the initial query that needs a trained model.

    Args:
        block: The block `active_learning`.
        predicts_untrained: Whether the initial model predicts classes.
    """
    initial = block.child("initial")
    if initial is None or initial.get("strategy") is None or not initial.sound("strategy"):
        return
    problem = _first_query_problem(initial.build("strategy"), predicts_untrained)
    if problem:
        yield initial.fault("strategy", problem)


def strategy_faults(block: ConfigView, task: LabelTask) -> Iterator[Fault]:
    """Yield the strategies that have no meaning for a kind of labels.

    Args:
        block: The block `active_learning`.
        task: The task of the model.
    """
    for part in (block, block.child("initial")):
        if part is None or part.get("strategy") is None or not part.sound("strategy"):
            continue
        try:
            part.build("strategy").for_task(task)
        except ConfigurationError as error:
            yield part.fault("strategy", str(error))


def _check_classes(classes: Sequence[str] | None) -> Iterator[tuple[str, str]]:
    if classes is None:
        return
    names = [class_name(name) for name in classes]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if not names or doubled or not all(names):
        found = "expected at least one class name, and no empty one"
        yield "classes", f"duplicate class names: {', '.join(doubled)}" if doubled else found


class InitialQuery(FromParams):
    """The items that are labeled before there is a model.

    Args:
        size: Number of items.
        strategy: Strategy for the initial query: one that needs no model, such as `random`, or with
            a pretrained encoder `typiclust`, `k_center`, `max_herding`, `prob_cover`; also one that
            needs logits with the model `zero_shot_classifier`, which predicts before it is trained.
            Default: `random`, with that model `typiclust` within `class_balanced`.
    """

    def __init__(self, size: Annotated[int, Ge(1)], strategy: QueryStrategy | None = None) -> None:
        self.size = size
        self.strategy = strategy


class ActiveLearningSettings(FromParams):
    """The block `active_learning` of a config.

    The images at `train_data_path` are the pool. With the annotator `ground_truth` their labels are
    hidden until they are asked for; with any other, those that have a label already are learned
    from, and the others are the pool. Further ones come from the config's `pool_data_path`.

    Args:
        strategy: The query strategy. Default: `margin`.
        query_size: Number of items per query.
        initial: The items that are labeled first, where nothing is labeled yet. Default:
            `query_size` of them at random, or as `strategy` chooses first where it has a way to
            (`auto`) and the encoder does not train. The model `zero_shot_classifier` knows the
            classes by their names: as many typical items of each predicted class.
        budget: Maximum number of labels, including the initial ones and those of the audit; null:
            all items.
        audit: Random images that measure the model and are never trained on. Default: none, except
            those that the data marks with `audit` in the column `use`.
        retrain: Start of each round's model: "cold", the initial weights; "warm", the weights of
            the round before; "shrink_perturb", those scaled by `shrink` plus noise of the deviation
            `perturb` (Ash & Adams 2020, arXiv:1910.08475).
        shrink: For shrink_perturb: what the weights are multiplied by, 0 to 1.
        perturb: For shrink_perturb: the standard deviation of the noise.
        annotator: The annotator. Default: `ground_truth`.
        relabel: Second opinions on labeled images. Default: none; each image is labeled once.
        stop: Rules that end the run before the budget is spent; the first that is met does.
        evaluate_pool: Whether each round measures the pool accuracy too: the share of all items
            whose label, or prediction where they have none, is right.
        test_fraction: Measure on this share of the items at `train_data_path`, held out by class
            and anew for each seed, instead of on `test_data_path`. Without either, on
            `validation_data_path`.
        classes: The names of all classes, where the data does not show them; labels of other names
            are then refused.
        conditions: Changes of the images at `train_data_path` and of the test images, to see what a
            strategy does with few, imbalanced, doubled or foreign images. Default: none.
        cache_embeddings: With an encoder that does not train, whether each image is encoded once
            per experiment and rounds train on the embeddings. Needs transforms without chance.
        precision: Number format in which images are encoded and the pool is scored: "auto" is bf16
            where the processor or GPU has it in hardware, else fp32; see the trainer for the
            others. Without cached embeddings, test images are always measured in fp32.
        mc_samples: Members of the ensemble that dropout gives, for strategies that need one.
        target_size: Number of pool items, drawn by the seed, that represent the images the model
            will be used on, for strategies that need `target_mc_logits` (`epig`).
        learner: The learner, which trains, tests and infers. Default: `experiment`, the model and
            trainer of this config.
    """

    joint_rules = (_check_classes,)

    def __init__(
        self,
        strategy: QueryStrategy | None = None,
        query_size: Annotated[int, Ge(1)] = DEFAULT_QUERY_SIZE,
        initial: InitialQuery | None = None,
        budget: Annotated[int, Ge(1)] | None = None,
        audit: AuditSample | None = None,
        retrain: Retrain = "cold",
        shrink: Annotated[float, Interval(ge=0, le=1)] = 0.6,
        perturb: Annotated[float, Ge(0)] = 0.01,
        annotator: Annotator | None = None,
        relabel: Relabeling | None = None,
        stop: list[StopRule] | None = None,
        evaluate_pool: bool = True,
        test_fraction: Annotated[float, Interval(gt=0, lt=1)] | None = None,
        classes: list[str] | None = None,
        conditions: PoolConditions | None = None,
        cache_embeddings: bool = True,
        precision: Precision = "auto",
        mc_samples: Annotated[int, Ge(1)] = 20,
        target_size: Annotated[int, Ge(1)] = 1000,
        learner: Lazy[Learner] | None = None,
    ) -> None:
        self.strategy = strategy or QueryStrategy.from_params("margin")
        needs_of(self.strategy)
        self.query_size = query_size
        self.initial = initial
        self.budget = budget
        self.audit = audit
        self.retrain: Retrain = retrain
        self.shrink = shrink
        self.perturb = perturb
        self.annotator = annotator or Annotator.from_params("ground_truth")
        self.relabel = relabel
        self.stop = list(stop or [])
        self.evaluate_pool = evaluate_pool
        self.test_fraction = test_fraction
        self.classes = None if classes is None else [class_name(name) for name in classes]
        self.conditions = conditions
        self.cache_embeddings = cache_embeddings
        self.precision: Precision = precision
        self.mc_samples = mc_samples
        self.target_size = target_size
        self.learner = learner or Lazy(Learner.from_params)

    def fit_strategies(self, task: LabelTask) -> None:
        """Make the strategies read the outputs that models of a kind of labels have.

        Raises:
            ConfigurationError: A strategy has no meaning for such labels.
        """
        self.strategy = self.strategy.for_task(task)
        if self.initial is not None and self.initial.strategy is not None:
            self.initial.strategy = self.initial.strategy.for_task(task)

    def first_strategy(self, learner: Learner) -> QueryStrategy:
        """Return the strategy that chooses while nothing is labeled.

        Args:
            learner: The learner with the initial model.

        Raises:
            ConfigurationError: `initial` needs outputs that only a trained model has.
        """
        predicts = learner.predicts_untrained()
        if self.initial is not None and self.initial.strategy is not None:
            problem = _first_query_problem(self.initial.strategy, predicts)
            if problem:
                raise ConfigurationError(f"active_learning.initial.strategy: {problem}")
            return self.initial.strategy.before_labels()
        if predicts:
            return QueryStrategy.from_params(dict(_FIRST_BY_NAMES))
        first = self.strategy.before_labels()
        # Embeddings of an encoder that has yet to learn say little
        if self.initial is None and first is not self.strategy and learner.embeddings_stay():
            return first
        return QueryStrategy.from_params("random")

    def draws_test_items(self) -> bool:
        """Return whether a seed decides which images measure, so that no path says which."""
        return self.test_fraction is not None or self.conditions is not None

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        asked = config.get("conditions"), config.get("annotator")
        people = None not in asked and config.sound("annotator")
        if people and not config.build("annotator").needs_known_labels:
            yield config.fault(
                "conditions",
                "they change data whose labels are known: expected the annotator ground_truth",
            )
        if config.get("relabel") is not None and config.sound("annotator"):
            annotator = config.build("annotator")
            if annotator is None or annotator.people == 1:
                yield config.fault("relabel", ONE_PERSON)
        budget = config.get("budget")
        if budget is None or not config.sound("budget"):
            return
        left = budget
        audit, initial = config.child("audit"), config.child("initial")
        if audit is not None and audit.sound("size"):
            left -= audit.get("size")
            if left < 1:
                found = f"expected less than the budget, {budget}, found {audit.get('size')}"
                yield audit.fault("size", found)
                return
        if initial is not None and initial.sound("size") and initial.get("size") > left:
            what = "the budget" if left == budget else "what the audit leaves of the budget"
            found = f"expected at most {what}, {left}, found {initial.get('size')}"
            yield initial.fault("size", found)


def name_in(config: Mapping[str, Any], key: str, default: str) -> str:
    """Return the registered name of a part of the block `active_learning`.

    Args:
        config: The whole config.
        key: The key in the block `active_learning`: `strategy`, `annotator` ...
        default: The value of an absent key.
    """
    value = (config.get("active_learning") or {}).get(key) or default
    return value if isinstance(value, str) else str(value.get("type", default))
