"""Outputs of infer are matched to records by their keys."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.service.pipeline import Pipeline
from allencv_al.service.pipeline.functions.infer_keys import by_record
from allencv_al.service.pipeline.pipeline_errors import PipelineError


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({9: "c", 3: "a", 5: "b"}, "abc"),
        ({"9": "c", "3": "a", "5": "b"}, "abc"),
        ({np.int64(9): "c", 3: "a", torch.tensor(5): "b"}, "abc"),
        ({2: "c", 0: "a", 1: "b"}, "abc"),
        (["a", "b", "c"], "abc"),
        (("a", "b", "c"), "abc"),
        ({"x.jpg": "a", "y.jpg": "b", "z.jpg": "c"}, "abc"),
    ],
)
def test_outputs_find_their_records(outputs: Any, expected: str) -> None:
    assert by_record(outputs, [9, 3, 5]) == dict(zip([3, 5, 9], expected, strict=True))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({3: "a", 5: "b"}, "expected an output for each of 3 records, found 2; missing: 9"),
        ({0: "a", 1: "b"}, "missing: 3, 5, 9; not requested: 0, 1"),
        ({3: "a", 5: "b", 7: "c"}, "missing: 9; not requested: 7"),
        ({3: "a", 5: "b", 9: "c", 11: "d"}, "not requested: 11"),
        (["a"], "expected 3 outputs, found 1"),
        ({"x": "a"}, "expected 3 outputs, found 1"),
        ("abc", "found a str"),
        (None, "found a NoneType"),
        ({10**30: "a", 3: "b", 5: "c"}, "not requested"),
    ],
)
def test_a_short_or_foreign_set_of_keys_is_named(outputs: Any, message: str) -> None:
    with pytest.raises(PipelineError, match=message) as raised:
        by_record(outputs, [3, 5, 9])
    assert raised.value.status == 422


@given(st.sets(st.integers(0, 10**6), min_size=1), st.randoms())
def test_any_order_of_the_keys_is_the_same(records: set[int], chance: Any) -> None:
    shuffled = list(records)
    chance.shuffle(shuffled)
    assert by_record({key: -key for key in shuffled}, shuffled) == {k: -k for k in sorted(records)}
    relative = {place: -key for place, key in enumerate(sorted(records))}
    if relative.keys() != records:
        assert by_record(relative, shuffled) == {key: -key for key in sorted(records)}


def test_positional_is_the_order_alone() -> None:
    assert by_record({9: "a", 3: "b", 77: "c"}, [3, 5, 9], "positional") == {3: "a", 5: "b", 9: "c"}
    with pytest.raises(PipelineError, match="expected 3 outputs, found 1"):
        by_record({9: "a"}, [3, 5, 9], "positional")


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"9" * 20: "x"}, "not requested: 9"),
        ({"9" * 5_000: "x"}, "5000 digits"),
        ({7.0: "x"}, "not requested: 7"),
        ({5: "x", "5": "y"}, "duplicate key"),
        (np.array(5.0), "expected a dictionary"),
    ],
)
def test_no_key_finds_a_record_by_its_place_alone(outputs: Any, message: str) -> None:
    with pytest.raises(PipelineError, match=message):
        by_record(outputs, [5])


MakePipeline = Callable[..., Pipeline]


RECORDS = [3, 5, 9]


def loop_of(pipeline: Pipeline, number: int = 0, **more: Any) -> Any:
    body = {"experiment_id": "e", "project_id": "p", "cur_loop": number, **more}
    body.setdefault("selected_indices", [3 * number, 3 * number + 1, 3 * number + 2])
    return pipeline.app.test_client().post("/one_loop", json=body)


def test_a_series_finds_its_records_by_its_index() -> None:
    import pandas as pd

    rows = pd.Series([[1.0], [2.0], [3.0]], index=[9, 3, 5])
    assert by_record(rows, RECORDS) == {3: [2.0], 5: [3.0], 9: [1.0]}
    assert by_record(rows.reset_index(drop=True), RECORDS) == {3: [1.0], 5: [2.0], 9: [3.0]}
    table = pd.DataFrame({"cat": [0.1, 0.2, 0.3], "dog": [1.0, 2.0, 3.0]}, index=[9, 3, 5])
    assert {k: v.tolist() for k, v in by_record(table, RECORDS).items()} == {
        3: [0.2, 2.0],
        5: [0.3, 3.0],
        9: [0.1, 1.0],
    }
    with pytest.raises(PipelineError, match="not requested: 4"):
        by_record(pd.Series([1, 2, 3], index=[3, 4, 5]), RECORDS)
    with pytest.raises(PipelineError, match="expected a unique index"):
        by_record(pd.Series([1, 2, 3], index=[3, 3, 5]), RECORDS)


ROW = [0.0, 2.0, 1.0]


@pytest.mark.parametrize(
    "outputs",
    [
        lambda records: {np.uint8(place): ROW for place in range(len(records))},
        lambda records: {(record,): ROW for record in reversed(records)},
        lambda records: {str(record).encode(): ROW for record in reversed(records)},
        lambda records: collections.defaultdict(list, {float(one): ROW for one in records}),
        lambda records: dict.fromkeys(records, ROW).values(),
        lambda records: (ROW for _ in records),
        lambda records: collections.deque(ROW for _ in records),
        lambda records: torch.tensor([ROW for _ in records], dtype=torch.bfloat16),
        lambda records: {record: {"logits": [tuple(ROW)]} for record in records},
    ],
)
def test_outputs_of_any_kind_find_their_records(outputs: Any, make_pipeline: MakePipeline) -> None:
    pipeline = make_pipeline(infer_fn=lambda args, unlabeled: {"outputs": outputs(unlabeled)})
    answer = loop_of(pipeline).json
    stored = np.load(urlsplit(answer["artifacts"]["infer_outputs"]).path)
    assert stored["index"].tolist() == list(range(3, 60))
    assert (stored["logits"] == ROW).all()
