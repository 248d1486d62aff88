"""Selection: which images of a pool to label next.

A strategy derives from `QueryStrategy`, reads a `Pool` and returns `Picks`; `SampleSelector` runs
one on images and a trained model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from allencv_al.common.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from allencv_al.selection.pool.pool_outputs import PoolOutputs as PoolOutputs
    from allencv_al.selection.pool.pool_scorer import ScoringOptions as ScoringOptions
    from allencv_al.selection.pool.scoring import compute_outputs as compute_outputs
    from allencv_al.selection.pool.unlabeled_pool import Pool as Pool
    from allencv_al.selection.selection import Picks as Picks
    from allencv_al.selection.selection import Selection as Selection
    from allencv_al.selection.selector import SampleSelection as SampleSelection
    from allencv_al.selection.selector import SampleSelector as SampleSelector
    from allencv_al.selection.selector import SelectedImage as SelectedImage
    from allencv_al.selection.strategies.base import QueryStrategy as QueryStrategy

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Picks": "allencv_al.selection.selection",
        "Pool": "allencv_al.selection.pool.unlabeled_pool",
        "PoolOutputs": "allencv_al.selection.pool.pool_outputs",
        "QueryStrategy": "allencv_al.selection.strategies.base",
        "SampleSelection": "allencv_al.selection.selector",
        "SampleSelector": "allencv_al.selection.selector",
        "ScoringOptions": "allencv_al.selection.pool.pool_scorer",
        "SelectedImage": "allencv_al.selection.selector",
        "Selection": "allencv_al.selection.selection",
        "compute_outputs": "allencv_al.selection.pool.scoring",
    },
)
