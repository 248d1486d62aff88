"""The tables of a labeling's database.

::

    label_event     answers and decisions; see `allencv_al.labels.label_store`. `label` is the
                    number of a class, as text, so that a class can be renamed; `round` is the
                    batch; `source` is `page` for an answer, `model` for an accepted
                    prediction, `review` for a decision; the answers of one page of images have keys
                    that begin alike.

    class           the classes
      class_id      1, 2, 3 ...       name

    class_change    changes of classes; append-only
      class_id      the class         old, new    names; old is NULL if the class was added,
                                                  new is empty if it was removed
      annotator     author            time

    batch           images labeled together: the query of a round, or a folder
      batch         1, 2, 3 ...       round       of the loop; NULL for a folder
      labels_per_image                is_open     whether it still takes answers
      has_fixed_classes               whether classes can be neither added nor renamed

    item            the images
      item          1, 2, 3 ...       its number in URLs, in place of the id
      id            as in the data    batch, rank the order of asking
      image         path of the file; relative to the folder of the database if near it
      picture       or the content    reason      why it was picked
      guess         predictions of the model, as JSON: [[class name, probability]]
      answers       number of answers without skips
      kind, class_id                  agreed label (NULL: none yet)
      is_conflict   whether the most frequent answer is not unique

    standing        answer in force of each annotator and item: the newest event not undone
      item, annotator                 event_id, kind, class_id

    lease           reservation of an item for an annotator
      item, annotator                 expires

    server          one row while a server runs: url, machine, pid, heartbeat

    labeling        one row, created when first needed. Not part of the schema: files of version
                    0.1 lack it, and older versions ignore it.
      id            of the labeling   ordering    options that its images are ordered by, as JSON

`item.answers ... is_conflict` and `standing` follow from the events, and are written in the same
transaction.
"""

from __future__ import annotations

from allencv_al.labels.database import Schema
from allencv_al.labels.label_store import LABEL_EVENTS

PAGE, MODEL, REVIEW, HANDED_OVER = "page", "model", "review", "handed over"
"""Sources of events: an annotator's answer, a prediction that an annotator accepted unseen, and the
decision of a review."""

ANSWERS = (PAGE, MODEL, HANDED_OVER)
"""The sources of answers, which decisions override."""

CREATE_LABELING = (
    "CREATE TABLE IF NOT EXISTS labeling "
    "(one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, ordering TEXT)"
)

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
-- Each answer counts done and open items; without this index, wide rows made that slow
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
