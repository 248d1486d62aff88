"""The data set's own labels, and noise that depends on nothing but seed, id and classes."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.id_hash import canonical_order
from allencv_al.data.instance import Instance
from allencv_al.labels.annotators.base import Annotator, LabelRequest
from allencv_al.labels.annotators.ground_truth import GroundTruthAnnotator
from allencv_al.tasks import label_task

CLASSES = ["emu", "cat", "dog", "ant"]
ITEMS = [Instance(f"photos/{n}.jpg", Path("x"), CLASSES[n % 4]) for n in range(8_000)]


def request(
    items: list[Instance] = ITEMS, classes: list[str] | None = CLASSES, round: int = 1
) -> LabelRequest:
    return LabelRequest(round, items, [], classes, Path("run"))


def labels(annotator: Annotator, asked: LabelRequest) -> dict[str, str | None]:
    return {new.id: new.label for new in annotator.annotate(asked)}


def test_each_item_gets_the_label_of_the_data_set() -> None:
    annotator = Annotator.from_params({"type": "ground_truth"})
    assert annotator.needs_known_labels
    given = annotator.annotate(request(ITEMS[:3], round=5))
    assert [(new.id, new.label, new.kind, new.round) for new in given] == [
        (item.id, item.label, "label", 5) for item in ITEMS[:3]
    ]
    assert {new.annotator for new in given} == {new.source for new in given} == {"ground_truth"}
    assert labels(annotator, request(classes=None)) == {item.id: item.label for item in ITEMS}


def test_noise_is_the_share_of_wrong_labels_and_uniform_over_the_other_classes() -> None:
    given = labels(GroundTruthAnnotator(noise=0.3), request())
    wrong = [item for item in ITEMS if given[item.id] != item.label]
    assert binomtest(len(wrong), len(ITEMS), 0.3).pvalue > 0.001
    for name in CLASSES:
        counts = Counter(given[item.id] for item in wrong if item.label == name)
        assert set(counts) == set(CLASSES) - {name}
        assert chisquare(list(counts.values())).pvalue > 0.001


def test_noise_of_one_makes_every_label_wrong() -> None:
    given = labels(GroundTruthAnnotator(noise=1.0), request())
    assert all(given[item.id] not in (item.label, None) for item in ITEMS)


def test_what_is_wrong_at_a_low_noise_is_wrong_in_the_same_way_at_a_higher_one() -> None:
    low, high = (labels(GroundTruthAnnotator(noise), request()) for noise in (0.1, 0.4))
    assert all(high[item.id] == low[item.id] for item in ITEMS if low[item.id] != item.label)


def test_noise_depends_on_seed_and_id_only() -> None:
    annotator = GroundTruthAnnotator(noise=0.5, seed=3)
    whole = labels(annotator, request())
    shuffled = random.Random(0).sample(ITEMS, 100)
    part = labels(GroundTruthAnnotator(noise=0.5, seed=3), request(shuffled, CLASSES[::-1], 9))
    assert part == {item.id: whole[item.id] for item in shuffled}
    other = labels(GroundTruthAnnotator(noise=0.5, seed=4), request())
    agreement = np.mean([whole[item.id] == other[item.id] for item in ITEMS])
    assert 0.25 < agreement < 0.42, "1/2 * 1/2 both right, 1/4 * 1/3 the same wrong one: 0.33"


def test_noise_is_independent_of_how_strategies_break_ties() -> None:
    given = labels(GroundTruthAnnotator(noise=0.3), request())
    first = canonical_order([item.id for item in ITEMS], 0)[:2000]
    wrong = sum(given[ITEMS[index].id] != ITEMS[index].label for index in first)
    assert binomtest(wrong, 2000, 0.3).pvalue > 0.001


def test_items_without_a_label_are_named() -> None:
    items = [Instance("a", Path("x"), "cat"), Instance("b", Path("x")), Instance("c", Path("x"))]
    with pytest.raises(DataError) as caught:
        GroundTruthAnnotator().annotate(request(items))
    message = str(caught.value)
    assert '"b" has no label in the data set' in message
    assert '"c" has no label' in message
    assert '"a"' not in message


def test_labels_that_are_no_classes_are_named() -> None:
    items = [Instance("a", Path("x"), "cow")]
    with pytest.raises(DataError, match='"a" has the label "cow", which is no class'):
        GroundTruthAnnotator().annotate(request(items))


@pytest.mark.parametrize("classes", [None, [], ["cat"], ["cat", "cat"]])
def test_noise_needs_other_classes(classes: list[str] | None) -> None:
    items = [Instance("a", Path("x"), "cat")] if classes else []
    with pytest.raises(DataError, match="label noise needs"):
        GroundTruthAnnotator(noise=0.1).annotate(request(items, classes))


@pytest.mark.parametrize("noise", [-0.1, 1.01, float("nan")])
def test_a_noise_that_is_no_share_is_found_before_anything_is_built(noise: float) -> None:
    with pytest.raises(ConfigurationError, match=r"noise: expected .*float from 0 to 1"):
        Annotator.from_params({"type": "ground_truth", "noise": noise})
    with pytest.raises(ConfigurationError, match=r"noise: expected .*float from 0 to 1"):
        GroundTruthAnnotator(noise)


def test_labels_of_several_classes_are_texts_and_have_no_noise() -> None:
    items = [Instance("a", Path("x"), labels=("emu", "cat")), Instance("b", Path("x"), labels=())]
    asked = replace(request(items), task=label_task("multi_label"))
    assert labels(GroundTruthAnnotator(), asked) == {"a": '["cat", "emu"]', "b": "[]"}
    with pytest.raises(DataError, match="expected one class per image"):
        GroundTruthAnnotator(noise=0.5).annotate(asked)
    with pytest.raises(DataError, match=r'"a" has the label "cat", which is no class'):
        GroundTruthAnnotator().annotate(replace(asked, classes=["emu"]))
