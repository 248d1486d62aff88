"""`RoundRecord` as JSON."""

from __future__ import annotations

import json

from allencv_al.active_learning.rounds.round_record import Pick, RoundRecord


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
