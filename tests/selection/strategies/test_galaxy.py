"""GALAXY beside a twin that walks along every line."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.id_hash import canonical_order
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.galaxy import Galaxy


def make_pool(seed: int, labeled: int = 6, count: int = 40) -> Pool:
    generator = np.random.default_rng(seed)
    return Pool(
        [f"{index}.png" for index in range(count)],
        logits=generator.normal(size=(count, 3)).astype(np.float32),
        labeled_logits=generator.normal(size=(labeled, 3)).astype(np.float32),
        labeled_labels=generator.integers(0, 3, labeled),
    )


def walk(pool: Pool, count: int, seed: int) -> list[str]:
    """The paper's choice with predicted classes for the labels of earlier picks, item by item."""
    order = canonical_order(pool.ids, seed)
    logits = np.concatenate([pool.logits[order], pool.labeled_logits])
    labels: dict[int, int] = {len(order) + n: int(y) for n, y in enumerate(pool.labeled_labels)}
    generator = np.random.default_rng(seed)
    picks: list[int] = []
    for _ in range(count):
        chosen = None
        for _ in range(4):
            k = int(generator.integers(3))
            score = logits[:, k] - np.delete(logits, k, axis=1).max(axis=1)
            line = sorted(range(len(logits)), key=lambda item: -score[item])
            known = [place for place, item in enumerate(line) if item in labels]
            meets = [
                (right - left - 1, left, right)
                for left, right in pairwise(known)
                if (labels[line[left]] == k) != (labels[line[right]] == k)
            ]
            if not meets:
                continue
            runs = [meet for meet in meets if meet[0] > 0]
            if runs:
                _, left, right = min(runs)
                chosen = line[(left + right) // 2]
            else:
                free = [place for place, item in enumerate(line) if item not in labels]
                middles = [left + 0.5 for _, left, _ in meets]
                chosen = line[min(free, key=lambda p: min(abs(p - m) for m in middles))]
            break
        if chosen is None:
            chosen = next(item for item in range(len(order)) if item not in labels)
        labels[chosen] = int(logits[chosen].argmax())
        picks.append(chosen)
    return [pool.ids[order[pick]] for pick in picks]


@pytest.mark.parametrize("labeled", [0, 1, 6, 20])
@pytest.mark.parametrize("seed", range(4))
def test_picks_are_those_of_a_walk_along_the_lines(labeled: int, seed: int) -> None:
    pool = make_pool(seed, labeled)
    assert list(Galaxy().select(pool, 15, seed).ids) == walk(pool, 15, seed)


def test_the_whole_pool_can_be_asked_for() -> None:
    pool = make_pool(0)
    assert sorted(Galaxy().select(pool, 40, 0).ids) == sorted(pool.ids)


def test_a_rare_class_gets_its_share() -> None:
    """Of 500 items 5 are of the rare class; bisection finds its border from one item of each."""
    score = np.linspace(1, 50, 500, dtype=np.float32)
    logits = np.stack([np.full(500, 5.5, np.float32), score], axis=1)  # the rare end is below 5.5
    pool = Pool(
        [str(index) for index in range(500)],
        logits=logits[:, ::-1].copy(),
        labeled_logits=np.array([[0.5, 5.5], [51, 5.5]], np.float32),
        labeled_labels=np.array([1, 0]),
    )
    chosen = [int(id) for id in Galaxy().select(pool, 12, 0).ids]
    border = int((score < 5.5).sum())
    assert sum(abs(place - border) <= 5 for place in chosen) >= 4
    assert min(abs(place - border) for place in chosen) <= 1


def test_without_labels_picks_are_random_and_say_so() -> None:
    selection = Galaxy().select(make_pool(0, labeled=0), 1, 0)
    assert selection.reasons[0]["random"] is True


def test_it_asks_for_labels_that_are_absent() -> None:
    with pytest.raises(ConfigurationError, match="galaxy expects them"):
        Galaxy().select(replace(make_pool(0), labeled_labels=None), 3, 0)
