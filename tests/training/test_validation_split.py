"""Validation images out of the training images: by class, whole groups, the same every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationFaults, DataError
from allencv_al.data.dataset_readers import ImageClassificationDirectory
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.instance import Instance
from allencv_al.tasks.base import label_task
from allencv_al.training.experiment import Experiment, check_experiment
from allencv_al.training.validation_split import group_of, stratified_parts, with_validation

MakeConfig = Callable[..., dict[str, Any]]
IDS = [f"{number}.jpg" for number in range(103)]
LABELS = ["cat"] * 60 + ["dog"] * 30 + ["emu"] * 13


def test_folds_have_the_classes_in_proportion_as_those_of_scikit_learn() -> None:
    parts = stratified_parts(LABELS, IDS, [0.2] * 5, seed=0)
    found = sorted(
        tuple(sorted(Counter(np.array(LABELS)[parts == fold]).items())) for fold in range(5)
    )
    expected = sorted(
        tuple(sorted(Counter(np.array(LABELS)[places]).items()))
        for _, places in StratifiedKFold(5, shuffle=True, random_state=0).split(IDS, LABELS)
    )
    assert found == expected


def test_the_order_of_the_items_does_not_matter() -> None:
    parts = stratified_parts(LABELS, IDS, [0.8, 0.2], seed=3)
    turned = stratified_parts(LABELS[::-1], IDS[::-1], [0.8, 0.2], seed=3)
    assert parts.tolist() == turned[::-1].tolist()
    assert (parts != stratified_parts(LABELS, IDS, [0.8, 0.2], seed=4)).any()


@pytest.mark.parametrize("size", [2, 7, 20])
def test_groups_stay_whole_and_classes_nearly_in_proportion(size: int) -> None:
    rng = np.random.default_rng(size)
    groups = [f"patient {number // size}" for number in range(400)]
    labels = rng.choice(["cat", "dog", "emu"], 400, p=[0.6, 0.3, 0.1]).tolist()
    parts = stratified_parts(labels, groups, [0.75, 0.25], seed=0)
    assert all(
        len({part for part, group in zip(parts, groups, strict=True) if group == name}) == 1
        for name in set(groups)
    )
    assert (parts == 1).mean() == pytest.approx(0.25, abs=0.04)
    for label in ("cat", "dog", "emu"):
        share = (parts[np.array(labels) == label] == 1).mean()
        assert share == pytest.approx(0.25, abs=0.12)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_class_with_few_images_is_learned(count: int) -> None:
    labels = ["cat"] * 40 + ["rare"] * count
    parts = stratified_parts(labels, [str(n) for n in range(len(labels))], [0.8, 0.2], seed=0)
    assert (parts[40:] == 0).all()
    assert (parts[:40] == 1).sum() == 8


def test_an_experiment_splits_its_one_folder(linear_config: MakeConfig) -> None:
    config = linear_config(_validation_fraction=0.2)
    del config["active_learning"]
    check_experiment(Params(config), "x")
    datasets, _ = Experiment.from_checked(Params(config)).prepare()
    assert datasets.validation is not None
    assert (len(datasets.train), len(datasets.validation)) == (48, 12)
    assert len(set(Counter(datasets.validation.labels()).values())) == 1
    folds = []
    for fold in range(5):
        one = {**config, "validation_fold": fold}
        part = Experiment.from_checked(Params(one)).prepare()[0].validation
        assert part is not None
        folds.append({item.id for item in part})
    assert len(set().union(*folds)) == sum(map(len, folds)) == 60


def test_groups_of_ids_that_share_one(linear_config: MakeConfig) -> None:
    config = linear_config(_validation_fraction=0.3, _group_by=r"(\d)\.png$")
    del config["active_learning"]
    datasets, _ = Experiment.from_checked(Params(config)).prepare()
    assert datasets.validation is not None
    ends = [{item.id[-5] for item in part} for part in (datasets.train, datasets.validation)]
    assert ends[0] and ends[1] and not ends[0] & ends[1]


def test_one_group_cannot_be_split(linear_config: MakeConfig) -> None:
    config = linear_config(_validation_fraction=0.3, _group_by=r"(png)$")
    del config["active_learning"]
    with pytest.raises(DataError, match="0 of 60 images in 1 groups would validate"):
        Experiment.from_checked(Params(config)).prepare()


def test_a_group_that_a_match_leaves_out_is_no_group() -> None:
    names = [group_of(Instance(id, b""), r"^(p\d+_)?img") for id in ("p1_img0", "img1", "img2")]
    assert names == ["group p1_", "id img1", "id img2"]


@pytest.mark.parametrize("fold", [0, 1])
def test_one_image_of_each_class_cannot_validate(fold: int) -> None:
    items = [Instance(label, b"", label) for label in "ab"]
    reader = ImageClassificationDirectory()
    with pytest.raises(DataError, match=r"none is of a class that is learned; label more images"):
        with_validation(Dataset(reader, items), label_task(), reader, 0.5, fold, None, 0)


def test_faults_are_told_before_anything_is_read(linear_config: MakeConfig) -> None:
    def faults(**keys: Any) -> str:
        with pytest.raises(ConfigurationFaults) as caught:
            check_experiment(Params(linear_config(**keys)), "x")
        return str(caught.value)

    assert "needs validation_fraction" in faults(_group_by="(a)")
    assert "expected 0 to 4, found 5" in faults(_validation_fraction=0.2, _validation_fold=5)
    assert "expected one group in brackets, found 0" in faults(
        _validation_fraction=0.2, _group_by="a"
    )
    assert "no regular expression" in faults(_validation_fraction=0.2, _group_by="(")
    assert "found both" in faults(_validation_fraction=0.2, _validation_data_path=str(Path.cwd()))


def test_items_of_several_classes_are_divided_by_each_class() -> None:
    kinds = [("cat",), ("cat", "dog"), (), ("dog", "owl"), ("cat", "dog", "owl")]
    labels = [kinds[number * 7 % 5] for number in range(100)]
    parts = stratified_parts(labels, IDS[:100], [0.8, 0.2], seed=1)
    assert 18 <= (parts == 1).sum() <= 22
    for name in ("cat", "dog", "owl"):
        held = [part for part, label in zip(parts, labels, strict=True) if name in label]
        assert 0.15 <= sum(held) / len(held) <= 0.25
    alone = stratified_parts([("a",), ("b",)] * 50, IDS[:100], [0.8, 0.2], seed=1)
    assert (alone == stratified_parts(["a", "b"] * 50, IDS[:100], [0.8, 0.2], seed=1)).all()


def test_twenty_images_of_boxes_leave_some_to_validate() -> None:
    # Most sets of classes are those of an image or two, of which none would be taken
    rare = [tuple("abcd"[k] for k in range(4) if number >> k & 1) for number in range(16)]
    parts = stratified_parts([*rare, *rare[:4]], [f"id {n}" for n in range(20)], [0.8, 0.2], seed=0)
    assert 3 <= (parts == 1).sum() <= 5
