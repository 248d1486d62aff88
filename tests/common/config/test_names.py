from __future__ import annotations

import pytest

from allencv_al.common.config.names import did_you_mean, snake_case, with_article


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


def test_articles() -> None:
    assert [with_article(word) for word in ("model", "optimizer", "image_transform")] == [
        "a model",
        "an optimizer",
        "an image_transform",
    ]
