"""The labels of a labeling as a table beside it."""

from __future__ import annotations

from pathlib import Path

from allencv_al.data.instance import Instance
from allencv_al.labels.label_store import LabelKind
from allencv_al.labels.label_table import write_label_table
from allencv_al.labels.sessions.labeling_store import LabelingStore

LABELS_NAME = "labels.csv"


def write_labels(store: LabelingStore, table: Path) -> int:
    """Write the labels as a table that the reader `manifest` takes, and return how many there are.

    Args:
        store: The labeling.
        table: The CSV file.
    """
    batch = store.items.batch()
    finals = [] if batch is None else store.finals(batch.batch)
    labeled = [
        Instance(final.id, final.image, final.label)
        for final in finals
        if final.kind is LabelKind.LABEL
    ]
    write_label_table(table, [], labeled)
    return len(labeled)
