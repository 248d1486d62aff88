"""No strategy copies what it reads; wrappers are tried in `test_rows.py`."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.base import QueryStrategy
from allencv_al.selection.strategies.shared import canonical_rows, kernel_coverage

COUNT = 60_000
WRAPPERS = ("narrowing", "combining")
NAMES = [name for name, home in QueryStrategy.builtin.items() if not home.endswith(WRAPPERS)]
SAMPLES = {"max_references": 1000, "max_candidates": 2000}
OPTIONS: dict[str, dict[str, Any]] = {
    "bands": {
        "bands": [
            {"score": "margin", "num_items": 10, "take": "lowest"},
            {"score": "entropy", "num_items": 10, "over": 0.2, "under": 0.8},
        ]
    },
    "strategy_file": {"path": str(Path(__file__).with_name("expert.yaml"))},
    "batch_bald": {"num_candidates": 100, "num_configurations": 100},
    "prob_cover": SAMPLES,
    "max_herding": SAMPLES,
    "uncertainty_herding": SAMPLES,
}


def random_rows(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Embeddings take 61 MB, logits of members 48 MB."""
    import sklearn.cluster  # noqa: F401 - not to be counted

    return Pool(
        [str(index) for index in range(COUNT)],
        logits=random_rows(COUNT, 10),
        mc_logits=random_rows(COUNT, 20, 10),
        label_logits=random_rows(COUNT, 10),
        objects=np.abs(random_rows(COUNT, 5, 3 + 16)),
        embeddings=random_rows(COUNT, 256),
        labeled_embeddings=random_rows(50, 256),
        labeled_logits=random_rows(50, 10),
        labeled_labels=np.arange(50) % 10,
        labeled_counts=(random_rows(50, 10) > 0).astype(np.int64),
        target_mc_logits=random_rows(3, 20, 10),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_memory_beyond_the_data_is_a_block_and_some_numbers_of_each_item(
    name: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numpy tells tracemalloc of its arrays."""
    # Samples of a fixed size are a small part of a pool that is large
    monkeypatch.setattr(canonical_rows, "_FIT_ROWS", 2000)
    monkeypatch.setattr(kernel_coverage, "_COMPARED", 1000)
    config = {"type": name, "memory_budget_mb": 4, **OPTIONS.get(name, {})}
    strategy = QueryStrategy.from_params(config)
    tracemalloc.start()
    assert len(strategy.select(pool, 20, 1)) == 20
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * 2**20
