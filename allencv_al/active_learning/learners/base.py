"""The base of the learners: the methods by which the loop trains, tests and infers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.config.registrable import Registrable
from allencv_al.data.instance import Instance
from allencv_al.selection.pool.pool_outputs import EncodingCost, PoolOutputs
from allencv_al.selection.pool.unlabeled_pool import FloatArray
from allencv_al.tasks.base import LabelTask, label_task


@dataclass(frozen=True)
class TestOutputs:
    """Outputs of the trained model for the test items.

    Args:
        logits: float32 `[M, C]`.
        labels: The class index of each item, int64 `[M]`.
        unreadable: The items that could not be read, with the cause.
    """

    __test__ = False  # no test of pytest's

    logits: FloatArray
    labels: NDArray[np.int64]
    unreadable: Mapping[str, str]


@dataclass(frozen=True)
class TestFigures:
    """Metrics on the test items, from a learner that does not return logits.

    Args:
        metrics: By name; curves show `accuracy`, or the main metric of the learner's task.
        confusion_matrix: Counts `[C][C]`, row = class, column = prediction; None where a test item
            has no single class.
        classes: The names of its rows.
        unreadable: The items that could not be read, with the cause.
    """

    __test__ = False

    metrics: Mapping[str, float | None]
    confusion_matrix: list[list[int]] | None = None
    classes: Sequence[str] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)


class Learner(Registrable):
    """Trains on the labels so far, tests the model and computes its outputs for the pool.

    The loop calls `train`, `test` and `infer` in this order, round by round. Each may be called
    again after a kill: it does the same again, and the same labels give the same results. What
    `test` and `infer` need of a training is in the folder of the round, so that another process can
    resume from there with `restore`.
    """

    builtin: ClassVar[Mapping[str, str]] = {
        "experiment": "allencv_al.active_learning.learners.experiment_learner",
    }
    default_implementation = "experiment"
    injected = ("experiment", "cache_folder")

    items: Sequence[Instance]
    """All items that may be labeled, with the label in the data, if any."""

    @property
    def task(self) -> LabelTask:
        """The kind of labels; one class per image by default."""
        return label_task()

    @classmethod
    def experiment_class(cls) -> type[Any] | None:
        """Return the class that a config with this learner describes.

        None, the default, is `ActiveLearningExperiment`: a model, a trainer and data of the config.
        """
        return None

    def rehearse(self) -> None:
        """Do what a run does before it decodes the first image; write and download nothing.

        Raises:
            AllenCVError: The errors that the loop would raise.
        """

    def check(self, needs: Collection[str]) -> None:
        """Raise a ConfigurationError if the learner cannot compute what a strategy needs."""

    def prepare(self) -> None:
        """Compute everything that all runs with the same `cache_folder` share."""

    def knows_labels(self) -> bool:
        """Return whether labels of items are true classes, not placeholders."""
        return True

    def class_names(self) -> list[str]:
        """Return the names of the classes, in the order of the columns of logits."""
        raise NotImplementedError

    def data_classes(self) -> list[str]:
        """Return the names of the classes in the data; none if all items are unlabeled."""
        return []

    def set_classes(self, names: Collection[str]) -> bool:
        """Add classes that occur only in the annotator's labels.

        Args:
            names: Names of classes, known ones too.

        Returns:
            Whether the classes have changed, which leaves an untrained model.

        Raises:
            DataError: The classes are fixed, and these are not among them.
        """
        return False

    def train(self, round: int, labels: Mapping[str, str], folder: Path) -> dict[str, Any]:
        """Train on labeled items.

        Args:
            round: Its number, from 1.
            labels: The text of the label by item id, in the order in which they were labeled.
            folder: The folder of the round; the state needed to resume is written there.

        Returns:
            Metrics of the training, as JSON values.
        """
        raise NotImplementedError

    def restore(self, round: int, labels: Mapping[str, str], folder: Path) -> None:
        """Restore the model that `train` stored; the arguments are those of `train`."""
        raise NotImplementedError

    def measures(self) -> bool:
        """Return whether there are test items."""
        return True

    def test_items(self) -> Sequence[Instance]:
        """Return the test items, as far as the learner knows them."""
        return ()

    def test(self) -> TestOutputs | TestFigures | None:
        """Return the outputs of the model for the test items; None if there are none."""
        raise NotImplementedError

    def infer(self, ids: Sequence[str], needs: Collection[str], folder: Path | None) -> PoolOutputs:
        """Return the outputs of the model for some items.

        Args:
            ids: The items.
            needs: Some of "logits", "mc_logits", "embeddings".
            folder: A folder for the parts of a long computation, to resume after a kill.
        """
        raise NotImplementedError

    def drafts(self, ids: Sequence[str]) -> dict[str, tuple[str, float]]:
        """Return predicted labels that are more than a class, with their probabilities.

        Args:
            ids: Some items; those without such a prediction are left out of the result.
        """
        return {}

    def unreadable(self, ids: Sequence[str]) -> dict[str, str]:
        """Return which of some items are unreadable, with the causes."""
        return {}

    def embeddings_stay(self) -> bool:
        """Return whether an item has the same embedding in every round."""
        return False

    def encoding_cost(self) -> EncodingCost | None:
        """Return the cost of the embeddings so far; None where every round encodes images."""
        return None

    def predicts_untrained(self) -> bool:
        """Return whether the initial model predicts classes, as one that knows their names does."""
        return False

    def offers(self, output: str) -> bool:
        """Return whether `infer` gives this output at little more cost than logits alone."""
        return output in self.task.outputs and output not in ("mc_logits", "embeddings")

    def write_archive(self, folder: Path) -> Path | None:
        """Write the model as it is to `folder`; None for a learner that has no archive."""
        return None

    def close(self, is_done: bool) -> None:
        """Release resources.

        Args:
            is_done: Whether the run has ended, and not only stopped for a while.
        """
