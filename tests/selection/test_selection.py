"""What `QueryStrategy.select` returns, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Selection, named_reason
from allencv_al.selection.strategies.base import QueryStrategy


class Preferred(QueryStrategy):
    """Scores that the test gives."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = np.asarray(scores, np.float32)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        return self.scores


POOL = Pool(["a", "b", "c", "d"])


def test_a_selection_is_immutable() -> None:
    selection = Selection((), np.empty(0, np.float32), (), 0.0, 0)
    with pytest.raises(AttributeError):
        selection.ids = ("a",)  # type: ignore[misc]


def test_numbers_of_classes_and_of_labeled_items_become_names() -> None:
    reason = {"rank": 0, "predicted": 1, "runner_up": 0, "nearest_labeled": 2, "distance": 0.5}
    assert named_reason({"class": 1, "run": 4}, {1: "dog"}, []) == {"class": "dog", "run": 4}
    assert named_reason(reason, {0: "cat", 1: "dog"}, ["a", "b", "c"]) == {
        "rank": 0,
        "predicted": "dog",
        "runner_up": "cat",
        "nearest_labeled": "c",
        "distance": 0.5,
    }


def test_what_has_no_name_stays_as_it_is() -> None:
    reason = {"predicted": 7, "weights": [1, 2], "nearest": "mean"}
    assert named_reason(reason, {0: "cat"}, []) == reason
