"""Strategies for labels of other kinds: several classes, masks and boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from allencv_al.common.errors import ConfigurationError
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.base import QueryStrategy, needs_of
from allencv_al.tasks.base import label_task
from allencv_al.tasks.score_axes import AGGREGATES, UNIT_SCORES

IDS = [f"{number}.png" for number in range(12)]
SEGMENTATION, DETECTION = label_task("segmentation"), label_task("detection")
READ_SCORES = ("least_confidence", "margin", "entropy")
# reference: only what is joint over classes, or reads their logits, has no meaning for masks
REFUSED = (
    *("bald", "batch_bald", "epig", "mean_std", "power_bald", "variation_ratio"),
    *("alfa_mix", "auto", "badge", "bait", "drop_query", "galaxy", "ratio"),
)
MARGIN_AND_MORE: dict[str, Any] = {
    "subsample": {"strategy": "margin", "fraction": 0.5},
    "epsilon_random": {"strategy": "margin", "epsilon": 0.5},
    "deduplicate": {"strategy": "margin", "distance": 0.1},
    "mixture": {
        "strategies": [
            {"strategy": "k_center", "fraction": 0.5},
            {"strategy": "margin", "fraction": 0.5},
        ]
    },
    "switch": {
        "before": "typiclust",
        "after": "margin",
        "when": "coverage",
        "threshold": 0.0,
        "radius": 1.0,
    },
    "bands": {"bands": [{"score": "margin", "num_items": 1, "take": "lowest"}]},
}


def build(name: str, **options: Any) -> QueryStrategy:
    strategy: QueryStrategy = QueryStrategy.from_params({"type": name, **options})
    return strategy


def pool() -> Pool:
    generator = np.random.default_rng(5)
    return Pool(
        IDS,
        scores=generator.random((12, 3, 4)).astype(np.float32),
        embeddings=generator.standard_normal((12, 4)).astype(np.float32),
        labeled_embeddings=np.zeros((1, 4), np.float32),
    )


@pytest.mark.parametrize("aggregate", [None, *AGGREGATES])
@pytest.mark.parametrize("name", READ_SCORES)
def test_scores_of_units_take_the_place_of_logits(name: str, aggregate: str | None) -> None:
    strategy = build(name, aggregate=aggregate).for_task(DETECTION)
    items = pool()
    assert items.scores is not None
    column = AGGREGATES.index(aggregate or "sum")
    wanted = items.scores[:, UNIT_SCORES.index(name), column]
    chosen = strategy.select(items, 5)
    assert chosen.ids == tuple(IDS[place] for place in np.argsort(-wanted)[:5])
    assert chosen.scores.tolist() == np.sort(wanted)[::-1][:5].tolist()
    assert chosen.reasons[0][name] == pytest.approx(float(wanted.max()))


@pytest.mark.parametrize("name", [*READ_SCORES, "clue", "cluster_margin", "uncertainty_herding"])
def test_for_one_class_per_image_nothing_changes(name: str) -> None:
    strategy = build(name)
    assert strategy.for_task(label_task("single_label")) is strategy
    assert "logits" in needs_of(strategy)


@pytest.mark.parametrize("name", ["clue", "cluster_margin", "uncertainty_herding", "k_center"])
def test_strategies_of_embeddings_choose_among_masks(name: str) -> None:
    strategy = build(name).for_task(SEGMENTATION)
    assert needs_of(strategy) <= {"scores", "embeddings", "labeled_embeddings"}
    assert len(set(strategy.select(pool(), 4).ids)) == 4


@pytest.mark.parametrize("name", MARGIN_AND_MORE)
def test_wrappers_fit_where_what_they_wrap_does(name: str) -> None:
    strategy = build(name, **MARGIN_AND_MORE[name])
    fitted = strategy.for_task(SEGMENTATION)
    assert "scores" in needs_of(fitted) and "logits" not in needs_of(fitted)
    assert len(set(fitted.select(pool(), 4).ids)) == 4
    assert "logits" in needs_of(strategy)  # the strategy itself is as before


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_meaning_for_masks_says_so_and_names_what_has(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(name).for_task(SEGMENTATION)
    said = str(caught.value)
    assert said.startswith(f'"{name}" reads ')
    assert 'labels of the kind "segmentation" have none; expected one of' in said
    fitting = said.partition("expected one of ")[2].split(", ")
    assert {"random", "margin", "k_center", "typiclust"} <= set(fitting)
    assert not set(fitting) & set(REFUSED)


def test_a_wrapper_that_reads_classes_is_refused_around_any_strategy() -> None:
    with pytest.raises(ConfigurationError, match='"class_balanced" reads logits'):
        build("class_balanced", strategy="margin").for_task(SEGMENTATION)


def test_a_temperature_means_nothing_for_reduced_scores() -> None:
    with pytest.raises(ConfigurationError, match=r"temperature: .* found 2\.0"):
        build("margin", temperature=2.0).for_task(SEGMENTATION)
