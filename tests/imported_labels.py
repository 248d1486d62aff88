"""The labels of a labeling after an import."""

from __future__ import annotations

from pathlib import Path

from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore

CASES = Path(__file__).parent / "data" / "cases" / "labels"


def labels(folder: Path) -> dict[str, str | None]:
    """Return the agreed labels by image."""
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        return {one.id: one.label for one in store.agreed_labels(1) if one.event_id is not None}


def conflicts(folder: Path) -> int:
    """Return the number of images in conflict."""
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        return store.counts.progress(1, "").conflicts
