"""A strategy of a user's own that returns something wrong is named, with what is expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from overrides import overrides

from allencv_al.active_learning.settings import ActiveLearningSettings
from allencv_al.common.errors import ComponentError
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Picks, Selection
from allencv_al.selection.selector import SampleSelector
from allencv_al.selection.strategies.base import QueryStrategy, selected
from allencv_al.selection.strategies.combining import ClassBalanced, Mixture, MixturePart
from allencv_al.selection.strategies.narrowing import EpsilonRandom, Subsample

COUNT = 3
POOL = Pool(
    ["a", "b", "c", "d", "e"],
    logits=np.zeros((5, 2), np.float32),
    embeddings=np.arange(10, dtype=np.float32).reshape(5, 2),
)
NAME = r'the strategy "Mine" \(.*Mine\): '
FIVE = r"expected a NumPy array of 5 finite numbers, shape \(5,\)"


class Mine(QueryStrategy):
    """Returns what it is told to, and forgets the constructor of its base."""

    def __init__(self, picks: Any = None, scores: Any = None) -> None:
        self.picks, self.scores = picks, scores

    @overrides(check_signature=False)
    def score(self, pool: Pool) -> Any:
        return self.scores

    @overrides(check_signature=False)
    def _pick(self, pool: Pool, count: int, seed: int) -> Any:
        return super()._pick(pool, count, seed) if self.picks is None else self.picks


def picks(indices: Any, scores: Any = (1.0, 2.0, 3.0), reasons: Any = ()) -> Picks:
    return Picks(indices, scores, reasons)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (None, "expected a method score that returns a NumPy array of 5 .* found neither"),
        (np.zeros(4), rf"score returned ndarray of shape \(4,\), float64; {FIVE}"),
        (np.zeros((5, 1)), rf"score returned ndarray of shape \(5, 1\), float64; {FIVE}"),
        (np.zeros(5, complex), rf"score returned ndarray of shape \(5,\), complex128; {FIVE}"),
        (np.zeros(5, bool), rf"score returned ndarray of shape \(5,\), bool; {FIVE}"),
        (["1"] * 5, rf"score returned list of length 5; {FIVE}"),
        ([[1], [1, 2], 3, 4, 5], rf"score returned list of length 5; {FIVE}"),
        ({"a": 1.0}, rf"score returned dict of length 1; {FIVE}"),
        (1.0, rf"score returned float 1.0; {FIVE}"),
        (torch.zeros(5, requires_grad=True), r"score returned Tensor of shape \(5,\)"),
        (
            np.array([0, np.nan, np.inf, 0, 0]),
            rf"score returned numbers that are not finite for b \(nan\), c \(inf\); {FIVE}",
        ),
    ],
)
def test_scores_that_are_no_number_for_each_item(scores: Any, message: str) -> None:
    with pytest.raises(ComponentError, match=f"{NAME}{message}"):
        Mine(scores=scores).select(POOL, COUNT)


@pytest.mark.parametrize("scores", [[0, 3, 1, 2, 9], torch.tensor([0.0, 3, 1, 2, 9])])
def test_what_converts_to_an_array_is_taken(scores: Any) -> None:
    assert Mine(scores=scores).select(POOL, COUNT).ids == ("e", "b", "d")


WRONG = [
    ([0, 1, 2], "found list of length 3"),
    ((np.arange(3), np.ones(3)), "found tuple of length 2"),
    (picks([0, 1], [1.0, 2.0]), r"indices: 2 instead of 3\n  scores: list of length 2"),
    (picks([0, 1, 2, 3], [1.0] * 4), "indices: 4 instead of 3"),
    (picks([0, 1, 1]), "indices twice: 1"),
    (picks([0, -1, 5]), "indices outside the pool: -1, 5"),
    (picks([0.0, 1.0, 2.0]), "indices: list of length 3"),
    (picks(np.array([True, False, True])), r"indices: ndarray of shape \(3,\), bool"),
    (picks(np.zeros((3, 1), int)), r"indices: ndarray of shape \(3, 1\), int64"),
    (picks(["a", "b", "c"]), "indices: list of length 3"),
    (picks(None, None), "indices: None\n  scores: None"),
    (picks([0, 1, 2], [1.0, np.nan, np.inf]), "scores that are no finite numbers: nan, inf"),
    (picks([0, 1, 2], np.ones((3, 1))), r"scores: ndarray of shape \(3, 1\), float64"),
    (picks([0, 1, 2], reasons=None), "reasons: None"),
    (picks([0, 1, 2], reasons=({},)), "reasons: 1 instead of 3"),
    (picks([0, 1, 2], reasons=({}, "near", {})), r"reasons\[1\]: str of length 4"),
    (picks([0, 1, 2], reasons=({"p": np.nan}, {}, {})), r"reasons\[0\]: Out of range float"),
    (picks([0, 1, 2], reasons=({"p": object}, {}, {})), r"reasons\[0\]: expected JSON values"),
]


@pytest.mark.parametrize(("returned", "message"), WRONG)
def test_picks_that_are_not_what_was_asked_for(returned: Any, message: str) -> None:
    expected = "expected Picks.indices, scores, reasons.: 3 distinct positions in the pool"
    with pytest.raises(
        ComponentError, match=f"{NAME}_pick returned wrong picks:\n  {message}(.|\n)*{expected}"
    ):
        Mine(returned).select(POOL, COUNT)


WRAPPERS: list[Callable[[QueryStrategy], QueryStrategy]] = [
    ClassBalanced,
    lambda inner: Subsample(inner, fraction=1.0),
    lambda inner: EpsilonRandom(inner, epsilon=0.0),
    lambda inner: Mixture([MixturePart(inner, 1.0)]),
    lambda inner: QueryStrategy.by_name("deduplicate")(inner, distance=0.0),
    lambda inner: QueryStrategy.by_name("switch")(
        before=inner, after=inner, when="labels_per_class", threshold=1, num_classes=2
    ),
]


@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("returned", [picks([0, 1, 1]), picks([0, 1], [1.0, 2.0]), [0, 1, 2]])
def test_a_wrapper_names_the_strategy_inside(
    wrap: Callable[[QueryStrategy], QueryStrategy], returned: Any
) -> None:
    pool = Pool(
        POOL.ids,
        logits=POOL.logits,
        embeddings=POOL.embeddings,
        labeled_labels=np.empty(0, np.int64),
    )
    with pytest.raises(ComponentError, match=f"{NAME}_pick returned wrong picks"):
        wrap(Mine(returned)).select(pool, COUNT)


@pytest.mark.parametrize(
    ("needs", "found"),
    [
        ("logits", '"logits"'),
        (None, "null"),
        (["logits", "features"], "features"),
        (frozenset({"logit"}), "logit"),
    ],
)
def test_needs_that_no_pool_has(needs: Any, found: str) -> None:
    strategy = Mine(scores=np.zeros(5))
    strategy.needs = needs
    message = f"{NAME}needs: expected a set of some of logits, mc_logits, .*, found {found}"
    for use in (
        lambda: strategy.select(POOL, 1),
        lambda: ActiveLearningSettings(strategy),
        lambda: SampleSelector(None, strategy),
        lambda: ClassBalanced(strategy),
        lambda: Mixture([MixturePart(strategy, 1.0)]),
    ):
        with pytest.raises(ComponentError, match=message):
            use()


def test_a_list_of_needs_is_as_good_as_a_set() -> None:
    strategy = Mine(picks([0, 1, 2]))
    strategy.needs = ["logits"]  # type: ignore[assignment]
    assert ClassBalanced(strategy).needs == {"logits"}
    assert strategy.select(POOL, COUNT).ids == ("a", "b", "c")


class Selects(QueryStrategy):
    """Writes `select` itself."""

    def __init__(self, returned: Any) -> None:
        self.returned = returned

    @overrides(check_signature=False)
    def select(self, pool: Pool, query_size: int, generator: Any = 0) -> Any:
        return self.returned


def selection(*ids: str) -> Selection:
    return Selection(ids, np.zeros(len(ids), np.float32), ({},) * len(ids), 0.0, 0)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "select returned None; expected a Selection"),
        (["a", "b", "c"], "select returned list of length 3; expected a Selection"),
        (selection("a", "b", "x"), "select returned ids that are not in the pool: x"),
        (selection("a", "b"), "select returned wrong picks:\n  indices: 2 instead of 3"),
        (selection("a", "b", "b"), "select returned wrong picks:\n  indices twice: 1"),
    ],
)
def test_a_select_of_its_own(returned: Any, message: str) -> None:
    with pytest.raises(ComponentError, match=rf'the strategy "Selects" \(.*Selects\): {message}'):
        selected(Selects(returned), POOL, COUNT, 0)


def test_a_right_select_of_its_own_is_taken() -> None:
    right = selection("b", "a", "c")
    assert selected(Selects(right), POOL, COUNT, 0) is right
