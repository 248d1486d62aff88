"""Active learning: what to derive from, and selection in Python.

Strategies, annotators and stop rules derive from the bases exported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.active_learning.rounds.round_record import RoundRecord as RoundRecord
    from allencv_al.active_learning.stop_rules.base import StopRule as StopRule
    from allencv_al.labels.annotators.base import Annotator as Annotator
    from allencv_al.labels.annotators.base import LabelRequest as LabelRequest
    from allencv_al.labels.annotators.base import WaitingForLabels as WaitingForLabels
    from allencv_al.labels.label_store import LabelKind as LabelKind
    from allencv_al.labels.label_store import NewLabel as NewLabel
    from allencv_al.selection.pool.pool_outputs import PoolOutputs as PoolOutputs
    from allencv_al.selection.pool.scoring import ScoringOptions as ScoringOptions
    from allencv_al.selection.pool.scoring import compute_outputs as compute_outputs
    from allencv_al.selection.pool.unlabeled_pool import Pool as Pool
    from allencv_al.selection.selection import Picks as Picks
    from allencv_al.selection.selection import Selection as Selection
    from allencv_al.selection.selector import SampleSelector as SampleSelector
    from allencv_al.selection.strategies.base import QueryStrategy as QueryStrategy

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Annotator": "allencv_al.labels.annotators.base",
        "LabelKind": "allencv_al.labels.label_store",
        "LabelRequest": "allencv_al.labels.annotators.base",
        "NewLabel": "allencv_al.labels.label_store",
        "Picks": "allencv_al.selection.selection",
        "Pool": "allencv_al.selection.pool.unlabeled_pool",
        "PoolOutputs": "allencv_al.selection.pool.pool_outputs",
        "QueryStrategy": "allencv_al.selection.strategies.base",
        "RoundRecord": "allencv_al.active_learning.rounds.round_record",
        "SampleSelector": "allencv_al.selection.selector",
        "ScoringOptions": "allencv_al.selection.pool.scoring",
        "Selection": "allencv_al.selection.selection",
        "StopRule": "allencv_al.active_learning.stop_rules.base",
        "WaitingForLabels": "allencv_al.labels.annotators.base",
        "compute_outputs": "allencv_al.selection.pool.scoring",
    },
)
