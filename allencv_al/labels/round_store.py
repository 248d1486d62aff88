"""`RoundStore`: how far a run has come, and what each of its rounds asked for."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import repr_json, strict_json
from allencv_al.labels.database import Database, is_encodable
from allencv_al.labels.label_store import LabelStore, NewLabel


class State(StrEnum):
    """What a round does, in this order; DONE ends the run."""

    TRAIN = "TRAIN"
    TEST = "TEST"
    INFER = "INFER"
    SELECT = "SELECT"
    WAITING_FOR_LABELS = "WAITING_FOR_LABELS"
    INGEST = "INGEST"
    DONE = "DONE"


@dataclass(frozen=True, slots=True)
class Query:
    """One item that a round asks a label for.

    Args:
        rank: Its place in the order of picking, from 0.
        id: The item.
        score: Its score when it was picked; higher was more wanted.
        reason: Why, as JSON values.
    """

    rank: int
    id: str
    score: float
    reason: Mapping[str, Any] = field(default_factory=dict)


class RoundStore:
    """The states that are finished, with what each of them left behind.

    Args:
        database: Where they are kept.
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
        """Record that a state of a round is finished, with all that belongs to it, or nothing.

        Args:
            round: The round.
            state: The state.
            detail: Anything to be known of it, as JSON values.
            queries: What SELECT chose.
            labels: The label events that INGEST brings.

        Raises:
            AssertionError: It is finished already, which two processes on one run would cause.
            DataError: An id, a score or a label cannot be stored.
        """
        text = strict_json(detail or {})
        rows = [_query_row(round, query) for query in queries]
        with self._database.transaction() as connection:
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
        """Return what was recorded with a finished state.

        Raises:
            AssertionError: It is not finished.
        """
        found = self._details(round, state)
        if not found:
            raise AssertionError(
                f"{self._database.path}: round {round} has not finished {state} yet"
            )
        detail: dict[str, Any] = json.loads(found[0][0])
        return detail

    def last(self) -> tuple[int, State] | None:
        """Return the round and the state that was finished last; None if none is."""
        found = self._database.rows(
            "SELECT round, state FROM round_state ORDER BY sequence DESC LIMIT 1"
        )
        return (found[0][0], State(found[0][1])) if found else None

    def rounds(self) -> list[int]:
        """Return the rounds that have finished anything, in their order."""
        found = self._database.rows("SELECT DISTINCT round FROM round_state ORDER BY round")
        return [round for (round,) in found]

    def queries(self, round: int) -> list[Query]:
        """Return what a round asked for, in the order of picking."""
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
