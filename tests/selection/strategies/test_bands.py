"""Bands of scores, and the strategy files that describe them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fixtures.band_scores import picked, pool, score_of

from allencv_al.common.config.config_check import check
from allencv_al.selection.strategies.bands import Band, Bands
from allencv_al.selection.strategies.base import QueryStrategy


def test_a_band_with_too_few_goes_on_with_the_nearest() -> None:
    items = pool()
    scores = score_of(items, "confidence")
    ranked = np.sort(scores)
    over, under = ((ranked[[50, 53]] + ranked[[51, 54]]) / 2).tolist()  # three are inside
    strategy = Bands([Band("confidence", 1, over=over, under=under)])
    found = picked(strategy, items, 12)
    outside = np.maximum(np.maximum(over - scores, scores - under), 0)
    assert np.sort(outside[found]) == pytest.approx(np.sort(outside)[:12], abs=1e-6)
    assert all(over < scores[item] < under for item in found[:3])


def test_several_bands_share_the_batch_and_none_takes_the_picks_of_another() -> None:
    items = pool()
    bands = [
        Band("margin", 60, take="lowest"),
        Band("entropy", 20, take="highest"),
        Band("random", 20),
    ]
    selection = Bands(bands).select(items, 50, 3)
    assert len(set(selection.ids)) == 50
    by = [reason["by"] for reason in selection.reasons]
    assert [by.count(name) for name in ("margin", "entropy", "random")] == [30, 10, 10]
    margins = score_of(items, "margin")
    first = [items.ids.index(id) for id in selection.ids[:30]]
    assert first == np.argsort(margins)[:30].tolist()
    values = [reason["value"] for reason in selection.reasons[:30]]
    np.testing.assert_allclose(values, margins[first], atol=1e-6)


@pytest.mark.parametrize(
    ("band", "path"),
    [
        ({"score": "margin", "num_items": 0, "take": "lowest"}, "bands.0.num_items"),
        ({"score": "margin", "num_items": 1}, "bands.0.take"),
        ({"score": "margin", "num_items": 1, "take": "lowest", "over": 0.5}, "bands.0.take"),
        ({"score": "margin", "num_items": 1, "over": 0.5, "under": 0.1}, "bands.0.under"),
        ({"score": "random", "num_items": 1, "over": 0.5}, "bands.0.score"),
        ({"score": "odd", "num_items": 1}, "bands.0.score"),
    ],
)
def test_a_wrong_band_is_a_fault_with_its_place(band: dict[str, Any], path: str) -> None:
    faults = check(QueryStrategy, {"type": "bands", "bands": [band]})
    assert [fault.path for fault in faults] == [path]
    assert [f.path for f in check(QueryStrategy, {"type": "bands", "bands": []})] == ["bands"]
