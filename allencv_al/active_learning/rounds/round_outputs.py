"""Outputs of a round's model, computed once and kept during the round."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.rounds.round_metrics import test_figures
from allencv_al.common.files.atomic_file import make_folder
from allencv_al.common.seeding import item_seed
from allencv_al.data.id_hash import canonical_order
from allencv_al.labels.label_store import UNTOLD
from allencv_al.selection.pool.pool_images import class_counts
from allencv_al.selection.pool.pool_outputs import PoolOutputs
from allencv_al.selection.pool.unlabeled_pool import Pool

OUTPUTS_NAME = "outputs"
_TRIAL_NAME = "trial"


class RoundOutputs:
    """The outputs of one round's model, and the round of the loaded model.

    Everything here can be computed again: a process that resumes the run starts with nothing, and
    `bring_back` loads the model.

    Args:
        learner: The learner with the model.
        target_size: Number of items that represent the images the model will be used on.
        seed: Seed of their choice.
        bring_back: Restores the model of a round in the learner.
    """

    def __init__(
        self,
        learner: Learner,
        target_size: int,
        seed: int,
        bring_back: Callable[[int], None],
    ) -> None:
        self._learner = learner
        self._target_size = target_size
        self._target_seed = item_seed(seed, 0, "target") >> 1  # within a signed 64-bit integer
        self._bring_back = bring_back
        self.begin(None)

    def begin(self, round: int | None) -> None:
        """Note that the loaded model is that of a round, and forget all outputs."""
        self._round = self._loaded = round
        self._pool: PoolOutputs | None = None
        self._needs: frozenset[str] = frozenset()
        self._labeled: PoolOutputs | None = None
        self._labeled_needs: frozenset[str] = frozenset()
        self._target: PoolOutputs | None = None

    def have_model(self, round: int) -> None:
        """Load the model of a round, unless it is loaded already."""
        if self._loaded != round:
            self._bring_back(round)
            self._loaded = round
        if self._round != round:  # else a trial took its place, and the outputs are those of before
            self.begin(round)

    def trial_accuracy(self, round: int, labels: Mapping[str, str], folder: Path) -> float:
        """Return the test accuracy of a model that is trained on other labels.

        `have_model` is to be called after the last trial; the outputs of the round's model stay.

        Args:
            round: The round.
            labels: Class name by item id.
            folder: The folder of the round.
        """
        folder = folder / _TRIAL_NAME
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed in a trial
        make_folder(folder)
        self._loaded = None
        try:
            self._learner.train(round, labels, folder)
            figures = test_figures(self._learner.test(), self._learner.class_names())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return float(figures.metrics["accuracy"] or 0.0)

    def of_pool(self, ids: Sequence[str], needs: frozenset[str], folder: Path) -> PoolOutputs:
        """Return the outputs of the model for the pool.

        Args:
            ids: The items of the pool, the same throughout a round.
            needs: Some of "logits", "mc_logits", "embeddings".
            folder: The folder of the round.
        """
        if self._pool is None or not needs <= self._needs:
            self._pool = self._learner.infer(ids, needs, folder / OUTPUTS_NAME)
            self._needs = needs
        return self._pool

    def of_labeled(self, labels: Mapping[str, str], needs: Collection[str]) -> PoolOutputs:
        """Return the embeddings of the labeled items, and their logits for a strategy.

        Args:
            labels: Class name by item id.
            needs: The needs of the strategy.
        """
        wanted = {"embeddings", *(["logits"] if "labeled_logits" in needs else [])}
        if self._labeled is None or not wanted <= self._labeled_needs:
            self._labeled = self._learner.infer(list(labels), wanted, None)
            self._labeled_needs = frozenset(wanted)
        return self._labeled

    def strategy_pool(
        self, outputs: PoolOutputs, labels: Mapping[str, str], needs: Collection[str]
    ) -> Pool:
        """Return the pool as a strategy takes it.

        Args:
            outputs: The outputs of the model for the pool.
            labels: Class name by item id.
            needs: The needs of the strategy.
        """
        labeled = self._seen_labeled(labels, needs)
        target = self._of_target() if "target_mc_logits" in needs else None
        ids = self.labeled_ids(labels, needs)
        task = self._learner.task
        # Only what is told: a pipeline may keep its labels
        names = [() if labels[id] == UNTOLD else task.class_names(labels[id]) for id in ids]
        counts = class_counts(names, self._learner.class_names())
        return outputs.pool(labeled, self._class_indices(labels, ids), target, counts)

    def labeled_ids(self, labels: Mapping[str, str], needs: Collection[str]) -> Sequence[str]:
        """Return the ids of the labeled items, in the order in which a strategy sees them."""
        labeled = self._seen_labeled(labels, needs)
        return list(labels) if labeled is None else labeled.ids

    def drop_files(self, folder: Path) -> None:
        """Remove the outputs of a finished round from the disk."""
        shutil.rmtree(folder / OUTPUTS_NAME, ignore_errors=True)

    def _seen_labeled(
        self, labels: Mapping[str, str], needs: Collection[str]
    ) -> PoolOutputs | None:
        # A strategy that needs embeddings also reads those of the labeled items
        looks = bool({"embeddings", "labeled_embeddings", "labeled_logits"} & set(needs))
        return self.of_labeled(labels, needs) if labels and looks else None

    def _class_indices(self, labels: Mapping[str, str], ids: Sequence[str]) -> NDArray[np.int64]:
        places = {name: index for index, name in enumerate(self._learner.class_names())}
        # A pipeline that keeps its labels reports no class
        return np.asarray([places.get(labels[id], -1) for id in ids], np.int64)

    def _of_target(self) -> PoolOutputs:
        if self._target is None:
            ids = [item.id for item in self._learner.items]
            chosen: list[Any] = canonical_order(ids, self._target_seed)[
                : self._target_size
            ].tolist()
            self._target = self._learner.infer(
                [ids[place] for place in chosen], {"mc_logits"}, None
            )
        return self._target
