"""Uncertainty of one model, against formulas in float64 and scikit-activeml."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import entropy

from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.base import QueryStrategy
from allencv_al.selection.strategies.uncertainty import (
    Entropy,
    LeastConfidence,
    Margin,
    Ratio,
    UncertaintyStrategy,
)

STRATEGIES: list[type[UncertaintyStrategy]] = [LeastConfidence, Margin, Ratio, Entropy]
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def pool_of(logits: Any) -> Pool:
    array = np.asarray(logits)
    return Pool([f"i{number}" for number in range(len(array))], logits=array)


def random_logits(classes: int = 5, scale: float = 3) -> NDArray[np.float32]:
    generator = np.random.default_rng(classes)
    return (scale * generator.standard_normal((500, classes))).astype(np.float32)


def by_formula(strategy: type[UncertaintyStrategy], probabilities: Any) -> Any:
    ordered = np.sort(probabilities, axis=1)[:, ::-1]
    if strategy is LeastConfidence:
        return 1 - ordered[:, 0]
    if strategy is Margin:
        return 1 - (ordered[:, 0] - ordered[:, 1])
    if strategy is Ratio:
        return ordered[:, 1] / ordered[:, 0]
    return entropy(probabilities, axis=1)


@every_strategy
@pytest.mark.parametrize("temperature", [1.0, 0.3, 4.0])
@pytest.mark.parametrize("classes", [2, 10, 300])
def test_scores_follow_their_formula(
    strategy: type[UncertaintyStrategy], classes: int, temperature: float
) -> None:
    logits = random_logits(classes)
    expected = by_formula(strategy, softmax(logits.astype(np.float64) / temperature, axis=1))
    found = strategy(temperature=temperature).score(pool_of(logits))
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("strategy", "method"),
    [(LeastConfidence, "least_confident"), (Margin, "margin_sampling"), (Entropy, "entropy")],
)
def test_scores_are_those_of_scikit_activeml(
    strategy: type[UncertaintyStrategy], method: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skactiveml import pool as peer
    logits = random_logits(10)
    theirs = peer.uncertainty_scores(softmax(logits.astype(np.float64), axis=1), method=method)
    np.testing.assert_allclose(strategy().score(pool_of(logits)), theirs, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("strategy", "heuristic"),
    [(LeastConfidence, "certainty"), (Margin, "margin"), (Entropy, "entropy")],
)
def test_scores_of_the_mean_of_members_are_those_of_baal(
    strategy: type[UncertaintyStrategy], heuristic: str
) -> None:
    """As `record_baal_scores.py` has recorded them."""
    file = Path(__file__).with_name("baal_scores.json")
    recorded = json.loads(file.read_text(encoding="utf-8"))
    mean = softmax(np.array(recorded["mc_logits"]), axis=2).mean(axis=1)
    theirs = np.array(recorded[f"{heuristic}_of_mean"])
    # baal's certainty is p(1), its margin p(1) - p(2)
    expected = theirs if heuristic == "entropy" else 1 - theirs
    np.testing.assert_allclose(strategy().score(pool_of(np.log(mean))), expected, rtol=1e-5)


def test_by_hand() -> None:
    """Of the probabilities 1/2, 1/4, 1/4."""
    pool = pool_of([[math.log(2), 0.0, 0.0]])
    expected = {LeastConfidence: 0.5, Margin: 0.75, Ratio: 0.5, Entropy: 1.5 * math.log(2)}
    for strategy, score in expected.items():
        np.testing.assert_allclose(strategy().score(pool), [score], rtol=1e-6)


@every_strategy
def test_two_classes_leave_one_order(strategy: type[UncertaintyStrategy]) -> None:
    pool = pool_of(random_logits(2))
    assert strategy().select(pool, 50, 1).ids == LeastConfidence().select(pool, 50, 1).ids


@every_strategy
def test_certainty_scores_0_and_one_class_is_certain(strategy: type[UncertaintyStrategy]) -> None:
    assert strategy().score(pool_of([[1e4, 0.0, 0.0]])).tolist() == [0.0]
    assert strategy().score(pool_of([[3.0], [-5.0]])).tolist() == [0.0, 0.0]


@every_strategy
def test_near_certainty_is_still_told_apart(strategy: type[UncertaintyStrategy]) -> None:
    """In float32, 1 − p(1) would be 0 for all of these."""
    scores = strategy().score(pool_of(np.array([[20, 0, 0], [30, 0, 0], [60, 0, 0]], np.float32)))
    assert scores[0] > scores[1] > scores[2] > 0
    expected = by_formula(strategy, softmax(np.array([[20.0, 0, 0]]), axis=1))
    np.testing.assert_allclose(scores[:1], expected, rtol=1e-5)


@every_strategy
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_largest_numbers_do_not_overflow(
    strategy: type[UncertaintyStrategy], dtype: type
) -> None:
    largest = np.finfo(dtype).max
    scores = strategy(temperature=0.01).score(
        pool_of(np.array([[largest, -largest], [largest, largest]], dtype))
    )
    assert scores[0] == 0
    assert np.isfinite(scores).all()
    assert scores[1] > 0.4


@every_strategy
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_widths_give_the_same(strategy: type[UncertaintyStrategy], dtype: type) -> None:
    logits = random_logits(4).astype(np.float16)
    expected = strategy().score(pool_of(logits.astype(np.float32)))
    found = strategy().score(pool_of(logits.astype(dtype)))
    np.testing.assert_array_equal(found, expected)


def test_normalized_entropy_is_a_share_and_picks_the_same() -> None:
    pool = pool_of([*random_logits(4), np.zeros(4)])
    plain, normalized = Entropy().score(pool), Entropy(normalize=True).score(pool)
    np.testing.assert_allclose(normalized, plain / math.log(4), rtol=1e-6)
    assert normalized[-1] == pytest.approx(1, abs=1e-6)
    assert Entropy(normalize=True).score(pool_of([[2.0]])).tolist() == [0.0]


def test_temperature_may_change_the_picks() -> None:
    """A tie of two classes against a broad spread."""
    pool = pool_of(np.array([[5.0, 5.0, 0, 0, 0], [5.0, 4.0, 3.0, 3.0, 3.0]], np.float32))
    assert Entropy(temperature=0.1).select(pool, 1).ids == ("i0",)
    assert Entropy(temperature=2).select(pool, 1).ids == ("i1",)


def test_reasons_name_the_two_likeliest_classes() -> None:
    logits = np.log(np.array([[0.9, 0.05, 0.05], [0.1, 0.3, 0.6]], np.float32))
    selection = Margin().select(pool_of(logits), 1)
    (reason,) = selection.reasons
    assert (reason["predicted"], reason["runner_up"]) == (2, 1)
    assert reason["probability"] == pytest.approx(0.6, abs=1e-6)
    assert reason["runner_up_probability"] == pytest.approx(0.3, abs=1e-6)


def test_reasons_of_more_picks_than_a_block() -> None:
    logits = np.tile(random_logits(3), (5, 1))
    selection = Margin().select(pool_of(logits), 2500)
    for id, score, reason in zip(selection.ids, selection.scores, selection.reasons, strict=True):
        assert reason["predicted"] == logits[int(id[1:])].argmax()
        margin = reason["probability"] - reason["runner_up_probability"]
        assert 1 - margin == pytest.approx(score, abs=1e-5)


def test_one_class_has_no_runner_up() -> None:
    assert Margin().select(pool_of([[3.0]]), 1).reasons == (
        {"rank": 0, "predicted": 0, "probability": 1.0},
    )


def test_logits_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "logits.npy", random_logits())
    on_disk = Pool(pool_of(random_logits()).ids, np.load(tmp_path / "logits.npy", mmap_mode="r"))
    expected = Entropy().select(pool_of(random_logits()), 20)
    assert Entropy().select(on_disk, 20).ids == expected.ids


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_is_positive_and_finite(temperature: float) -> None:
    with pytest.raises(ConfigurationError, match=r"temperature: expected (finite )?float > 0"):
        Margin(temperature=temperature)


@every_strategy
def test_no_classes_are_an_error(strategy: type[UncertaintyStrategy]) -> None:
    with pytest.raises(ConfigurationError, match="at least one class"):
        strategy().score(pool_of(np.zeros((2, 0))))


def test_a_config_says_it_all() -> None:
    built = QueryStrategy.from_params({"type": "entropy", "normalize": True, "temperature": 2})
    assert isinstance(built, Entropy)
    assert built.normalize
    assert built.temperature == 2
