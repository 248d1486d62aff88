"""Where any class name is allowed, a likely typo does not make a class of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from allencv_al.labels.annotators.filled_table import FilledTable, without_typos
from allencv_al.tasks import label_task


def problems(labels: Sequence[str], seen: Sequence[str] = ()) -> list[str]:
    ids = [f"{n}.jpg" for n in range(len(labels))]
    lines = {id: line for line, id in enumerate(ids, start=2)}
    table = FilledTable(dict(zip(ids, labels, strict=True)), [], lines)
    found = without_typos(table, seen, label_task())
    wrong = {name for name in labels if f'"{name}" looks' in "".join(found.wrong)}
    assert found.labels == {id: name for id, name in table.labels.items() if name not in wrong}
    return list(found.wrong)


def test_a_rare_name_that_looks_like_a_common_one_is_told_with_its_line() -> None:
    assert problems(["catt", "cat", "cat", "catt", "cat"]) == [
        'line 2: "catt" looks like "cat" misspelt'
    ]


def test_names_of_earlier_rounds_are_taken_to_be_right() -> None:
    assert problems(["giraffe"] * 5, seen=["girafe"]) == [
        'line 2: "giraffe" looks like "girafe" misspelt'
    ]
    assert problems(["giraffe"] * 5, seen=["girafe", "giraffe"]) == []


@pytest.mark.parametrize(
    "names",
    [("Cat", "cat"), ("sea lion", "sea_lion"), ("sea lion", "sea  lion"), ("hors", "horse")],
)
def test_names_that_look_alike(names: tuple[str, str]) -> None:
    assert len(problems([*names, names[0]])) == 1


@pytest.mark.parametrize("names", [("cat", "bat"), ("type 1", "type 2"), ("?skip", "?skp")])
def test_names_that_do_not(names: tuple[str, str]) -> None:
    assert problems([*names, names[0]]) == []
