"""Disagreement of an ensemble, against formulas on whole arrays and baal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import chisquare, entropy

from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.base import QueryStrategy
from allencv_al.selection.strategies.ensemble import (
    Bald,
    EnsembleStrategy,
    MeanStd,
    PowerBald,
    VariationRatio,
)

STRATEGIES: list[type[EnsembleStrategy]] = [Bald, MeanStd, VariationRatio]
BAAL = Path(__file__).with_name("baal_scores.json")


def pool_of(mc_logits: Any) -> Pool:
    array = np.asarray(mc_logits)
    return Pool([f"i{number}" for number in range(len(array))], mc_logits=array)


def random_logits(count: int = 300, members: int = 7, classes: int = 4) -> NDArray[np.float32]:
    generator = np.random.default_rng(0)
    return (2 * generator.standard_normal((count, members, classes))).astype(np.float32)


def bald_by_formula(logits: Any, temperature: float = 1) -> NDArray[np.float64]:
    probabilities = softmax(np.asarray(logits, np.float64) / temperature, axis=2)
    of_mean = entropy(probabilities.mean(axis=1), axis=1)
    information: NDArray[np.float64] = of_mean - entropy(probabilities, axis=2).mean(axis=1)
    return information


def scores_of(strategy: QueryStrategy, logits: Any) -> NDArray[np.float32]:
    scores = strategy.score(pool_of(logits))
    assert scores is not None
    return scores


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_bald_follows_its_formula(temperature: float) -> None:
    found = scores_of(Bald(temperature=temperature), random_logits())
    np.testing.assert_allclose(found, bald_by_formula(random_logits(), temperature), rtol=1e-5)


def test_bald_is_that_of_baal() -> None:
    """As `record_baal_scores.py` has recorded it."""
    recorded = json.loads(BAAL.read_text(encoding="utf-8"))
    np.testing.assert_allclose(
        scores_of(Bald(), recorded["mc_logits"]), recorded["bald"], rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("shape", [(20, 12), (1, 30), (200, 10)])
def test_no_bit_of_a_score_depends_on_the_budget(
    strategy: type[EnsembleStrategy], shape: tuple[int, int]
) -> None:
    """Sums of many members and classes; numpy adds those of one row up in an order of its own."""
    logits = random_logits(201, *shape)
    pool = pool_of(logits)
    # Before they are rounded to float32, as power_bald compares them
    expected = strategy()._scores(pool)
    for budget in (1e-9, 0.02, 0.1):
        np.testing.assert_array_equal(strategy(memory_budget_mb=budget)._scores(pool), expected)


def test_the_mean_deviation_follows_its_formula() -> None:
    probabilities = softmax(random_logits().astype(np.float64), axis=2)
    expected = probabilities.std(axis=1).mean(axis=1)
    np.testing.assert_allclose(scores_of(MeanStd(), random_logits()), expected, rtol=1e-5)


def test_the_variation_ratio_counts_votes() -> None:
    logits = np.eye(3)[[[0, 0, 0, 0], [0, 1, 0, 0], [2, 1, 0, 1], [0, 0, 1, 1]]]
    np.testing.assert_allclose(scores_of(VariationRatio(), logits), [0, 0.25, 0.5, 0.5])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_members_that_agree_score_0(strategy: type[EnsembleStrategy]) -> None:
    alike = np.repeat(random_logits(members=1), 6, axis=1)
    np.testing.assert_allclose(scores_of(strategy(), alike), 0, atol=1e-15)
    np.testing.assert_array_equal(scores_of(strategy(), random_logits(members=1)), 0)


def test_sure_members_that_disagree_tell_most() -> None:
    """Two members, certain of different classes: one bit. Both unsure: nothing."""
    logits = [[[50.0, 0], [0, 50.0]], [[0.0, 0], [0, 0]]]
    np.testing.assert_allclose(scores_of(Bald(), logits), [np.log(2), 0], atol=1e-7)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_largest_numbers_do_not_overflow(strategy: type[EnsembleStrategy]) -> None:
    largest = np.finfo(np.float32).max
    logits = np.array([[[largest, -largest], [-largest, largest]]], np.float32)
    assert scores_of(strategy(temperature=0.1), logits)[0] >= 0.5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_logits_of_very_different_rows_do_not_meet(strategy: type[EnsembleStrategy]) -> None:
    """Each row is shifted by its own highest logit; a shift of all by one would lose the small."""
    logits = np.round(8 * random_logits()) / 8
    far = logits + 4096 * (np.arange(300) % 5).astype(np.float32)[:, None, None]
    np.testing.assert_array_equal(scores_of(strategy(), far), scores_of(strategy(), logits))


def test_reasons_are_of_the_mean() -> None:
    logits = np.log(np.array([[[0.8, 0.1, 0.1], [0.2, 0.1, 0.7]]], np.float32))
    (reason,) = Bald().select(pool_of(logits), 1).reasons
    assert (reason["predicted"], reason["runner_up"]) == (0, 2)
    assert reason["probability"] == pytest.approx(0.5, abs=1e-6)
    assert reason["runner_up_probability"] == pytest.approx(0.4, abs=1e-6)


@pytest.mark.parametrize("strategy", [*STRATEGIES, PowerBald])
def test_no_members_are_an_error(strategy: type[EnsembleStrategy]) -> None:
    with pytest.raises(ConfigurationError, match="expected at least one member"):
        strategy().select(pool_of(np.zeros((2, 0, 3))), 1)


@pytest.mark.parametrize("variant", ["power", "softmax", "softrank"])
def test_the_first_pick_of_power_bald_has_its_law(variant: Any) -> None:
    """Gumbel noise makes the first pick a draw in proportion to the exponentials of scores."""
    logits = random_logits(count=5)
    bald, beta = bald_by_formula(logits), 1.5
    ranks = 1 + np.argsort(np.argsort(-bald))
    weights = {"power": bald**beta, "softmax": np.exp(beta * bald), "softrank": ranks**-beta}
    strategy = PowerBald(variant, beta=beta)
    firsts = [strategy.select(pool_of(logits), 1, seed).ids[0] for seed in range(2000)]
    counts = [firsts.count(f"i{index}") for index in range(5)]
    expected = weights[variant] / weights[variant].sum() * 2000
    assert chisquare(counts, expected).pvalue > 0.001


def test_the_second_pick_is_drawn_from_the_rest() -> None:
    logits = random_logits(count=3)
    bald = bald_by_formula(logits)
    pairs = [PowerBald().select(pool_of(logits), 2, seed).ids for seed in range(2000)]
    orders = [(first, second) for first in range(3) for second in range(3) if first != second]
    counts = [pairs.count((f"i{first}", f"i{second}")) for first, second in orders]
    shares = [
        bald[first] / bald.sum() * bald[second] / (bald.sum() - bald[first])
        for first, second in orders
    ]
    assert chisquare(counts, 2000 * np.array(shares)).pvalue > 0.001


@pytest.mark.parametrize("variant", ["power", "softmax", "softrank"])
def test_a_large_beta_is_bald(variant: Any) -> None:
    expected = Bald().select(pool_of(random_logits()), 9).ids
    assert PowerBald(variant, beta=1e7).select(pool_of(random_logits()), 9).ids == expected


def test_beta_0_is_chance() -> None:
    pool, flat = pool_of(random_logits()), pool_of(np.zeros_like(random_logits()))
    for seed in range(5):
        found = PowerBald(beta=0).select(pool, 9, seed).ids
        assert found == PowerBald("softmax", beta=0).select(flat, 9, seed).ids


def test_power_bald_says_the_bald_of_each_pick() -> None:
    selection = PowerBald().select(pool_of(random_logits()), 9)
    bald = bald_by_formula(random_logits())
    for id, reason in zip(selection.ids, selection.reasons, strict=True):
        assert reason["bald"] == pytest.approx(bald[int(id[1:])], abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": -1.0}, "beta: expected float >= 0, found -1"),
        ({"beta": float("nan")}, "beta: expected"),
        ({"variant": "soft"}, 'variant: expected "power" or "softmax" or "softrank", found "soft"'),
        ({"temperature": 0.0}, "temperature: expected"),
    ],
)
def test_wrong_options_are_messages(options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PowerBald(**options)
