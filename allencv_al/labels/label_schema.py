"""The table of label events, which the databases of runs and of labeling have in common.

::

    label_event                       one row per thing an annotator did; only ever appended
      event_id    1, 2, 3 ...         in the order in which they were committed
      id          the item
      label       the class, where kind is label
      kind        label | skip | unsure | unreadable | undo
      annotator   who               source      by what: ground_truth, file, page ...
      round       in which          client_key  given by a client so that it may send twice
      seconds     how long it took  time        when it was stored, seconds since 1970
      supersedes  ─> event_id         what was in force before (NULL: nothing); of an undo, this is
                                      the event that it undoes
"""

from __future__ import annotations

LABEL_EVENTS = """
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
"""
