"""Strategy files: simple and expert mode, and faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures.band_scores import picked, pool, score_of

from allencv_al.common.config.config_check import check
from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.strategies.base import QueryStrategy
from allencv_al.selection.strategies.strategy_file import StrategyFile


def write(folder: Path, text: str) -> Path:
    path = folder / "strategy.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["confidence", "margin", "entropy"])
@pytest.mark.parametrize("end", ["lowest", "highest"])
def test_simple_mode_takes_an_end_of_a_score(name: str, end: str, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"resource: Strategy\ntype: regular_al\nmode: simple\n"
        f"query_strategy:\n  {name}: {{type: {end}, n_rec: 100}}\n",
    )
    items = pool()
    scores = score_of(items, name)
    order = np.argsort(scores if end == "lowest" else -scores)
    assert picked(StrategyFile(path), items, 10) == order[:10].tolist()


@pytest.mark.parametrize("name", ["confidence", "margin", "entropy"])
def test_expert_mode_takes_by_chance_within_a_band(name: str, tmp_path: Path) -> None:
    items = pool()
    scores = score_of(items, name)
    low, high = np.quantile(scores, [0.3, 0.6]).tolist()
    path = write(
        tmp_path,
        f"mode: expert\nquery_strategy:\n  {name}_1: {{n_rec: 5, over: {low}, under: {high}}}\n",
    )
    strategy = StrategyFile(path)
    found = [picked(strategy, items, 10, seed) for seed in range(40)]
    assert all(low < scores[item] < high for picks in found for item in picks)
    inside = int(((scores > low) & (scores < high)).sum())
    assert len({item for picks in found for item in picks}) > 0.9 * inside


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- 1", "expected keys with values, found list"),
        ("mode: [", "while parsing"),
        ("mode: odd", "mode: expected simple or expert, found 'odd'"),
        ("mode: simple", "query_strategy: expected one of random, confidence"),
        ("mode: simple\nquery_strategy: {a: {}}", r"query_strategy\.a: expected one of random"),
        (
            "mode: simple\nquery_strategy: {margin: {type: lowest, n_rec: 1}, random: {n_rec: 1}}",
            "expected one in simple mode, found 2",
        ),
        ("mode: simple\nquery_strategy: {margin: {n_rec: 1}}", "type: expected lowest or highest"),
        ("mode: simple\nquery_strategy: {margin: {type: lowest}}", "n_rec: expected a whole"),
        ("mode: simple\nquery_strategy: {random: {n_rec: true}}", "n_rec: expected a whole"),
        ("mode: expert\nquery_strategy: {margin: {n_rec: 1, over: 0}}", "under: expected a number"),
        (
            "mode: expert\nquery_strategy: {margin: {n_rec: 1, over: 0.5, under: 0.5}}",
            "under: expected more than over, 0.5, found 0.5",
        ),
        ("mode: expert\nquery_strategy: {margin: 3}", "expected n_rec, over, under, found 3"),
        ("mode: expert\nresorce: x\nquery_strategy: {random: {n_rec: 1}}", "resorce: expected"),
        ("resource: Model\nmode: simple", "resource: expected Strategy, found 'Model'"),
    ],
)
def test_a_file_that_says_something_else_is_refused(
    text: str, problem: str, tmp_path: Path
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigurationError, match=problem):
        StrategyFile(path)
    faults = check(QueryStrategy, {"type": "strategy_file", "path": str(path)})
    assert [fault.path for fault in faults] == ["path"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml"):
        StrategyFile(tmp_path / "none.yaml")
