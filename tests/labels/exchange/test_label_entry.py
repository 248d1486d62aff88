"""Values of a file as an entry, or an error that names the value."""

from __future__ import annotations

from typing import Any

import pytest

from allencv_al.labels.exchange.label_entry import LabelEntry, entry_of, seconds_of


def test_texts_become_the_values_of_their_fields() -> None:
    values = {"id": 7, "label": "cat", "time": "12.5", "round": "3", "score": 0, "annotator": ""}
    assert entry_of(values, {"color": "red"}) == LabelEntry(
        "7", label="cat", kind="label", time=12.5, round=3, score=0.0, extra={"color": "red"}
    )


def test_without_an_id_the_image_names_the_entry() -> None:
    assert entry_of({"image": "a/1.png", "kind": "skip"}, {}).id == "a/1.png"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label": "cat"}, "expected an id or an image, found neither"),
        ({"id": "1", "kind": "maybe"}, "kind: expected one of label, skip, unsure, unreadable"),
        ({"id": "1", "kind": "label"}, "kind label does not go with the label None"),
        ({"id": "1", "label": "cat", "kind": "skip"}, "kind skip does not go with the label 'cat'"),
        ({"id": "1", "seconds": -1}, "seconds: expected a number from 0, found -1"),
        ({"id": "1", "score": "high"}, "score: expected a number, found 'high'"),
        ({"id": "1", "score": True}, "score: expected a number, found True"),
        ({"id": "1", "score": "nan"}, "score: expected a finite number, found 'nan'"),
        ({"id": "1", "time": "inf"}, "time: expected a finite number, found 'inf'"),
        ({"id": "1", "label": ["cat"]}, "label: expected a text, found"),
        ({"id": "\ud800"}, "id: expected Unicode text, found"),
    ],
)
def test_a_value_that_does_not_fit_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        entry_of(values, {})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1970-01-02", 86400.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        (" 1970-01-01T00:00:01Z ", 1.0),
        ("20260101", None),
        ("yester-day", None),
        (5, None),
    ],
)
def test_dates_are_seconds_and_without_a_zone_utc(value: Any, seconds: float | None) -> None:
    assert seconds_of(value) == seconds
