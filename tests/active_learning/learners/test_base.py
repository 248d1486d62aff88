"""What a learner does unless its class does something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from allencv_al.active_learning.learners.base import Learner, TestFigures


def test_the_least_that_a_learner_offers() -> None:
    learner = Learner()
    learner.check({"mc_logits"})
    learner.close(is_done=True)
    assert learner.experiment_class() is None and learner.knows_labels() and learner.measures()
    assert learner.offers("logits") and not learner.offers("embeddings")
    assert not learner.embeddings_stay() and not learner.set_classes(["cat"])
    assert learner.data_classes() == [] and learner.unreadable(["1.png"]) == {}
    assert learner.write_archive(Path("nowhere")) is None


def test_what_every_learner_must_do_is_an_error() -> None:
    learner = Learner()
    for call in (
        learner.class_names,
        learner.test,
        lambda: learner.train(1, {}, Path()),
        lambda: learner.restore(1, {}, Path()),
        lambda: learner.infer([], {"logits"}, None),
    ):
        with pytest.raises(NotImplementedError):
            call()


def test_figures_need_metrics_alone() -> None:
    figures = TestFigures({"accuracy": 0.5})
    assert figures.confusion_matrix is None and list(figures.classes) == []
