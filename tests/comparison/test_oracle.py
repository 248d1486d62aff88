"""The upper bound: it looks at the test images, and no test or ranking counts it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.comparisons import MARGIN, RANDOM, options
from fixtures.loop_runs import run

from allencv_al.active_learning.rounds.curves import Curve
from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationError
from allencv_al.comparison.comparison import compare
from allencv_al.comparison.oracle import Oracle
from allencv_al.comparison.report.comparison_tables import bounds_table
from allencv_al.comparison.statistics import summarize
from allencv_al.labels.run_database import DATABASE_NAME, RoundStore, RunDatabase
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.base import QueryStrategy

MakeConfig = Callable[..., dict[str, Any]]

ORACLE = {"type": "oracle", "strategies": ["random", "margin"], "candidates": 6}


def test_it_takes_the_batch_of_the_highest_accuracy() -> None:
    """Here the accuracy is the share of even ids in the batch."""
    pool = Pool([str(index) for index in range(60)])
    tried: list[float] = []

    def trial(ids: Any) -> float:
        tried.append(float(np.mean([int(id) % 2 == 0 for id in ids])))
        return tried[-1]

    oracle = Oracle([QueryStrategy.from_params("random")], candidates=20).with_trial(trial)
    selection = oracle.select(pool, 5, 0)
    assert len(tried) == 20 and max(tried) > np.mean(tried)
    assert np.mean([int(id) % 2 == 0 for id in selection.ids]) == max(tried)
    assert {reason["test_accuracy"] for reason in selection.reasons} == {max(tried)}


def test_without_true_labels_it_refuses_to_choose() -> None:
    with pytest.raises(ConfigurationError, match="looks at true labels and test images"):
        Oracle([QueryStrategy.from_params("random")]).select(Pool(["a", "b"]), 1)


def test_the_accuracy_that_it_saw_is_that_of_the_next_round(
    linear_config: MakeConfig, tmp_path: Path
) -> None:
    records = run(linear_config(strategy=ORACLE, budget=12), tmp_path)
    assert [record.labels for record in records] == [0, 4, 8, 12]
    for before, after in pairwise(records[1:]):
        for pick in before.picks:
            assert pick.reason["test_accuracy"] == pytest.approx(after.metrics["accuracy"])
    assert not list(tmp_path.rglob("trial"))


def test_a_run_without_test_images_is_refused(linear_config: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="expects the annotator ground_truth, and test"):
        run(linear_config(strategy=ORACLE, test_fraction=None), tmp_path)
    with RunDatabase(tmp_path / DATABASE_NAME, create=False) as database:
        assert RoundStore(database).last() is None, "it is refused before anything is labeled"


@pytest.mark.usefixtures("no_pictures")
def test_a_comparison_shows_it_apart(config: dict[str, Any], tmp_path: Path) -> None:
    strategies = {"random": RANDOM, "best": ORACLE, "margin": MARGIN}
    summary = compare(Params(config), tmp_path / "c", options(strategies))
    assert [found.strategy for found in summary.strategies] == ["random", "margin"]
    assert summary.penalty.strategies == summary.profile.strategies == ("random", "margin")
    (bound,) = summary.bounds
    assert bound.strategy == "best" and bound.seeds == (0, 1)
    assert bound.aubc_mean >= max(found.aubc_mean for found in summary.strategies)
    text = (tmp_path / "c" / "results.md").read_text(encoding="utf-8")
    assert "best looks at the test images: an upper bound" in text
    assert "| best | 2 | " in text and "| Upper bound | Seeds | AUBC % | Final % | margin |" in text
    assert "best" in (tmp_path / "c" / "results.csv").read_text(encoding="utf-8")


def test_the_share_of_the_gain_is_that_of_the_areas() -> None:
    def curves(name: str, height: float) -> list[Curve]:
        return [
            Curve(name, seed, np.array([10, 20]), np.array([height, height + 0.1 * seed]))
            for seed in range(3)
        ]

    everything = [*curves("random", 0.5), *curves("margin", 0.6), *curves("oracle", 0.7)]
    summary = summarize(everything, oracles=["oracle"])
    (bound,) = summary.bounds
    assert bound.gain_shares == {"margin": pytest.approx(0.5)}
    assert "Of its gain over random the strategies took: margin 50%." in bound.note("random")
    table = bounds_table(summary)
    assert table is not None and table.columns[-1] == "margin"
    assert table.rows == [["oracle", "3", "75.00", "80.00", "50.0%"]]
    assert bounds_table(summarize(everything)) is None
    (alone,) = summarize(everything[3:], oracles=["oracle"]).bounds
    assert alone.gain_shares == {} and "took" not in alone.note(None)
