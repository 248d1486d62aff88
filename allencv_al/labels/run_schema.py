"""The tables of a run's database.

::

    label_event                       see `allencv_al.labels.label_schema`

    round_state                       one row per state of a round that is finished
      sequence    1, 2, 3 ...         in the order in which they were finished
      round       0, 1, 2 ...
      state       TRAIN | TEST | INFER | SELECT | WAITING_FOR_LABELS | INGEST | DONE
      time        when              detail      a JSON object

    query                             one row per item that a round asks for
      round       in which
      rank        0, 1, 2 ...         the order of picking
      id          the item          score       when it was picked
      reason      a JSON object

What is in force for an item follows from its newest event alone: that event, or, where it is an
undo, what the undone event had superseded (never an undo). So nothing is ever rewritten.
"""

from __future__ import annotations

from allencv_al.labels.database import Schema
from allencv_al.labels.label_schema import LABEL_EVENTS

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
