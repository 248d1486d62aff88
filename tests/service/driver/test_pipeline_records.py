"""What getdatasetstate may say of the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from allencv_al.common.errors import DataError
from allencv_al.data.instance import Instance
from allencv_al.service.driver.pipeline_records import counted_records, read_records, with_images


@pytest.mark.parametrize(
    ("state", "ids"),
    [
        ({"0": "a.png", "1": "b.png"}, ["a.png", "b.png"]),
        ({"10": "k", "2": "b", "1": "a"}, ["a", "b", "k"]),
        (["a", "b"], ["a", "b"]),
        ({"0": {"id": "x"}, "1": {"path": "y"}}, ["x", "y"]),
        ({"0": "same", "1": "same"}, ["0", "1"]),
        ({"0": "a", "1": None}, ["0", "1"]),
        ({"0": 0, "1": 1}, ["0", "1"]),
        ({"0": [1, 2], "1": {"size": 3}}, ["0", "1"]),
        ({}, []),
    ],
)
def test_names_become_ids_where_they_are_there_and_distinct(state: Any, ids: list[str]) -> None:
    records = read_records(state, [])
    assert [item.id for item in records.items] == ids
    keys = sorted(map(int, state)) if isinstance(state, dict) else list(range(len(state)))
    assert [records.index_of[id] for id in ids] == keys


@pytest.mark.parametrize(
    ("labels", "classes", "found", "known"),
    [
        ([1, 0], ["cat", "dog"], ["dog", "cat"], ["cat", "dog"]),
        (["dog", "cat"], ["cat", "dog"], ["dog", "cat"], ["cat", "dog"]),
        (["1", "0"], ["cat", "dog"], ["dog", "cat"], ["cat", "dog"]),
        ([2, 0], [], ["2", "0"], ["0", "1", "2"]),
        ([None, None], ["cat"], [None, None], ["cat"]),
        ([None, 0], ["cat"], [None, "cat"], ["cat"]),
        ([None, None], [], [None, None], []),
        # A class that is called as another one's number
        ([0, 1], ["1", "0"], ["1", "0"], ["1", "0"]),
        (["0", "1"], ["1", "0"], ["0", "1"], ["1", "0"]),
    ],
)
def test_labels_are_numbers_or_names(
    labels: list[Any], classes: list[str], found: list[str | None], known: list[str]
) -> None:
    state = {str(i): {"id": f"r{i}", "label": label} for i, label in enumerate(labels)}
    records = read_records(state, classes)
    assert [item.label for item in records.items] == found
    assert list(records.classes) == known


@pytest.mark.parametrize(
    ("state", "classes", "message"),
    [
        (None, [], "expected records by index, found NoneType"),
        ("abc", [], "expected records by index"),
        ({"a.png": 0}, [], "expected indices as keys, found a.png"),
        ({"-1": "a"}, [], "expected indices as keys"),
        ({"0": {"label": "cat"}}, [], r"labels are names \(cat\), and their columns"),
        ({"0": {"label": "cow"}}, ["cat", "dog"], "labels of no class of cat, dog; records: 0"),
        (
            {"0": {"label": 2}, "1": {"label": 7}},
            ["cat", "dog"],
            "no class of cat, dog; records: 0, 1",
        ),
    ],
)
def test_what_is_no_state_is_refused(state: Any, classes: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_records(state, classes)


def test_only_whole_paths_are_looked_for_on_this_machine() -> None:
    records = read_records({"0": "/data/a.png", "1": "b.png"}, [])
    assert [item.image for item in records.items] == [Path("/data/a.png"), b""]


def test_images_are_joined_by_name_or_else_by_order() -> None:
    images = [Instance("b.png", Path("b.png"), "cat"), Instance("a.png", Path("a.png"), "dog")]
    named = with_images(read_records({"0": "a.png", "1": "b.png"}, []), images)
    assert [(item.id, item.label) for item in named.items] == [("a.png", "dog"), ("b.png", "cat")]
    assert named.index_of == {"a.png": 0, "b.png": 1}
    numbered = with_images(counted_records(2, []), images)
    assert [item.id for item in numbered.items] == ["b.png", "a.png"]
    assert numbered.index_of == {"b.png": 0, "a.png": 1}
    with pytest.raises(DataError, match=r"missing: c\.png"):
        with_images(read_records({"0": "a.png", "1": "c.png"}, []), images)
    with pytest.raises(DataError, match="expected the 3 records of the pipeline, found 2"):
        with_images(counted_records(3, []), images)


def test_the_label_of_the_pipeline_counts() -> None:
    images = [Instance("a.png", Path("a.png"), "cat")]
    state = {"0": {"id": "a.png", "label": "dog"}}
    records = with_images(read_records(state, ["cat", "dog"]), images)
    assert records.items[0].label == "dog" and records.items[0].image == Path("a.png")
