"""Conditions change a data set as they say, the same for every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.loop_data import read_loop_data
from allencv_al.active_learning.pool_conditions import PoolConditions
from allencv_al.active_learning.run import RunOptions, active_learn
from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationFaults, DataError
from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.instance import Instance
from allencv_al.tasks import label_task

SINGLE = label_task()

MakeConfig = Callable[..., dict[str, Any]]


def dataset(**counts: int) -> Dataset:
    reader = DatasetReader.from_params("image_classification_directory")
    items = [
        Instance(f"{name}/{n}.png", f"{name}/{n}.png", name)
        for name, count in counts.items()
        for n in range(count)
    ]
    return Dataset(reader, items)


TEN = dataset(**{f"c{n}": 100 for n in range(10)})


def sizes(found: Dataset) -> Counter[str | None]:
    return Counter(found.labels())


def test_a_smaller_pool_has_equal_shares_of_its_classes_in_the_order_given() -> None:
    found = PoolConditions(size=50).pool(TEN, SINGLE)
    assert set(sizes(found).values()) == {5}
    places = [list(TEN).index(item) for item in found]
    assert places == sorted(places)
    few = PoolConditions(size=8).pool(dataset(a=2, b=100), SINGLE)
    assert sizes(few) == {"a": 2, "b": 6}
    assert len(PoolConditions(size=5000).pool(TEN, SINGLE)) == 1000


def test_imbalanced_classes_fall_geometrically() -> None:
    # Cui et al. 2019: n_i = n * mu^i, with mu such that the last has n / imbalance
    expected = [round(100 * 50 ** (-i / 9)) for i in range(10)]
    found = PoolConditions(imbalance=50).pool(TEN, SINGLE)
    assert sorted(sizes(found).values(), reverse=True) == expected
    assert expected[0] == 100 and expected[-1] == 2
    assert sizes(PoolConditions(imbalance=50, seed=1).pool(TEN, SINGLE)) != sizes(found)
    assert sizes(PoolConditions(imbalance=1e9).pool(dataset(a=3, b=3), SINGLE)) in (
        {"a": 3, "b": 1},
        {"a": 1, "b": 3},
    )


@pytest.mark.parametrize(("share", "copies"), [(0.5, 500), (1.0, 1000), (2.5, 2500)])
def test_copies_are_spread_evenly_under_ids_of_their_own(share: float, copies: int) -> None:
    found = PoolConditions(duplicates=share).pool(TEN, SINGLE)
    assert len({item.id for item in found}) == len(found) == 1000 + copies
    times = Counter(item.image for item in found)
    assert max(times.values()) - min(times.values()) <= 1
    by_image = {item.image: item.label for item in TEN}
    assert all(by_image[item.image] == item.label for item in found)


def test_images_of_unknown_classes_are_in_the_pool_only() -> None:
    conditions = PoolConditions(unknown_classes=3)
    pool, test = conditions.pool(TEN, SINGLE), conditions.test(TEN, TEN, SINGLE)
    assert sizes(pool)["unknown"] == 300
    assert len(sizes(pool)) == 8
    assert set(test.labels()) == set(pool.labels()) - {"unknown"}
    assert len(test) == 700


def test_all_is_the_same_for_every_order_of_the_data_and_another_for_another_seed() -> None:
    conditions = {"size": 200, "imbalance": 4, "duplicates": 0.2, "unknown_classes": 2}
    backwards = Dataset(TEN.reader, list(TEN)[::-1])
    first, second = (PoolConditions(**conditions).pool(data, SINGLE) for data in (TEN, backwards))
    assert {(i.id, i.label) for i in first} == {(i.id, i.label) for i in second}
    other = PoolConditions(**conditions, seed=1).pool(TEN, SINGLE)
    assert {i.id for i in first} != {i.id for i in other}


def test_two_classes_must_stay_known() -> None:
    with pytest.raises(DataError, match=r"at most 8, as two of the 10 classes .* found 9"):
        PoolConditions(unknown_classes=9).pool(TEN, SINGLE)
    with pytest.raises(DataError, match='"unknown" is a class of the data'):
        PoolConditions(unknown_classes=1).pool(dataset(a=1, b=1, unknown=1), SINGLE)


def test_a_run_learns_from_changed_data_and_measures_on_its_own(
    linear_config: MakeConfig, tmp_path: Any
) -> None:
    conditions = {"size": 12, "test_size": 6, "duplicates": 0.5, "unknown_classes": 1}
    config = linear_config(test_fraction=0.5, conditions=conditions, budget=18)
    data = read_loop_data(ActiveLearningExperiment.from_checked(Params(config)))
    assert data.test is not None and len(data.items()) == 18 and len(data.test) == 6
    assert "unknown" not in data.test.labels()
    last = active_learn(Params(config), tmp_path / "run", RunOptions(files=False))[-1]
    assert last.labels == 18 and "unknown" in last.classes


def test_people_label_what_is_there(linear_config: MakeConfig) -> None:
    config = linear_config(conditions={"imbalance": 2}, annotator="file")
    with pytest.raises(ConfigurationFaults, match="expected the annotator ground_truth"):
        active_learn(Params(config), "/nowhere/run")


def test_sets_of_classes_take_the_place_of_classes() -> None:
    task = label_task("multi_label")
    reader = DatasetReader.from_params("image_classification_directory")
    sets = [("a",), ("a", "b"), ()]
    items = [Instance(f"{n}", f"{n}.png", labels=sets[n % 3]) for n in range(30)]
    found = PoolConditions(size=12).pool(Dataset(reader, items), task)
    assert Counter(item.labels for item in found) == dict.fromkeys(sets, 4)
    with pytest.raises(DataError, match="an image has not one class"):
        PoolConditions(unknown_classes=1).pool(found, task)
