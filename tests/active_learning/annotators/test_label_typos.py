"""Where any class name is allowed, a likely typo is a warning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from allencv_al.active_learning.annotators.filled_table import FilledTable
from allencv_al.active_learning.annotators.label_typos import warn_of_typos


def warnings(
    caplog: pytest.LogCaptureFixture, labels: Sequence[str], seen: Sequence[str] = ()
) -> list[str]:
    ids = [f"{n}.jpg" for n in range(len(labels))]
    lines = {id: line for line, id in enumerate(ids, start=2)}
    caplog.clear()
    warn_of_typos(Path("t.csv"), FilledTable(dict(zip(ids, labels, strict=True)), [], lines), seen)
    return [record.getMessage() for record in caplog.records]


def test_a_rare_name_that_looks_like_a_common_one_is_told_with_its_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert warnings(caplog, ["catt", "cat", "cat", "catt", "cat"]) == [
        't.csv line 2: is "catt" meant to be "cat"? It is taken as a class of its own'
    ]


def test_names_of_earlier_rounds_are_taken_to_be_right(caplog: pytest.LogCaptureFixture) -> None:
    assert warnings(caplog, ["giraffe"] * 5, seen=["girafe"]) == [
        't.csv line 2: is "giraffe" meant to be "girafe"? It is taken as a class of its own'
    ]
    assert warnings(caplog, ["giraffe"] * 5, seen=["girafe", "giraffe"]) == []


@pytest.mark.parametrize(
    "names",
    [("Cat", "cat"), ("sea lion", "sea_lion"), ("sea lion", "sea  lion"), ("hors", "horse")],
)
def test_names_that_look_alike(caplog: pytest.LogCaptureFixture, names: tuple[str, str]) -> None:
    assert len(warnings(caplog, [*names, names[0]])) == 1


@pytest.mark.parametrize("names", [("cat", "bat"), ("type 1", "type 2"), ("?skip", "?skp")])
def test_names_that_do_not(caplog: pytest.LogCaptureFixture, names: tuple[str, str]) -> None:
    assert warnings(caplog, [*names, names[0]]) == []
