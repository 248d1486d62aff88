"""How far a run has come: each state with what belongs to it, or nothing of it."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from allencv_al.common.errors import DataError
from allencv_al.labels.label_store import LabelKind, LabelStore, NewLabel
from allencv_al.labels.run_database import Query, RoundStore, RunDatabase, State


@pytest.fixture
def database(tmp_path: Path) -> Iterator[RunDatabase]:
    with RunDatabase(tmp_path / "run.sqlite") as database:
        yield database


@pytest.fixture
def store(database: RunDatabase) -> RoundStore:
    return RoundStore(database)


def test_a_new_run_has_finished_nothing(store: RoundStore) -> None:
    assert store.last() is None
    assert store.rounds() == []
    assert store.queries(0) == []
    assert not store.is_finished(0, State.SELECT)


def test_states_are_finished_one_after_the_other(store: RoundStore) -> None:
    steps = [
        *((0, state) for state in (State.SELECT, State.WAITING_FOR_LABELS, State.INGEST)),
        *((1, state) for state in State if state != State.DONE),
    ]
    for step in steps:
        assert not store.is_finished(*step)
        store.finish(*step)
        assert store.is_finished(*step)
        assert store.last() == step
    assert store.rounds() == [0, 1]
    assert not store.is_finished(0, State.TRAIN)
    assert type(store.last()[1]) is State  # type: ignore[index]


def test_what_is_finished_is_known_when_the_run_goes_on(tmp_path: Path) -> None:
    queries = [Query(0, "a", 0.1 + 0.2, {"rank": 0, "nearest": "b"}), Query(1, "b", -1e-300)]
    with RunDatabase(tmp_path / "run.sqlite") as database:
        RoundStore(database).finish(2, State.SELECT, {"seconds": 0.5}, queries)
    with RunDatabase(tmp_path / "run.sqlite") as database:
        store = RoundStore(database)
        assert store.last() == (2, State.SELECT)
        assert store.detail(2, State.SELECT) == {"seconds": 0.5}
        assert store.queries(2) == queries
        assert store.queries(1) == []


def test_finishing_twice_is_a_fault_of_the_program(store: RoundStore) -> None:
    store.finish(1, State.SELECT, {"first": True}, [Query(0, "a", 1.0)])
    with pytest.raises(AssertionError, match=r"run\.sqlite: round 1 has finished SELECT before"):
        store.finish(1, State.SELECT, {"first": False}, [Query(0, "b", 1.0)])
    assert store.detail(1, State.SELECT) == {"first": True}
    assert [query.id for query in store.queries(1)] == ["a"]


def test_of_two_that_finish_the_same_state_one_succeeds(tmp_path: Path) -> None:
    databases = [RunDatabase(tmp_path / "run.sqlite") for _ in range(2)]
    barrier = threading.Barrier(2)

    def finish(database: RunDatabase) -> bool:
        barrier.wait()
        try:
            RoundStore(database).finish(1, State.TRAIN)
        except AssertionError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(finish, databases)) == [False, True]
    for database in databases:
        database.close()


def test_the_detail_of_what_is_not_finished_is_a_fault_of_the_program(store: RoundStore) -> None:
    with pytest.raises(AssertionError, match="round 1 has not finished TEST yet"):
        store.detail(1, State.TEST)


def test_labels_come_with_their_state(store: RoundStore, database: RunDatabase) -> None:
    labels = [
        NewLabel("a", "cat", "me", 1, "file"),
        NewLabel("b", None, "me", 1, "file", kind=LabelKind.SKIP),
    ]
    store.finish(1, State.INGEST, labels=labels)
    assert [event.id for event in LabelStore(database).events()] == ["a", "b"]
    with pytest.raises(AssertionError):
        store.finish(1, State.INGEST, labels=labels)
    assert len(LabelStore(database).events()) == 2


@pytest.mark.parametrize(
    ("queries", "labels", "message"),
    [
        ([Query(0, "a", 1.0), Query(1, "b", math.nan)], [], '"b" is nan; expected a finite number'),
        ([Query(0, "a", math.inf)], [], '"a" is inf'),
        ([Query(0, "\udcff", 1.0)], [], r"'\\udcff' is no valid Unicode text"),
        ([Query(0, "a", 1.0)], [NewLabel("b", None, "me", 1, "file")], "labels cannot be stored"),
    ],
)
def test_nothing_is_finished_if_a_part_of_it_is_wrong(
    store: RoundStore,
    database: RunDatabase,
    queries: list[Query],
    labels: list[NewLabel],
    message: str,
) -> None:
    with pytest.raises(DataError, match=message):
        store.finish(1, State.SELECT, queries=queries, labels=labels)
    assert store.last() is None
    assert store.queries(1) == []
    assert LabelStore(database).events() == []


@pytest.mark.parametrize("value", [math.nan, math.inf, {"x": [-math.inf]}, np.float32("nan")])
def test_a_detail_is_strict_json(store: RoundStore, value: object) -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        store.finish(1, State.TEST, {"accuracy": value})
    with pytest.raises(ValueError, match="Out of range"):
        store.finish(1, State.SELECT, queries=[Query(0, "a", 1.0, {"distance": value})])
    assert store.last() is None


def test_what_json_does_not_know_is_a_fault_of_the_program(store: RoundStore) -> None:
    with pytest.raises(TypeError, match="expected JSON values, found set"):
        store.finish(1, State.TEST, {"classes": {1, 2}})


def test_mappings_and_the_numbers_of_numpy_are_json(store: RoundStore) -> None:
    detail = MappingProxyType({"n": np.int64(3), "x": np.float64(0.1), "v": np.arange(2)})
    store.finish(1, State.SELECT, detail, [Query(0, "a", np.float32(0.1), {"k": np.int32(1)})])
    assert store.detail(1, State.SELECT) == {"n": 3, "x": 0.1, "v": [0, 1]}
    (query,) = store.queries(1)
    assert np.float32(query.score) == np.float32(0.1)
    assert query.reason == {"k": 1}


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoundStore]:
    """One for all examples of a property: making a file costs more than the rest."""
    with RunDatabase(tmp_path_factory.mktemp("shared") / "run.sqlite") as database:
        yield RoundStore(database)


texts = st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
).filter(lambda value: "Infinity" not in json.dumps(value))


@given(
    st.dictionaries(texts, values, max_size=3),
    st.lists(
        st.tuples(
            texts,
            st.floats(allow_nan=False, allow_infinity=False),
            st.dictionaries(texts, values, max_size=2),
        ),
        max_size=5,
        unique_by=lambda pick: pick[0],
    ),
)
@example({}, [("a", 5e-324, {}), ("b", 1.7976931348623157e308, {}), ("c", 2.0**53 + 2, {})])
def test_what_is_recorded_reads_back_exactly(
    shared_store: RoundStore, detail: dict, picks: list
) -> None:
    queries = [Query(rank, *pick) for rank, pick in enumerate(picks)]
    round = max(shared_store.rounds(), default=0) + 1
    shared_store.finish(round, State.SELECT, detail, queries[::-1])
    assert json.dumps(shared_store.detail(round, State.SELECT)) == json.dumps(detail)
    assert shared_store.queries(round) == queries
