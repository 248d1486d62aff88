"""The tables of a labeling database.

::

    label_event     what was said; see `allencv_al.labels.label_store`. `label` is the
                    number of a class, as text, so that a class can be renamed; `round` is the
                    batch; `source` is `page` for an answer, and `review` for a decision.

    class           the classes
      class_id      1, 2, 3 ...       name

    class_change    what was done to them; only ever appended
      class_id      which             old, new    names; old is NULL where the class was added,
                                                  new is empty where it was removed
      annotator     by whom           time

    batch           what is to be labeled together: a round of a loop, or a folder
      batch         1, 2, 3 ...       round       of the loop; NULL for a folder
      labels_per_image                is_open     whether it still takes answers
      has_fixed_classes               whether classes can be neither added nor renamed

    item            the images
      item          1, 2, 3 ...       what addresses name, instead of the id
      id            as in the data    batch, rank the order of asking
      image         the path of a file, relative to the folder of the database where it lies below
      picture       else its content  reason      why it was picked
      guess         what the model takes it for, as JSON: [[class name, probability]]
      answers       how many have said what it is (a skip says nothing)
      kind, class_id                  what comes of it (NULL: nothing yet)
      is_conflict   whether as many say one thing as another

    standing        what each annotator says of an item now: the newest event that was not undone
      item, annotator                 event_id, kind, class_id

    lease           who is looking at what
      item, annotator                 expires

    server          one row, while a server runs: url, machine, pid, heartbeat

    labeling        one row, made at need: the id of the labeling, and the options that its images
                    were ordered by; see `allencv_al.labels.sessions.identity`

`item.answers ... is_conflict` and `standing` follow from the events, and are written in the same
transaction.
"""

from __future__ import annotations

from allencv_al.labels.database import Schema
from allencv_al.labels.label_store import LABEL_EVENTS

_TABLES = """
CREATE TABLE class (
    class_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE class_change (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    class_id INTEGER NOT NULL,
    old TEXT,
    new TEXT NOT NULL,
    annotator TEXT NOT NULL,
    time REAL NOT NULL
);

CREATE TABLE batch (
    batch INTEGER PRIMARY KEY,
    round INTEGER,
    labels_per_image INTEGER NOT NULL,
    has_fixed_classes INTEGER NOT NULL,
    is_open INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE item (
    item INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    batch INTEGER NOT NULL REFERENCES batch (batch),
    rank INTEGER NOT NULL,
    image TEXT,
    picture BLOB,
    reason TEXT,
    guess TEXT,
    answers INTEGER NOT NULL DEFAULT 0,
    kind TEXT,
    class_id INTEGER REFERENCES class (class_id),
    is_conflict INTEGER NOT NULL DEFAULT 0,
    CHECK ((image IS NULL) != (picture IS NULL))
);
CREATE INDEX item_by_rank ON item (batch, rank);
-- Each answer counts what is done, and asks what is left: of wide rows that took long
CREATE INDEX item_by_outcome ON item (batch, kind, is_conflict, answers);
CREATE INDEX item_by_class ON item (class_id) WHERE class_id IS NOT NULL;
CREATE INDEX item_open ON item (batch, rank) WHERE kind IS NULL AND is_conflict = 0;

CREATE TABLE standing (
    item INTEGER NOT NULL REFERENCES item (item),
    annotator TEXT NOT NULL,
    event_id INTEGER NOT NULL REFERENCES label_event (event_id),
    kind TEXT NOT NULL,
    class_id INTEGER REFERENCES class (class_id),
    PRIMARY KEY (item, annotator)
) WITHOUT ROWID;
CREATE INDEX standing_by_annotator ON standing (annotator, item);
CREATE INDEX standing_skipped ON standing (item) WHERE kind = 'skip';

CREATE TABLE lease (
    item INTEGER NOT NULL REFERENCES item (item),
    annotator TEXT NOT NULL,
    expires REAL NOT NULL,
    PRIMARY KEY (item, annotator)
) WITHOUT ROWID;

CREATE TABLE server (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    url TEXT NOT NULL,
    machine TEXT NOT NULL,
    pid INTEGER NOT NULL,
    heartbeat REAL NOT NULL
);
"""

LABELING_SCHEMA = Schema(
    *("the database of a labeling", 0x616C4C42, 1, LABEL_EVENTS + _TABLES)  # "alLB"
)
