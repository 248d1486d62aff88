"""Names of classes, and names in messages."""

from __future__ import annotations

import pytest

from allencv_al.common.names import (
    class_name,
    counted,
    did_you_mean,
    similar_names,
    snake_case,
    warn_about_similar_names,
    with_article,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DatasetReader", "dataset_reader"),
        ("Im2ImEncoder", "im2im_encoder"),
        ("Im2VecEncoder", "im2vec_encoder"),
        ("LearningRateScheduler", "learning_rate_scheduler"),
        ("Model", "model"),
        ("HTTPLearner", "http_learner"),
        ("already_snake", "already_snake"),
    ],
)
def test_snake_case(name: str, expected: str) -> None:
    assert snake_case(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resise", '; did you mean "resize"?'),
        ("center-crop", '; did you mean "center_crop"?'),
        ("SGD", '; did you mean "sgd"?'),
        ("rand_center_crop", '; did you mean "center_crop" or "random_crop"?'),
        ("banana", ""),
        ("", ""),
        pytest.param("x" * 1_000_000, "", id="long"),
    ],
)
def test_the_nearest_names(name: str, expected: str) -> None:
    assert did_you_mean(name, ["resize", "center_crop", "random_crop", "sgd"]) == expected


def test_at_most_three_names() -> None:
    assert did_you_mean("adam", ["adamw", "adamx", "adamy", "adamz"]).count(" or ") == 2


def test_a_number_with_its_noun() -> None:
    assert [counted(count, "image") for count in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert counted(1, "image is", "images are") == "1 image is"
    assert counted(3, "image is", "images are") == "3 images are"


def test_articles() -> None:
    assert [with_article(word) for word in ("model", "optimizer", "image_transform")] == [
        "a model",
        "an optimizer",
        "an image_transform",
    ]


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
