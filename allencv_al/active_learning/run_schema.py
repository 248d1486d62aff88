"""The tables of a run's database.

::

    label_event                       one row per thing an annotator did; only ever appended
      event_id    1, 2, 3 ...         in the order in which they were committed
      id          the item
      label       the class name, where kind is label
      kind        label | skip | unsure | unreadable | undo
      annotator   who               source      by what: ground_truth, file, page ...
      round       in which          client_key  given by a client so that it may send twice
      seconds     how long it took  time        when it was stored, seconds since 1970
      supersedes  ─> event_id         what was in force for this item before (NULL: nothing);
                                      of an undo, this is the event that it undoes

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

import sqlite3

APPLICATION_ID = 0x616C4356
"""What marks the file as ours (`alCV`), in the header of every SQLite file."""

VERSION = 1

_SCHEMA = """
CREATE TABLE label_event (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    label TEXT,
    kind TEXT NOT NULL CHECK (kind IN ('label', 'skip', 'unsure', 'unreadable', 'undo')),
    annotator TEXT NOT NULL,
    source TEXT NOT NULL,
    round INTEGER NOT NULL,
    client_key TEXT UNIQUE,
    seconds REAL,
    time REAL NOT NULL,
    supersedes INTEGER REFERENCES label_event (event_id),
    CHECK ((kind = 'label') = (label IS NOT NULL)),
    CHECK (kind != 'undo' OR supersedes IS NOT NULL)
);
CREATE INDEX label_event_by_id ON label_event (id);
CREATE UNIQUE INDEX label_event_undone_once ON label_event (supersedes) WHERE kind = 'undo';

CREATE TRIGGER label_event_no_update BEFORE UPDATE ON label_event
BEGIN SELECT RAISE(ABORT, 'label events are only ever appended'); END;
CREATE TRIGGER label_event_no_delete BEFORE DELETE ON label_event
BEGIN SELECT RAISE(ABORT, 'label events are only ever appended'); END;
-- INSERT OR REPLACE deletes without asking the trigger above.
CREATE TRIGGER label_event_no_replace BEFORE INSERT ON label_event
WHEN EXISTS (
    SELECT 1 FROM label_event
    WHERE event_id = NEW.event_id OR client_key = NEW.client_key
        OR (NEW.kind = 'undo' AND kind = 'undo' AND supersedes = NEW.supersedes)
)
BEGIN SELECT RAISE(ABORT, 'label events are only ever appended'); END;

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


def statements() -> list[str]:
    """Return what makes the tables, statement by statement, and marks the file at last.

    Not one script: `executescript` commits what is open, and the tables come all or none.
    """
    found, pending = [], ""
    for line in _SCHEMA.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return [*found, f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {VERSION}"]
