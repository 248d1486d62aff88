"""What is wrong with the numbers of a strategy is found by the check of its config, all at once."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Annotated, get_args, get_origin

import pytest

from allencv_al.common.config.config_check import check
from allencv_al.common.config.registrable import FromParams
from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet
from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.strategies.base import QueryStrategy
from allencv_al.selection.strategies.combining import MixturePart


class Settings(FromParams):
    """The block of a config in which a strategy stands.

    Args:
        strategy: What chooses.
    """

    def __init__(self, strategy: QueryStrategy) -> None:
        self.strategy = strategy


def faults_of(strategy: str) -> list[tuple[str, str]]:
    config = json.loads(evaluate_snippet("settings", f"{{strategy: {strategy}}}", {}))
    return [
        (fault.path.removeprefix("strategy."), fault.message) for fault in check(Settings, config)
    ]


# (strategy, where, what)
WRONG = [
    ('{type: "random", memory_budget_mb: 0}', "memory_budget_mb", "expected float > 0, found 0"),
    ('{type: "margin", temperature: -1}', "temperature", "expected float > 0, found"),
    ('{type: "entropy", temperature: 0}', "temperature", "expected float > 0, found"),
    ('{type: "bald", temperature: 0}', "temperature", "expected float > 0, found"),
    ('{type: "epig", temperature: 0}', "temperature", "expected float > 0, found"),
    ('{type: "power_bald", beta: -1}', "beta", "expected float >= 0, found -1"),
    ('{type: "batch_bald", num_configurations: 0}', "num_configurations", "int >= 1, found 0"),
    ('{type: "batch_bald", num_candidates: 0}', "num_candidates", "expected int >= 1, found 0"),
    ('{type: "clue", temperature: 0}', "temperature", "expected float > 0, found"),
    ('{type: "cluster_margin", candidates_per_pick: 0}', "candidates_per_pick", "int >= 1"),
    ('{type: "cluster_margin", num_clusters: 0}', "num_clusters", "expected int >= 1, found 0"),
    ('{type: "typiclust", max_clusters: 0}', "max_clusters", "expected int >= 1, found 0"),
    ('{type: "typiclust", min_cluster_size: -1}', "min_cluster_size", "int >= 0, found -1"),
    ('{type: "typiclust", neighbors: 0}', "neighbors", "expected int >= 1, found 0"),
    ('{type: "prob_cover", radius: 0}', "radius", "expected float > 0, found"),
    (
        '{type: "prob_cover", purity: 1.1}',
        "purity",
        "expected float > 0 and <= 1, found 1.1",
    ),
    ('{type: "prob_cover", num_classes: 0}', "num_classes", "expected int >= 1, found 0"),
    ('{type: "prob_cover", max_references: 0}', "max_references", "expected int >= 1, found 0"),
    ('{type: "max_herding", bandwidth: 0}', "bandwidth", "expected float > 0, found"),
    ('{type: "max_herding", neighbor: 0}', "neighbor", "expected int >= 1, found 0"),
    ('{type: "max_herding", max_candidates: 0}', "max_candidates", "expected int >= 1, found 0"),
    ('{type: "uncertainty_herding", temperature: 0}', "temperature", "expected float > 0, found 0"),
    ('{type: "uncertainty_herding", neighbor: 0}', "neighbor", "expected int >= 1, found 0"),
    ('{type: "subsample", strategy: "margin"}', "size", "expected this or fraction, found neither"),
    ('{type: "subsample", strategy: "margin", size: 0}', "size", "expected int >= 1, found 0"),
    (
        '{type: "subsample", strategy: "margin", fraction: 0}',
        "fraction",
        "expected float > 0 and <= 1, found 0",
    ),
    (
        '{type: "epsilon_random", strategy: "margin", epsilon: 1.5}',
        "epsilon",
        "from 0 to 1, found 1.5",
    ),
    (
        '{type: "deduplicate", strategy: "margin", distance: 1, quantile: 0.1}',
        "distance",
        "expected this or quantile, found both",
    ),
    ('{type: "deduplicate", strategy: "margin", distance: -1}', "distance", "float >= 0, found -1"),
    ('{type: "deduplicate", strategy: "margin", quantile: 2}', "quantile", "from 0 to 1, found 2"),
    (
        '{type: "class_balanced", strategy: "margin", target: [0, 0]}',
        "target",
        "expected a share above 0 for at least one class, found [0, 0]",
    ),
    (
        '{type: "class_balanced", strategy: "margin", target: [1, -1, 3]}',
        "target.1",
        "expected float >= 0, found -1",
    ),
    ('{type: "mixture", strategies: []}', "strategies", "add up to 1, found 0"),
    (
        '{type: "mixture", strategies: [{strategy: "margin", fraction: 0.5}]}',
        "strategies",
        "expected fractions that add up to 1, found 0.5",
    ),
    (
        '{type: "switch", before: "random", after: "margin", when: "coverage", threshold: 0.5}',
        "radius",
        "expected a distance, found none",
    ),
    (
        '{type: "switch", before: "random", after: "margin", when: "coverage", threshold: 2,'
        " radius: 1}",
        "threshold",
        "expected a share from 0 to 1 with coverage, found 2",
    ),
    (
        '{type: "switch", before: "random", after: "margin", when: "coverage", threshold: 1,'
        " radius: -1}",
        "radius",
        "expected float > 0, found -1",
    ),
    (
        '{type: "switch", before: "random", after: "margin", when: "coverage", threshold: 1,'
        " radius: 1, num_classes: 3}",
        "num_classes",
        "expected none with coverage, found 3",
    ),
    (
        '{type: "switch", before: "random", after: "margin", when: "labels_per_class",'
        " threshold: -1}",
        "threshold",
        "expected float >= 0, found -1",
    ),
    (
        '{type: "switch", before: "random", after: "margin", when: "labels_per_class",'
        " threshold: 1, radius: 1}",
        "radius",
        "expected none with labels_per_class, found 1",
    ),
    (
        '{type: "switch", before: "random", after: "margin", when: "labels_per_class",'
        " threshold: 1, num_classes: 0}",
        "num_classes",
        "expected int >= 1, found 0",
    ),
]


@pytest.mark.parametrize(("strategy", "where", "what"), WRONG)
def test_a_wrong_value_is_found_where_it_stands(strategy: str, where: str, what: str) -> None:
    [(path, message)] = faults_of(strategy)
    assert path == where
    assert what in message


@pytest.mark.parametrize(("strategy", "where", "what"), WRONG)
def test_the_constructor_says_the_same(strategy: str, where: str, what: str) -> None:
    values = json.loads(evaluate_snippet("strategy", strategy, {}))
    cls = QueryStrategy.by_name(values.pop("type"))
    for name in ("strategy", "before", "after"):
        if name in values:
            values[name] = QueryStrategy.from_params(values[name])
    if "strategies" in values:
        values["strategies"] = [MixturePart.from_params(part) for part in values["strategies"]]
    with pytest.raises(ConfigurationError) as caught:
        cls(**values)
    [(_, message)] = faults_of(strategy)
    assert str(caught.value) == f"{where}: {message}"


def test_all_faults_of_nested_strategies_are_told_at_once() -> None:
    found = faults_of(
        '{type: "subsample", size: 0, memory_budget_mb: -1, strategy: {type: "mixture", '
        'strategies: [{fraction: 0.5, strategy: {type: "epsilon_random", epsilon: -0.1, '
        'strategy: "margn"}},'
        '{fraction: 0.4, strategy: {type: "typiclust", neighbors: 0, max_clusters: "many"}}]}}'
    )
    parts = "strategy.strategies"
    assert {path for path, _ in found} == {
        "size",
        "memory_budget_mb",
        "strategy.strategies",
        f"{parts}.0.strategy.epsilon",
        f"{parts}.0.strategy.strategy",
        f"{parts}.1.strategy.neighbors",
        f"{parts}.1.strategy.max_clusters",
    }
    assert len(found) == 7


def test_a_wrong_fraction_is_told_once() -> None:
    """Its sum is then wrong, too, but that would say nothing new."""
    [(path, message)] = faults_of(
        '{type: "mixture", strategies: [{strategy: "margin", fraction: 1.5}]}'
    )
    assert path == "strategies.0.fraction"
    assert message == "expected float > 0 and <= 1, found 1.5"


@pytest.mark.parametrize(
    "strategy",
    [
        '{type: "subsample", strategy: "margin", fraction: "half"}',
        '{type: "deduplicate", strategy: "margin", quantile: "half"}',
        '{type: "mixture", strategies: [{strategy: "margin", fraction: "half"}]}',
        '{type: "switch", before: "random", after: "margin", when: "often", threshold: 1}',
    ],
)
def test_a_value_of_a_wrong_type_does_not_bring_more_faults(strategy: str) -> None:
    assert len(faults_of(strategy)) == 1


def test_what_is_right_has_no_faults() -> None:
    assert not faults_of(
        '{type: "mixture", strategies: [{fraction: 0.33, strategy: s} for s in'
        ' ["margin", "k_center", {type: "deduplicate", distance: 0, strategy: "random"}]]}'
    )


def each_strategy() -> list[type[QueryStrategy]]:
    return [QueryStrategy.by_name(name) for name in QueryStrategy.builtin]


@pytest.mark.parametrize("cls", each_strategy())
def test_rules_name_parameters(cls: type[QueryStrategy]) -> None:
    for rule in cls.joint_rules:
        assert set(inspect.signature(rule).parameters) <= set(inspect.signature(cls).parameters)


@pytest.mark.parametrize("cls", each_strategy())
def test_every_number_of_every_strategy_has_a_limit(cls: type[QueryStrategy]) -> None:
    parameters = inspect.signature(cls, eval_str=True).parameters
    bare = [name for name, each in parameters.items() if {int, float} & {*_types(each.annotation)}]
    assert not bare


def _types(annotation: object) -> Iterator[object]:
    """Yield the types within an annotation that no `Annotated` limits."""
    if get_origin(annotation) is Annotated:
        return
    yield annotation
    for part in get_args(annotation):
        yield from _types(part)
