"""Labels: events, databases, tables, exchange formats, annotators and labeling sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.labels.annotators.base import Annotator as Annotator
    from allencv_al.labels.annotators.base import LabelRequest as LabelRequest
    from allencv_al.labels.annotators.base import WaitingForLabels as WaitingForLabels
    from allencv_al.labels.label_store import LabelEvent as LabelEvent
    from allencv_al.labels.label_store import LabelKind as LabelKind
    from allencv_al.labels.label_store import LabelStore as LabelStore
    from allencv_al.labels.label_store import NewLabel as NewLabel
    from allencv_al.labels.run_database import Query as Query
    from allencv_al.labels.run_database import RunDatabase as RunDatabase
    from allencv_al.labels.sessions.labeling_store import LabelingStore as LabelingStore

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Annotator": "allencv_al.labels.annotators.base",
        "LabelEvent": "allencv_al.labels.label_store",
        "LabelKind": "allencv_al.labels.label_store",
        "LabelRequest": "allencv_al.labels.annotators.base",
        "LabelStore": "allencv_al.labels.label_store",
        "LabelingStore": "allencv_al.labels.sessions.labeling_store",
        "NewLabel": "allencv_al.labels.label_store",
        "Query": "allencv_al.labels.run_database",
        "RunDatabase": "allencv_al.labels.run_database",
        "WaitingForLabels": "allencv_al.labels.annotators.base",
    },
)
