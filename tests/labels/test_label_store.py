"""Label events: only ever appended, and what is in force follows from them."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.common.errors import DataError
from allencv_al.labels.label_store import LabelConflict, LabelEvent, LabelKind, LabelStore, NewLabel
from allencv_al.labels.run_database import RunDatabase


@pytest.fixture
def database(tmp_path: Path) -> Iterator[RunDatabase]:
    with RunDatabase(tmp_path / "run.sqlite") as database:
        yield database


@pytest.fixture
def store(database: RunDatabase) -> LabelStore:
    return LabelStore(database)


def label(id: str, name: str = "cat", key: str | None = None, round: int = 0) -> NewLabel:
    return NewLabel(id, name, annotator="ann", round=round, source="page", client_key=key)


def said(id: str, kind: LabelKind) -> NewLabel:
    return NewLabel(id, None, annotator="ann", round=0, source="page", kind=kind)


def test_an_event_is_stored_as_it_was_given(store: LabelStore) -> None:
    new = NewLabel("a", "cat", "ann", 3, "page", client_key="k", seconds=0.1 + 0.2)
    (event,) = store.add([new])
    assert event.time > 1.7e9 and event.supersedes is None and event.event_id == 1
    assert store.events() == [event]
    for name in ("id", "label", "annotator", "round", "source", "kind", "client_key", "seconds"):
        assert getattr(event, name) == getattr(new, name)
    assert type(store.events()[0].kind) is LabelKind


def test_a_later_label_supersedes_the_one_before_even_within_one_call(store: LabelStore) -> None:
    first, other, second = store.add([label("a", "cat"), label("b"), label("a", "dog")])
    assert [first.supersedes, other.supersedes, second.supersedes] == [None, None, 1]
    (third,) = store.add([said("a", LabelKind.UNSURE)])
    assert third.supersedes == second.event_id
    assert store.current() == {"a": third, "b": other}
    assert store.labels() == {"b": "cat"}


def test_labels_are_in_the_order_in_which_items_were_first_seen(store: LabelStore) -> None:
    store.add([said("z", LabelKind.SKIP), label("m"), label("a")])
    store.add([label("a", "dog"), label("z", "emu")])
    assert list(store.labels().items()) == [("z", "emu"), ("m", "cat"), ("a", "dog")]
    assert list(store.current()) == ["z", "m", "a"]


def test_undo_brings_back_what_was_in_force_before_at_any_depth(store: LabelStore) -> None:
    store.add([label("a", "cat"), label("a", "dog"), said("a", LabelKind.SKIP)])
    undo = store.undo(3, "boss")
    assert (undo.id, undo.label, undo.annotator, undo.kind) == ("a", None, "boss", LabelKind.UNDO)
    assert undo.supersedes == 3
    assert store.labels() == {"a": "dog"}
    (again,) = store.add([label("a", "emu")])
    assert again.supersedes == 2, "what was in force, not the undo"
    store.undo(again.event_id, "ann")
    store.undo(2, "ann")
    assert store.labels() == {"a": "cat"}
    store.undo(1, "ann")
    assert store.current() == {}
    assert len(store.events()) == 8, "nothing is taken away"


def test_an_undo_belongs_to_the_round_of_what_it_undoes(store: LabelStore) -> None:
    store.add([label("a", round=4)])
    undo = store.undo(1, "ann")
    assert (undo.round, undo.source) == (4, "page")


def test_a_second_undo_of_the_same_event_is_the_first(store: LabelStore) -> None:
    store.add([label("a", "cat"), label("a", "dog")])
    first = store.undo(2, "ann")
    assert store.undo(2, "bob") == first
    assert store.labels() == {"a": "cat"}
    assert len(store.events()) == 3


def test_an_event_that_was_superseded_is_not_undone_unawares(store: LabelStore) -> None:
    store.add([label("a", "cat"), label("a", "dog")])
    with pytest.raises(LabelConflict, match='event 1 of "a" is not in force: event 2 is'):
        store.undo(1, "ann")
    assert store.labels() == {"a": "dog"}


def test_an_undo_is_not_undone(store: LabelStore) -> None:
    store.add([label("a")])
    undo = store.undo(1, "ann")
    with pytest.raises(LabelConflict, match=r"event 2 is an undo.*give the label again"):
        store.undo(undo.event_id, "ann")


def test_an_event_that_is_not_there_cannot_be_undone(store: LabelStore) -> None:
    with pytest.raises(LabelConflict, match="there is no label event 7"):
        store.undo(7, "ann")


def test_a_client_may_send_twice_what_is_stored_once(store: LabelStore) -> None:
    sent = [label("a", "cat", "k1"), label("b", "dog", "k2")]
    events = store.add(sent)
    assert store.add(sent) == events
    assert store.add([label("c", key="k3"), label("c", key="k3")]) == [store.events()[2]] * 2
    assert len(store.events()) == 3


def test_a_client_key_is_not_used_for_another_label(store: LabelStore) -> None:
    store.add([label("a", "cat", "k")])
    with pytest.raises(LabelConflict, match=r'"k" belongs to event 1 \(label "cat" of "a"\)'):
        store.add([label("b", "dog"), label("a", "dog", "k")])
    assert len(store.events()) == 1, "all or nothing"


def test_events_can_be_followed_from_the_last_one_seen(store: LabelStore) -> None:
    events = store.add([label("a"), label("b"), label("c")])
    assert store.events(after=1) == events[1:]
    assert store.events(after=3) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE label_event SET label = 'dog'",
        "UPDATE OR REPLACE label_event SET event_id = 2 WHERE event_id = 1",
        "DELETE FROM label_event",
        "INSERT OR REPLACE INTO label_event (event_id, id, label, kind, annotator, source, round, "
        "time) VALUES (1, 'a', 'dog', 'label', '', '', 0, 0)",
        "INSERT OR REPLACE INTO label_event (id, label, kind, annotator, source, round, time, "
        "client_key) VALUES ('a', 'dog', 'label', '', '', 0, 0, 'k')",
        "INSERT OR REPLACE INTO label_event (id, kind, annotator, source, round, time, supersedes) "
        "VALUES ('b', 'undo', '', '', 0, 0, 2)",
    ],
)
def test_no_statement_changes_or_takes_away_an_event(
    store: LabelStore, database: RunDatabase, statement: str
) -> None:
    store.add([label("a", "cat", "k"), label("b")])
    store.undo(2, "ann")
    before = store.events()
    with pytest.raises(sqlite3.IntegrityError, match="only ever appended"):
        database.connection.execute(statement)
    assert store.events() == before


def test_only_events_that_are_there_can_be_superseded(database: RunDatabase) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        database.connection.execute(
            "INSERT INTO label_event (id, label, kind, annotator, source, round, time, supersedes) "
            "VALUES ('a', 'cat', 'label', '', '', 0, 0, 9)"
        )


def test_all_that_is_wrong_with_labels_is_told_at_once_and_nothing_is_stored(
    store: LabelStore,
) -> None:
    wrong = [
        label("fine"),
        NewLabel("empty", "", "ann", 0, "page"),
        NewLabel("none", None, "ann", 0, "page"),
        NewLabel("both", "cat", "ann", 0, "page", kind=LabelKind.SKIP),
        said("undone", LabelKind.UNDO),
        NewLabel("slow", "cat", "ann", 0, "page", seconds=float("nan")),
        label("\udcff.png"),
        label("x", "\ud800"),
    ]
    with pytest.raises(DataError) as caught:
        store.add(wrong)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == [
        *('"empty"', '"none"', '"both"', '"undone"', '"slow"', '"\udcff.png"', '"x"')
    ]
    assert "id is no valid Unicode text: '\\udcff.png'" in lines[5]
    assert store.events() == []


def test_numbers_of_numpy_are_numbers(store: LabelStore) -> None:
    new = NewLabel(
        "a",
        "cat",
        "ann",
        np.int64(3),
        "page",
        seconds=np.float32(0.5),  # type: ignore[arg-type]
    )
    store.add([new])
    assert (store.events()[0].round, store.events()[0].seconds) == (3, 0.5)


@pytest.mark.parametrize(
    "id",
    ["", " ", "../../etc/passwd", "a\0b", "a\nb", "'; DROP TABLE label_event; --", "é", "e\u0301"],
)
def test_an_id_is_any_text(store: LabelStore, id: str) -> None:
    store.add([label(id), label(f"{id} "), label(id, "dog")])
    assert store.labels() == {id: "dog", f"{id} ": "cat"}


def test_an_id_may_be_very_long(store: LabelStore) -> None:
    long = "a/" * 500_000
    store.add([label(long), label(f"{long}b", "dog")])
    assert store.labels() == {long: "cat", f"{long}b": "dog"}


class Twin:
    """What is in force, held as a stack per item."""

    def __init__(self) -> None:
        self.stacks: dict[str, list[LabelEvent]] = {}
        self.by_id: dict[int, LabelEvent] = {}
        self.undone: dict[int, LabelEvent] = {}

    def top(self, id: str) -> LabelEvent | None:
        stack = self.stacks.get(id)
        return stack[-1] if stack else None

    def add(self, event: LabelEvent) -> None:
        before = self.top(event.id)
        assert event.supersedes == (before and before.event_id)
        self.stacks.setdefault(event.id, []).append(event)
        self.by_id[event.event_id] = event

    def may_undo(self, event_id: int) -> bool:
        event = self.by_id.get(event_id)
        return event is not None and self.top(event.id) == event


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a database without events."""
    path = tmp_path_factory.mktemp("empty") / "run.sqlite"
    RunDatabase(path).close()
    return path.read_bytes()


