from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

import allencv_al.data
from allencv_al.data.instance import Instance


def test_labels_of_the_picture_and_of_its_boxes_are_counted() -> None:
    counter: dict[str, dict[str, int]] = {}
    Instance("a", "a.png", label="cat").count_vocab_items(counter)
    Instance("b", "b.png").count_vocab_items(counter)
    Instance("c", "c.png", "dog", box_labels=("cat", "cat")).count_vocab_items(counter)
    assert counter == {"labels": {"cat": 3, "dog": 1}}


def test_an_unlabeled_instance_counts_nothing() -> None:
    counter: dict[str, dict[str, int]] = {}
    Instance("b", "b.png").count_vocab_items(counter)
    assert counter == {}


def test_it_is_frozen_compared_by_value_and_goes_to_a_worker() -> None:
    instance = Instance("a", "a.png", "cat", boxes=((0, 0, 1, 1),), metadata={"split": "train"})
    with pytest.raises(AttributeError):
        instance.label = "dog"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(instance)) == instance
    assert instance != Instance("a", "a.png", "dog")
    assert len({instance, Instance("b", "b.png")}) == 2


def test_each_public_name_of_data_is_there() -> None:
    assert {"DatasetReader", "Instance", "Vocabulary"} <= set(allencv_al.data.__all__)
    for name in allencv_al.data.__all__:
        assert getattr(allencv_al.data, name).__name__ == name
    with pytest.raises(AttributeError, match="Instanze"):
        allencv_al.data.Instanze  # noqa: B018


def test_importing_data_imports_nothing_heavy() -> None:
    program = (
        "import sys, allencv_al.data\n"
        "print([n for n in ('torch', 'numpy', 'PIL', 'albumentations') if n in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
