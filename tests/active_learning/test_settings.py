"""The block `active_learning`: all its faults at once, each with its path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.loop_faults import faults_of

from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.settings import ActiveLearningSettings, InitialQuery
from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.strategies.base import QueryStrategy, name_of


class _Untrained(Learner):
    """A learner whose initial model predicts, or does not; its embeddings stay."""

    def __init__(self, predicts: bool) -> None:
        self._predicts = predicts

    def predicts_untrained(self) -> bool:
        return self._predicts

    def embeddings_stay(self) -> bool:
        return True


MakeConfig = Callable[..., dict[str, Any]]


def test_a_right_block_has_no_faults(
    linear_config: MakeConfig, network_config: MakeConfig, digits: Path
) -> None:
    assert faults_of(linear_config()) == {}
    assert faults_of(network_config(strategy="badge", retrain="warm")) == {}
    assert faults_of(linear_config(_pool_data_path=str(digits))) == {}
    bare = linear_config()
    del bare["active_learning"]
    assert faults_of(bare) == {}


@pytest.mark.parametrize(
    ("key", "value", "path", "message"),
    [
        ("query_size", 0, "query_size", "expected int >= 1, found 0"),
        ("budget", -3, "budget", "expected int >= 1, found -3"),
        ("mc_samples", 0, "mc_samples", "expected int >= 1, found 0"),
        ("target_size", 0, "target_size", "expected int >= 1, found 0"),
        ("test_fraction", 1.0, "test_fraction", "expected float > 0 and < 1, found 1.0"),
        ("test_fraction", 0, "test_fraction", "expected float > 0 and < 1, found 0"),
        ("shrink", 1.5, "shrink", "expected float from 0 to 1, found 1.5"),
        ("perturb", -0.1, "perturb", "expected float >= 0, found -0.1"),
        ("classes", ["a", "b", "a"], "classes", "duplicate class names: a"),
        ("classes", ["caf\u00e9", "cafe\u0301"], "classes", "duplicate class names: caf\u00e9"),
        ("classes", ["a", "a "], "classes", "duplicate class names: a"),
        ("classes", [], "classes", "expected at least one class name"),
        ("classes", ["a", ""], "classes", "no empty one"),
        ("initial", {"size": 0}, "initial.size", "expected int >= 1, found 0"),
        ("initial", {"size": 13}, "initial.size", "expected at most the budget, 12, found 13"),
        ("initial", {"strategy": "random"}, "initial.size", "missing key"),
        ("initial", {"size": 4, "strategy": "margin"}, "initial.strategy", "needs its logits"),
        (
            "initial",
            {"size": 4, "strategy": "batch_bald"},
            "initial.strategy",
            "there is no model yet, and this strategy needs its mc_logits",
        ),
        (
            "initial",
            {"size": 4, "strategy": {"type": "subsample", "size": 9, "strategy": "badge"}},
            "initial.strategy",
            "there is no model yet",
        ),
        ("_pool_data_path", "/no/such", "pool_data_path", "found none at /no/such"),
        ("_pool_data_path", "", "pool_data_path", 'expected a path, found ""'),
        ("query_sise", 3, "query_sise", 'unknown key; did you mean "query_size"?'),
        ("strategy", "margni", "strategy", 'did you mean "margin"'),
        ("retrain", "hot", "retrain", "expected"),
        ("annotator", {"type": "file", "path": "../x.csv"}, "annotator.path", "within the folder"),
        ("stop", ["plateu"], "stop.0", 'did you mean "plateau"'),
        ("stop", [{"type": "budget"}], "stop.0.labels", "expected it or rounds, found neither"),
        ("learner", "experimnt", "learner", 'did you mean "experiment"'),
    ],
    ids=str,
)
def test_a_fault_has_a_path_and_says_what_would_be_right(
    linear_config: MakeConfig, key: str, value: Any, path: str, message: str
) -> None:
    found = faults_of(linear_config(**{key: value}))
    assert list(found) == [path]
    assert message in found[path]


def test_all_faults_are_told_at_once(linear_config: MakeConfig) -> None:
    config = linear_config(
        query_size=0,
        budget=0,
        initial={"size": 0, "strategy": "entropy"},
        perturb=-1,
        _pool_data_path="/no/such",
        stratgy="margin",
        stop=[{"type": "plateau", "metric": "acuracy", "patience": 0}],
        _test_data_path="/none",
        _random_sed=1,
    )
    assert set(faults_of(config)) == {
        *("query_size", "budget", "initial.strategy", "initial.size", "perturb", "stratgy"),
        *("pool_data_path", "stop.0.metric", "stop.0.patience", "test_fraction"),
        *("test_data_path", "random_sed"),
    }


def test_in_python_a_wrong_value_is_an_error_too() -> None:
    with pytest.raises(ConfigurationError, match="query_size: expected int >= 1, found 0"):
        ActiveLearningSettings(query_size=0)
    with pytest.raises(ConfigurationError, match="size: expected int >= 1"):
        InitialQuery(0)


@pytest.mark.parametrize(
    ("strategy", "initial", "predicts", "first"),
    [
        ("margin", None, False, "random"),
        ("auto", None, False, "typiclust"),
        ("auto", {"size": 4}, False, "random"),
        ("auto", {"size": 4, "strategy": "k_center"}, True, "k_center"),
        ("auto", {"size": 4, "strategy": "margin"}, True, "margin"),
        ("auto", {"size": 4}, True, "class_balanced"),
        ("margin", None, True, "class_balanced"),
    ],
)
def test_the_first_strategy_follows_from_what_the_initial_model_can(
    strategy: str, initial: dict[str, Any] | None, predicts: bool, first: str
) -> None:
    query = None if initial is None else InitialQuery.from_params(dict(initial))
    settings = ActiveLearningSettings(QueryStrategy.from_params(strategy), initial=query)
    assert name_of(settings.first_strategy(_Untrained(predicts))) == first


@pytest.mark.parametrize(("strategy", "predicts"), [("margin", False), ("bald", True)])
def test_in_python_a_first_strategy_that_needs_a_trained_model_is_refused(
    strategy: str, predicts: bool
) -> None:
    settings = ActiveLearningSettings(initial=InitialQuery(4, QueryStrategy.from_params(strategy)))
    with pytest.raises(ConfigurationError, match=r"initial\.strategy: there is no model yet"):
        settings.first_strategy(_Untrained(predicts))


def test_a_model_that_knows_classes_by_names_may_choose_first_by_its_predictions(
    linear_config: MakeConfig,
) -> None:
    config = linear_config(initial={"size": 4, "strategy": "margin"})
    assert list(faults_of(config)) == ["initial.strategy"]
    config["model"] = {
        "type": "zero_shot_classifier",
        "im2vec_encoder": {"type": "open_clip", "model": "ViT-B-32", "weights": "openai"},
    }
    assert "initial.strategy" not in faults_of(config)
