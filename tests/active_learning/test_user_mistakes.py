"""What a user's annotator or stop rule does wrong is one good error that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.user_mistakes import error_of

LABEL = "NewLabel(i.id, {label}, 'me', request.round, 'mine')"


def annotate(result: str) -> str:
    return f"def annotate(self, request):\n    return {result}"


def labels(label: str) -> str:
    return annotate(f"[{LABEL.format(label=label)} for i in request.items]")


def stop(result: str) -> str:
    return f"def reason_to_stop(self, rounds):\n    return {result}"


CASES = [
    ("Annotator", annotate("None"), "expected it to return a list of NewLabel objects, found None"),
    ("Annotator", annotate("{i.id: 'cat' for i in request.items}"), "found dict"),
    ("Annotator", annotate("['cat' for i in request.items]"), 'in its list, found str "cat"'),
    ("Annotator", labels("3"), "text as the label of"),
    ("Annotator", labels("None"), "text as the label of"),
    ("Annotator", annotate("[]"), "expected one answer for each of 2 items, found 0"),
    ("Annotator", annotate("{}['x']"), "Mine.annotate: KeyError: 'x' ("),
    ("Annotator", "def annotate(self):\n    return []", "cannot be called as Annotator.annotate"),
    (
        "Annotator",
        "def label(self, request):\n    return []",
        "Mine is abstract: it lacks annotate",
    ),
    (
        "StopRule",
        stop("True"),
        "the reason to stop, a sentence, or None to continue, found bool true",
    ),
    ("StopRule", stop("False"), "or None to continue, found bool false"),
    ("StopRule", stop("5"), "or None to continue, found int 5"),
    ("StopRule", stop("''"), "or None to continue, found str"),
    ("StopRule", stop("{}['x']"), "Mine.reason_to_stop: KeyError: 'x' ("),
    ("StopRule", stop("rounds[-1].accuracy"), "no attribute 'accuracy' ("),
    (
        "StopRule",
        "def reason_to_stop(self):\n    pass",
        "cannot be called as StopRule.reason_to_stop",
    ),
    ("StopRule", "def stop(self, rounds):\n    pass", "Mine is abstract: it lacks reason_to_stop"),
]


@pytest.mark.parametrize(("base", "body", "part"), CASES)
def test_a_mistake_is_one_error_that_names_the_component(
    base: str, body: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    title, lines = error_of(base, body, tmp_path, monkeypatch)
    assert part.replace("Mine", title) in "\n".join(lines), lines
