"""`RoundRecord` as JSON."""

from __future__ import annotations

import json

import pytest
from scipy.stats import binomtest

from allencv_al.active_learning.rounds.round_record import Pick, RoundRecord, headline


def test_a_record_reads_back_from_json_as_it_was() -> None:
    record = RoundRecord(
        round=3,
        labels=40,
        metrics={"accuracy": 0.75, "agreement": None},
        confusion_matrix=[[3, 1], [0, 4]],
        classes=("cat", "dog"),
        batch_classes={"cat": 2},
        seconds={"train": 0.5},
        select_peak_mb=1.5,
        picks=(Pick("a", 0.5, {"rank": 0}, "cat", "dog"), Pick("b", 0.25, {}, outcome="waiting")),
        pool_size=100,
        unreadable={"c": "truncated"},
        notes=("done",),
    )
    assert RoundRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert RoundRecord.from_json({"round": 0, "labels": 0}) == RoundRecord(0, 0)


@pytest.mark.parametrize(("right", "images"), [(45, 50), (100, 100), (0, 7)])
def test_the_interval_of_the_test_set_is_scipys(right: int, images: int) -> None:
    matrix = [[right, images - right], [0, 0]]
    found = RoundRecord(1, 8, {"accuracy": right / images}, matrix).test_accuracy()
    oracle = binomtest(right, images).proportion_ci(0.95, method="wilson")
    assert found is not None and found.labels == images
    assert (found.value, found.low, found.high) == pytest.approx(
        (right / images, oracle.low, oracle.high)
    )


def test_without_a_test_set_of_known_size_there_is_no_interval() -> None:
    assert RoundRecord(1, 8).test_accuracy() is None
    assert RoundRecord(1, 8, {"accuracy": 0.5}).test_accuracy() is None


def test_a_model_is_told_of_by_what_says_most_of_its_task() -> None:
    pixels = {"accuracy": None, "pixel_accuracy": 0.97, "miou": 0.3, "mean_dice": 0.4}
    assert headline(pixels) == ("mIoU", 0.3)
    assert headline({"accuracy": 0.9, "macro_f1": 0.8}) == ("accuracy", 0.9)
    assert headline({"macro_f1": 0.8}) == ("macro F1", 0.8)
    assert headline({"pool_accuracy": 0.5}) is None
    assert headline({"mean_average_precision": 0.9, "macro_f1": 0.8}) == ("macro F1", 0.8)
    assert headline({"mean_average_precision": 0.4}) == ("mAP", 0.4)
