"""Active learning: what to derive from, and selection in Python.

Strategies, annotators, stop rules and learners derive from the bases exported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.active_learning.learners.base import Learner as Learner
    from allencv_al.active_learning.rounds.round_record import RoundRecord as RoundRecord
    from allencv_al.active_learning.stop_rules.base import StopRule as StopRule
    from allencv_al.labels import Annotator as Annotator
    from allencv_al.labels import LabelKind as LabelKind
    from allencv_al.labels import LabelRequest as LabelRequest
    from allencv_al.labels import NewLabel as NewLabel
    from allencv_al.labels import WaitingForLabels as WaitingForLabels
    from allencv_al.selection import Picks as Picks
    from allencv_al.selection import Pool as Pool
    from allencv_al.selection import PoolOutputs as PoolOutputs
    from allencv_al.selection import QueryStrategy as QueryStrategy
    from allencv_al.selection import SampleSelector as SampleSelector
    from allencv_al.selection import ScoringOptions as ScoringOptions
    from allencv_al.selection import Selection as Selection
    from allencv_al.selection import compute_outputs as compute_outputs

_OF_LABELS = ("Annotator", "LabelKind", "LabelRequest", "NewLabel", "WaitingForLabels")
_OF_SELECTION = (
    *("Picks", "Pool", "PoolOutputs", "QueryStrategy", "SampleSelector", "ScoringOptions"),
    *("Selection", "compute_outputs"),
)

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Learner": "allencv_al.active_learning.learners.base",
        "RoundRecord": "allencv_al.active_learning.rounds.round_record",
        "StopRule": "allencv_al.active_learning.stop_rules.base",
        **dict.fromkeys(_OF_LABELS, "allencv_al.labels"),
        **dict.fromkeys(_OF_SELECTION, "allencv_al.selection"),
    },
)
