"""`RunDatabase` and `RoundStore`: the SQLite file of a run, and the finished states of its rounds.

The tables::

    label_event                       see `allencv_al.labels.label_store`

    round_state                       one row per finished state of a round
      sequence    1, 2, 3 ...         in the order in which they were finished
      round       0, 1, 2 ...
      state       TRAIN | TEST | INFER | SELECT | WAITING_FOR_LABELS | INGEST | DONE
      time        when              detail      a JSON object

    query                             one row per image of the query of a round
      round       of the loop
      rank        0, 1, 2 ...         the order of picking
      id          the image         score       when it was picked
      reason      a JSON object

The label in force of an image follows from its newest event alone: that event, or, if it is an
undo, the event that the undone one had superseded (never an undo). So nothing is rewritten.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json, strict_json
from allencv_al.labels.database import Database, Schema, is_encodable
from allencv_al.labels.label_store import LABEL_EVENTS, LabelStore, NewLabel

DATABASE_NAME = "run.sqlite"
"""Name of the file in the run directory."""

_ROUNDS = """
CREATE TABLE round_state (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    round INTEGER NOT NULL,
    state TEXT NOT NULL,
    time REAL NOT NULL,
    detail TEXT NOT NULL,
    UNIQUE (round, state)
);

CREATE TABLE query (
    round INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    id TEXT NOT NULL,
    score REAL NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (round, rank),
    UNIQUE (round, id)
) WITHOUT ROWID;
"""

RUN_SCHEMA = Schema("the database of a run", 0x616C4356, 1, LABEL_EVENTS + _ROUNDS)  # "alCV"


class RunDatabase(Database):
    """The file with the label events and the recorded states of a run.

    Args:
        path: The file; its folder is created if missing.
        create: Whether to create a missing file.

    Raises:
        DataError: The file is missing, damaged, no database of a run, or of a newer version.
    """

    def __init__(self, path: str | Path, create: bool = True) -> None:
        super().__init__(path, RUN_SCHEMA, create)


class State(StrEnum):
    """States of a round, in their order; DONE ends the run."""

    TRAIN = "TRAIN"
    TEST = "TEST"
    INFER = "INFER"
    SELECT = "SELECT"
    WAITING_FOR_LABELS = "WAITING_FOR_LABELS"
    INGEST = "INGEST"
    DONE = "DONE"


@dataclass(frozen=True, slots=True)
class Query:
    """An image of the query of a round.

    Args:
        rank: Its place in the order of picking, from 0.
        id: The image.
        score: Its score when it was picked; higher is picked sooner.
        reason: The strategy's reason, as JSON values.
    """

    rank: int
    id: str
    score: float
    reason: Mapping[str, Any] = field(default_factory=dict)


class RoundStore:
    """The finished states of a run's rounds, with the data that each of them left.

    Args:
        database: The file of the run.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._labels = LabelStore(database)

    def finish(
        self,
        round: int,
        state: State,
        detail: Mapping[str, Any] | None = None,
        queries: Sequence[Query] = (),
        labels: Sequence[NewLabel] = (),
    ) -> None:
        """Record a finished state of a round with its data, in one transaction.

        Args:
            round: The round.
            state: The state.
            detail: Details to keep with it, as JSON values.
            queries: The images that SELECT chose.
            labels: The labels that INGEST brings.

        Raises:
            AssertionError: The state is finished already; two processes on one run would cause it.
            DataError: An id, a score or a label cannot be stored.
        """
        # Before the transaction: what cannot be stored must not leave half of a state
        text = strict_json(detail or {})
        rows = [_query_row(round, query) for query in queries]
        with self._database.transaction() as connection:
            # Within the transaction: another process may have come first
            if self.is_finished(round, state):
                raise AssertionError(
                    f"{self._database.path}: round {round} has finished {state} before"
                )
            connection.execute(
                "INSERT INTO round_state (round, state, time, detail) VALUES (?, ?, ?, ?)",
                (round, str(state), time.time(), text),
            )
            connection.executemany("INSERT INTO query VALUES (?, ?, ?, ?, ?)", rows)
            if labels:
                self._labels.add(labels)

    def is_finished(self, round: int, state: State) -> bool:
        """Return whether a state of a round is finished."""
        return bool(self._details(round, state))

    def detail(self, round: int, state: State) -> dict[str, Any]:
        """Return the details of a finished state.

        Raises:
            AssertionError: The state is not finished.
        """
        found = self._details(round, state)
        if not found:
            raise AssertionError(
                f"{self._database.path}: round {round} has not finished {state} yet"
            )
        detail: dict[str, Any] = json.loads(found[0][0])
        return detail

    def last(self) -> tuple[int, State] | None:
        """Return the round and the state that was finished last, or None."""
        found = self._database.rows(
            "SELECT round, state FROM round_state ORDER BY sequence DESC LIMIT 1"
        )
        return (found[0][0], State(found[0][1])) if found else None

    def rounds(self) -> list[int]:
        """Return the rounds with a finished state, in their order."""
        found = self._database.rows("SELECT DISTINCT round FROM round_state ORDER BY round")
        return [round for (round,) in found]

    def queries(self, round: int) -> list[Query]:
        """Return the query of a round, in the order of picking."""
        found = self._database.rows(
            "SELECT rank, id, score, reason FROM query WHERE round = ? ORDER BY rank", (round,)
        )
        return [Query(rank, id, score, json.loads(reason)) for rank, id, score, reason in found]

    def _details(self, round: int, state: State) -> list[tuple[Any, ...]]:
        return self._database.rows(
            "SELECT detail FROM round_state WHERE round = ? AND state = ?", (round, str(state))
        )


def _query_row(round: int, query: Query) -> tuple[int, int, str, float, str]:
    if not is_encodable(query.id):
        raise DataError(f"the id {query.id!a:.80} is no valid Unicode text and cannot be stored")
    score = float(query.score)
    if not math.isfinite(score):
        raise DataError(f"the score of {repr_json(query.id)} is {score}; expected a finite number")
    return round, int(query.rank), query.id, score, strict_json(query.reason)
