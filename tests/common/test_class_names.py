"""One spelling for a class."""

from __future__ import annotations

import pytest

from allencv_al.common.class_names import class_name, similar_names, warn_about_similar_names


def test_what_looks_the_same_is_one_name() -> None:
    assert {class_name(text) for text in ("café", "cafe\u0301", " café\u00a0", "café\t")} == {
        "café"
    }
    assert {class_name(f"{mark}cat {mark}") for mark in "\u200b\u200e\u2060\ufeff"} == {"cat"}
    assert class_name("a\u200cb") == "a\u200cb"
    assert class_name(" \t") == ""


def test_names_that_nearly_agree_are_found_the_commoner_first() -> None:
    counts = {"cat": 3, "Cat": 5, "big cat": 1, "bigcat": 1, "1": 2, "01": 1, "1.0": 3, "dog": 1}
    assert list(similar_names(counts)) == [
        ("Cat", "cat"),
        ("big cat", "bigcat"),
        ("1.0", "1", "01"),
    ]
    assert not list(similar_names({"type 1": 1, "type 2": 1, "a-b": 1, "ab": 1}))


def test_a_warning_has_both_names_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    warn_about_similar_names("t.csv", {"cat": 3, "Cat": 5})
    assert 't.csv: classes whose names nearly agree are kept apart: "Cat" (5) and "cat" (3)' in (
        caplog.text
    )