names = st.sampled_from(["a", "b", "c"])
additions = st.tuples(
    st.just("add"), names, st.sampled_from([k for k in LabelKind if k != LabelKind.UNDO])
)
undoings = st.tuples(st.just("undo"), st.integers(-6, 0), st.none())


@given(st.lists(st.lists(additions, min_size=1, max_size=4) | undoings, max_size=25))
def test_what_is_in_force_is_the_top_of_a_stack_per_item(empty: bytes, steps: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.sqlite"
        path.write_bytes(empty)  # making a new one costs more than the rest
        with RunDatabase(path) as database:
            check_steps(LabelStore(database), steps)


def check_steps(store: LabelStore, steps: list) -> None:
    twin = Twin()
    for step in steps:
        if isinstance(step, list):
            new = [label(id) if kind == "label" else said(id, kind) for _, id, kind in step]
            for event in store.add(new):
                twin.add(event)
        else:
            check_undo(store, twin, len(store.events()) + step[1])
        tops = {id: twin.top(id) for id in twin.stacks}
        expected = [(id, event) for id, event in tops.items() if event is not None]
        assert list(store.current().items()) == expected
        labels = [(id, event.label) for id, event in expected if event.label is not None]
        assert list(store.labels().items()) == labels


def check_undo(store: LabelStore, twin: Twin, event_id: int) -> None:
    if event_id in twin.undone:
        assert store.undo(event_id, "ann") == twin.undone[event_id]
    elif not twin.may_undo(event_id):
        with pytest.raises(LabelConflict):
            store.undo(event_id, "ann")
    else:
        twin.undone[event_id] = store.undo(event_id, "ann")
        twin.stacks[twin.by_id[event_id].id].pop()


def test_what_is_in_force_is_found_in_linear_time(store: LabelStore) -> None:
    """A join in the wrong order takes minutes for these."""
    store.add([label(str(number)) for number in range(20_000)])
    store.add([label(str(number), "dog") for number in range(0, 20_000, 2)])
    assert list(store.labels().values()) == ["dog", "cat"] * 10_000


def test_a_label_has_one_spelling_also_where_an_older_one_is_stored(database: RunDatabase) -> None:
    store = LabelStore(database)
    store.add([label("a", "cafe\u0301"), label("b", " caf\u00e9 "), label("c", "x")])
    assert store.labels() == {"a": "caf\u00e9", "b": "caf\u00e9", "c": "x"}
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO label_event (id, label, annotator, round, source, kind, time) "
            "SELECT 'd', 'cafe' || char(769), annotator, round, source, kind, time "
            "FROM label_event WHERE id = 'c'"
        )
    assert store.labels()["d"] == "caf\u00e9"
