"""BADGE beside gradients that are formed, and its draws beside those of plain k-means++."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import softmax

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.id_hash import canonical_order
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.strategies.badge import Gradients, KMeansPlusPlus
from allencv_al.selection.strategies.base import QueryStrategy


def badge(memory_budget_mb: float = 512.0) -> QueryStrategy:
    return QueryStrategy.from_params({"type": "badge", "memory_budget_mb": memory_budget_mb})


def pool_of(logits: np.ndarray, embeddings: np.ndarray) -> Pool:
    ids = [f"{index}.png" for index in range(len(logits))]
    return Pool(ids, logits=logits, embeddings=embeddings)


def formed_gradients(logits: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    errors = softmax(logits.astype(np.float64), axis=1)
    errors[np.arange(len(errors)), logits.argmax(axis=1)] -= 1
    return np.einsum("nc,nd->ncd", errors, embeddings.astype(np.float64)).reshape(len(errors), -1)


def positions(ids: tuple[str, ...]) -> list[int]:
    return [int(id.split(".")[0]) for id in ids]


def data(count: int, seed: int = 0, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    logits = generator.standard_normal((count, 5)) * 3
    embeddings = generator.standard_normal((count, 12)) + offset
    return logits.astype(np.float32), embeddings.astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("step", [7, 4096])
def test_distances_are_those_of_formed_gradients(offset: float, step: int) -> None:
    logits, embeddings = data(300, offset=offset)
    formed = formed_gradients(logits, embeddings)
    gradients = Gradients(logits, embeddings, step)
    others = np.arange(0, 300, 9)
    expected = ((formed[:, None] - formed[others]) ** 2).sum(axis=2)
    found = gradients.squared_distances(slice(0, 300), others)
    np.testing.assert_allclose(gradients.squared_norms, (formed**2).sum(axis=1), rtol=1e-10)
    scale = (formed**2).sum(axis=1).max()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * scale)


def test_scores_and_reasons_are_distances_of_formed_gradients() -> None:
    logits, embeddings = data(300)
    formed = formed_gradients(logits, embeddings)
    selection = badge().select(pool_of(logits, embeddings), 40, 7)
    picked = positions(selection.ids)
    assert picked[0] == int((formed**2).sum(axis=1).argmax())
    assert selection.scores[0] == pytest.approx(np.linalg.norm(formed[picked[0]]))
    for rank in range(1, 40):
        before = formed[picked[:rank]]
        distances = np.sqrt(((before - formed[picked[rank]]) ** 2).sum(axis=1))
        assert selection.scores[rank] == pytest.approx(distances.min())
        nearest = selection.ids[int(distances.argmin())]
        assert selection.reasons[rank]["nearest_selected"] == nearest


def drawn(draw: KMeansPlusPlus, count: int) -> list[int]:
    while len(draw.picked) < count:
        assert draw.extend(count)
    return draw.picked


def plain_k_means_plus_plus(
    squared: np.ndarray, first: int, count: int, generator: np.random.Generator
) -> list[int]:
    picked, near = [first], squared[first].copy()
    while len(picked) < count:
        cumulated = np.cumsum(near)
        item = int(np.searchsorted(cumulated, generator.random() * cumulated[-1], side="right"))
        picked.append(item)
        near = np.minimum(near, squared[item])
    return picked


def test_draws_follow_the_law_of_plain_k_means_plus_plus() -> None:
    """3,000 draws of 12: the potential by Kolmogorov-Smirnov, each place by chi-square."""
    generator = np.random.default_rng(5)
    logits, embeddings = data(60, seed=3)
    # Clusters of uneven size make the distances shrink fast, so that many proposals are rejected
    embeddings[20:] = embeddings[:2][generator.integers(0, 2, 40)] + embeddings[20:] * 0.1
    logits[20:] = logits[:2][generator.integers(0, 2, 40)]
    formed = formed_gradients(logits, embeddings)
    squared = ((formed[:, None] - formed) ** 2).sum(axis=2)
    gradients = Gradients(logits, embeddings, 4096)
    first = int(gradients.squared_norms.argmax())
    order = canonical_order([str(index) for index in range(60)], 0)
    plain = [plain_k_means_plus_plus(squared, first, 12, generator) for _ in range(3000)]
    for patience in (None, 3):
        ours = []
        for seed in range(3000):
            draw = KMeansPlusPlus(gradients, first, order, seed)
            if patience is not None:
                draw.patience = patience
            ours.append(drawn(draw, 12))
        assert_of_one_law(ours, plain, squared)


def assert_of_one_law(ours: list[list[int]], plain: list[list[int]], squared: np.ndarray) -> None:
    potentials = [[squared[:, picks].min(axis=1).sum() for picks in run] for run in (ours, plain)]
    assert stats.ks_2samp(*potentials).pvalue > 1e-3
    for place in (1, 2, 3, 6, 11):
        counts = [Counter(picks[place] for picks in run) for run in (ours, plain)]
        table = np.array([[count[item] for item in range(60)] for count in counts])
        often = table.sum(axis=0) >= 20
        rest = table[:, ~often].sum(axis=1, keepdims=True)
        table = np.concatenate([table[:, often], rest[:, : int(rest.sum() >= 20)]], axis=1)
        assert stats.chi2_contingency(table).pvalue > 1e-4


def law_of_k_means_plus_plus(squared: np.ndarray, first: int, count: int) -> np.ndarray:
    """Return the probability of each item at each place, `[count, N]`, by enumeration."""
    law = np.zeros((count, len(squared)))

    def follow(picked: list[int], probability: float) -> None:
        law[len(picked) - 1, picked[-1]] += probability
        if len(picked) == count:
            return
        near = squared[picked].min(axis=0)
        for item in np.flatnonzero(near > 0).tolist():
            follow([*picked, item], probability * near[item] / near.sum())

    follow([first], 1.0)
    return law


def test_draws_follow_the_enumerated_law() -> None:
    """8,000 draws of 3 from 5: an envelope 10 % too low at the start gives p = 1e-9 here.

    The gradients lie on a line, on both sides of the origin. Seen from the first, that beyond the
    origin is as far away as the triangle inequality allows and is drawn by its envelope; those on
    the near side are rejected at times. Each has about half of the chances.
    """
    places = np.array([1.0, -0.6, 0.05, 0.1, 0.15])
    # Of two classes the gradient is (1 - p(1)) times (-1, 1) or (1, -1), times the feature
    logits = np.where(places[:, None] > 0, [1.0, 0.0], [0.0, 1.0]).astype(np.float32)
    gradients = Gradients(logits, np.abs(places)[:, None].astype(np.float32), 4096)
    law = law_of_k_means_plus_plus((places[:, None] - places) ** 2, 0, 3)
    order = canonical_order([str(index) for index in range(5)], 0)
    counts = np.zeros((3, 5), np.int64)
    for seed in range(8000):
        counts[np.arange(3), drawn(KMeansPlusPlus(gradients, 0, order, seed), 3)] += 1
    for place in (1, 2):
        assert not counts[place, 0]
        assert stats.chisquare(counts[place, 1:], 8000 * law[place, 1:]).pvalue > 1e-4


def test_draws_by_an_envelope_that_was_brought_up_to_date_follow_the_law() -> None:
    """3,000 draws of 12: an envelope 10 % too low after the second is 7 deviations off here.

    What nothing came nearer to since then is as likely as its distance says. There are four
    clusters, within which items are half as far (squared) from each other as from other clusters,
    and one item far from all, which is first.
    """
    generator = np.random.default_rng(0)
    embeddings = np.repeat(np.eye(4, 30), 20, axis=0) + generator.normal(0, 30**-0.5, (80, 30))
    embeddings[0] = 3 * np.eye(30)[-1]
    logits = np.tile(np.array([[1.0, 0.0]], np.float32), (80, 1))
    gradients = Gradients(logits, embeddings.astype(np.float32), 4096)
    squared = ((embeddings[:, None] - embeddings) ** 2).sum(axis=2)
    order = canonical_order([str(index) for index in range(80)], 0)
    more, variance = 0.0, 0.0
    for seed in range(3000):
        draw = KMeansPlusPlus(gradients, 0, order, seed)
        drawn(draw, 2)
        draw.patience = -1
        draw.extend(12)
        draw.patience = math.inf
        picked = drawn(draw, 12)
        near = squared[picked[:2]].min(axis=0)
        then = 0.95 * near
        for before, item in itertools.pairwise(picked[2:]):
            near = np.minimum(near, squared[before])
            probability = near[near >= then].sum() / near.sum()
            more += (near[item] >= then[item]) - probability
            variance += probability * (1 - probability)
    assert abs(more) < 3.5 * math.sqrt(variance)


@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 50),
    query_size=st.integers(0, 60),
    budget=st.sampled_from([1e-6, 0.02, 512.0]),
    levels=st.sampled_from([2, 1000]),
)
@settings(max_examples=60)
def test_order_blocks_and_shifts_change_nothing(
    seed: int, count: int, query_size: int, budget: float, levels: int
) -> None:
    generator = np.random.default_rng(seed)
    logits = (generator.integers(0, levels, (count, 3)) / 64).astype(np.float32)
    embeddings = generator.integers(0, levels, (count, 3)).astype(np.float32)
    pool = pool_of(logits, embeddings)
    selection = badge().select(pool, query_size, seed)
    assert len(set(selection.ids)) == len(selection) == min(query_size, count)
    order = generator.permutation(count)
    assert badge(budget).select(pool.take(order), query_size, seed).ids == selection.ids
    shifts = generator.integers(-50, 50, (count, 1)).astype(np.float32)
    shifted = pool_of(logits + shifts, embeddings)
    assert badge().select(shifted, query_size, seed).ids == selection.ids


def test_many_rejections_and_blocks_change_nothing() -> None:
    logits, embeddings = data(2000, seed=1)
    embeddings[300:] = embeddings[:17].repeat(100, axis=0) + embeddings[300:] * 0.01
    logits[300:] = logits[:17].repeat(100, axis=0)
    pool = pool_of(logits, embeddings)
    order = np.random.default_rng(0).permutation(2000)
    selection = badge().select(pool, 300, 11)
    assert badge(0.01).select(pool.take(order), 300, 11).ids == selection.ids


def test_other_seeds_draw_other_items() -> None:
    pool = pool_of(*data(100))
    assert len({badge().select(pool, 5, seed).ids for seed in (-1, 0, 1, 2**63)}) == 4


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_no_duplicate_before_all_distinct_items(offset: float) -> None:
    logits, embeddings = (np.tile(array, (15, 1)) for array in data(20, offset=offset))
    selection = badge().select(pool_of(logits, embeddings), 50, 3)
    picked = positions(selection.ids)
    assert {index % 20 for index in picked[:20]} == set(range(20))
    assert len(set(picked)) == 50
    assert not selection.scores[20:].any()
    assert all(reason.get("duplicate") for reason in selection.reasons[20:])


def test_certain_models_and_absent_features_leave_something_to_pick() -> None:
    certain = pool_of(np.array([[1000.0, 0.0]] * 9, np.float32), np.ones((9, 3), np.float32))
    assert len(set(badge().select(certain, 9).ids)) == 9
    nothing = pool_of(*(np.zeros((9, 3), np.float32) for _ in range(2)))
    assert len(set(badge().select(nothing, 4).ids)) == 4


def test_faulty_input_is_named() -> None:
    logits, embeddings = data(10)
    logits[4, 2] = np.inf
    with pytest.raises(DataError, match=r"logits.* 4\.png"):
        badge().select(pool_of(logits, embeddings), 1)
    with pytest.raises(ConfigurationError, match="embeddings"):
        badge().select(Pool(["a"], logits=np.ones((1, 2))), 1)
