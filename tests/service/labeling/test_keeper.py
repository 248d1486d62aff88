"""The thread of a labeling server that keeps its heartbeat and the table of labels."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures.session_answers import label

from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.service.labeling import keeper
from allencv_al.service.labeling.keeper import Keeper

URL = "http://127.0.0.1:8000/"


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_PAUSE_SECONDS", 0.01)


@pytest.fixture
def keep(store: LabelingStore) -> Iterator[Callable[[Path | None], Keeper]]:
    """Return a function that starts a keeper, which ends with the test at the latest."""
    started: list[Keeper] = []

    def start(table: Path | None = None) -> Keeper:
        started.append(Keeper(store, URL, table))
        return started[-1]

    yield start
    for one in started:
        one.close()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def labels_in(table: Path) -> list[str]:
    if not table.is_file():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        return [row["label"] for row in csv.DictReader(file) if row["label"]]


def test_a_server_is_found_while_it_runs(
    store: LabelingStore, keep: Callable[[Path | None], Keeper]
) -> None:
    assert store.server() is None
    kept = keep(None)
    assert store.server() == URL
    kept.close()
    assert store.server() is None


def test_the_table_follows_the_labels(
    store: LabelingStore, keep: Callable[[Path | None], Keeper], tmp_path: Path
) -> None:
    table = tmp_path / "labels.csv"
    kept = keep(table)
    wait_for(table.is_file)
    label(store, "anna", 1)
    wait_for(lambda: labels_in(table) == ["cat"])
    store.classes.rename(1, "tiger", "owner")
    wait_for(lambda: labels_in(table) == ["tiger"])
    label(store, "anna", 2)
    kept.close()
    assert labels_in(table) == ["tiger", "tiger"], "written a last time"


def test_without_a_change_nothing_is_written(
    store: LabelingStore, keep: Callable[[Path | None], Keeper], tmp_path: Path
) -> None:
    table = tmp_path / "labels.csv"
    kept = keep(table)
    wait_for(table.is_file)
    table.unlink()
    time.sleep(0.2)
    kept.close()
    assert not table.exists()


def test_a_table_that_cannot_be_written_is_tried_again(
    store: LabelingStore,
    keep: Callable[[Path | None], Keeper],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = tmp_path / "none" / "labels.csv"
    (tmp_path / "none").touch()
    keep(table)
    wait_for(lambda: "labels.csv" in caplog.text or "none" in caplog.text)
    (tmp_path / "none").unlink()
    (tmp_path / "none").mkdir()
    wait_for(table.is_file)
