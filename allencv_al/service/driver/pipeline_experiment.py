"""`PipelineExperiment`: a config for a pipeline, which has its own model, training and data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Self

from overrides import overrides

from allencv_al.active_learning.settings import ActiveLearningSettings
from allencv_al.common import Params
from allencv_al.common.config.config_check import ConfigView
from allencv_al.common.config.registrable import FromParams
from allencv_al.common.config.specs.object_specs import ObjectSpec
from allencv_al.common.config.specs.type_specs import Scope
from allencv_al.common.errors import Fault
from allencv_al.data.dataset_readers.base import DatasetReader

# Keys of the block `active_learning` that a pipeline decides itself
_DECIDED_BY_PIPELINE = (
    *("shrink", "perturb", "test_fraction", "cache_embeddings"),
    *("mc_samples", "precision", "target_size"),
)
OFFERED = frozenset({"logits", "embeddings", "labeled_embeddings", "labeled_logits"})


class PipelineExperiment(FromParams):
    """A config that chooses queries for a pipeline, which trains, tests and infers.

    Args:
        active_learning: Settings of the loop, with `learner: {type: "pipeline", url: ...}`.
        dataset_reader: Finds the images of the records, which reports, tables and the labeling
            page then show. They are joined to the records by id, or by order if the pipeline has
            no names for them.
        train_data_path: Path of the training images.
        random_seed: Seed of the strategies.
    """

    seed_keys: ClassVar[Sequence[str]] = ("random_seed",)
    secrets: ClassVar[Sequence[str]] = ("active_learning.learner.token",)
    is_shared: ClassVar[bool] = True

    def __init__(
        self,
        active_learning: ActiveLearningSettings,
        dataset_reader: DatasetReader | None = None,
        train_data_path: str | None = None,
        random_seed: int = 13370,
    ) -> None:
        self.settings = active_learning
        self.dataset_reader = dataset_reader
        self.train_data_path = train_data_path
        self.seeds = (random_seed, random_seed, random_seed)

    @classmethod
    def from_checked(cls, params: Params) -> Self:
        """Build it from a config that `check_experiment` has checked."""
        built: Self = ObjectSpec(cls).build(params.as_dict(), "", Scope())
        return built

    def rehearse(self) -> None:
        """Do nothing: model and training data belong to the pipeline."""

    @classmethod
    def comparison_faults(cls, params: Params) -> Iterator[Fault]:
        """Yield a fault if runs would wait for a worker, which works for a single run."""
        if params.as_flat_dict().get("active_learning.learner.listen_port") is not None:
            yield Fault(
                "active_learning.learner.listen_port",
                "a worker works for one run: to compare strategies, give the `url` of a pipeline; "
                "or run active-learn for each strategy, and compare the runs by --runs",
            )

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        pair = ("dataset_reader", "train_data_path")
        if config.sound(*pair) and len(set(pair) & config.names) == 1:
            given, missing = sorted(pair, key=lambda name: name not in config.names)
            yield config.fault(missing, f"{given} needs it, found none")
        block = config.child("active_learning")
        if block is None:
            return
        for name in _DECIDED_BY_PIPELINE:
            if name in block.names:
                yield block.fault(name, "decided by the pipeline; leave it out")
        if block.sound("retrain") and block.get("retrain") == "shrink_perturb":
            yield block.fault("retrain", 'expected "cold" or "warm", which tells train to resume')
        yield from _strategy_faults(block)


def _strategy_faults(block: ConfigView) -> Iterator[Fault]:
    if block.get("strategy") is not None and block.sound("strategy"):
        needs = block.build("strategy").needs
        if needs - OFFERED:
            yield block.fault(
                "strategy",
                f"needs {', '.join(sorted(needs - OFFERED))}, which pipelines do not return",
            )
    initial = block.child("initial")
    if initial is None or initial.get("strategy") is None or not initial.sound("strategy"):
        return
    if initial.build("strategy").needs:
        yield initial.fault("strategy", 'there is no model yet: expected "random"')
