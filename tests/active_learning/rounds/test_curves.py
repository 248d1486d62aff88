"""Areas under curves, and curves side by side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allencv_al.active_learning.rounds.curves import (
    Curve,
    aubc,
    curve_from_records,
    tabulate,
)
from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.common.errors import DataError


def curve(labels: list[int], values: list[float], strategy: str = "margin", seed: int = 0) -> Curve:
    return Curve(strategy, seed, np.array(labels), np.array(values))


points = st.lists(
    st.tuples(st.integers(1, 10_000), st.floats(0, 1)),
    min_size=2,
    max_size=30,
    unique_by=lambda p: p[0],
)


@given(points)
def test_the_area_is_that_of_scikit_learn(found: list[tuple[int, float]]) -> None:
    from sklearn.metrics import auc

    labels, values = zip(*sorted(found), strict=True)
    one = curve(list(labels), list(values))
    assert aubc(one) == pytest.approx(auc(labels, values) / (labels[-1] - labels[0]), abs=1e-12)
    logs = np.log(labels)
    assert aubc(one, log_x=True) == pytest.approx(
        auc(logs, values) / (logs[-1] - logs[0]), abs=1e-9
    )


def test_a_level_curve_has_its_height_as_area_whatever_the_steps() -> None:
    assert aubc(curve([10, 11, 500], [0.7, 0.7, 0.7])) == pytest.approx(0.7)
    assert aubc(curve([10, 11, 500], [0.7, 0.7, 0.7]), log_x=True) == pytest.approx(0.7)
    assert aubc(curve([10], [0.7])) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("labels", "values", "fault"),
    [
        ([], [], "no points"),
        ([10, 20], [0.5], "one value per label count"),
        ([10, 10], [0.5, 0.6], "increasing"),
        ([20, 10], [0.5, 0.6], "increasing"),
        ([0, 10], [0.5, 0.6], "at least 1"),
        ([1.5, 10.0], [0.5, 0.6], "whole"),
        ([10, 20], [0.5, float("nan")], "fractions"),
        ([10, 20], [0.5, float("inf")], "fractions"),
        ([10, 20], [50.0, 60.0], "fractions from 0 to 1"),
        ([10, 20], [-0.1, 0.5], "fractions"),
    ],
)
def test_a_curve_that_is_none_is_refused_by_name(labels: list, values: list, fault: str) -> None:
    with pytest.raises(DataError, match=f"curve of margin, seed 3: .*{fault}"):
        Curve("margin", 3, np.array(labels), np.array(values))


def test_curves_of_one_grid_are_put_side_by_side_as_they_are() -> None:
    table = tabulate(
        [
            curve([10, 20], [0.1, 0.2], seed=5),
            curve([10, 20], [0.3, 0.4], "random", seed=1),
            curve([10, 20], [0.5, 0.6], seed=1),
        ]
    )
    assert table.strategies == ("margin", "random")
    assert table.seeds == {"margin": (1, 5), "random": (1,)}
    assert table.values["margin"].tolist() == [[0.5, 0.6], [0.1, 0.2]]
    assert table.common_seeds("margin", "random") == (1,)
    assert table.rows("margin", [5, 1]).tolist() == [[0.1, 0.2], [0.5, 0.6]]
    assert not table.interpolated


def test_curves_of_different_grids_meet_where_all_were_measured_and_keep_their_area() -> None:
    long = curve([10, 20, 40, 80], [0.1, 0.3, 0.4, 0.9])
    short = curve([20, 30, 70], [0.2, 0.6, 0.7], "random")
    table = tabulate([long, short])
    assert table.interpolated
    assert table.labels.tolist() == [20, 30, 40, 70]
    assert table.values["random"][0] == pytest.approx([0.2, 0.6, 0.625, 0.7])
    assert table.values["margin"][0] == pytest.approx([0.3, 0.35, 0.4, 0.4 + 0.5 * 30 / 40])
    widened = Curve("random", 0, table.labels, table.values["random"][0])
    assert aubc(widened) == pytest.approx(aubc(short))


def test_curves_that_share_no_label_count_are_refused() -> None:
    with pytest.raises(DataError, match=r"margin, seed 0 ends at 20 labels.*random, seed 7 .*30"):
        tabulate([curve([10, 20], [0.1, 0.2]), curve([30, 40], [0.1, 0.2], "random", 7)])


def test_no_curves_and_a_seed_that_is_there_twice_are_refused() -> None:
    with pytest.raises(DataError, match="no curves"):
        tabulate([])
    with pytest.raises(DataError, match="margin has two curves for seed 0"):
        tabulate([curve([1], [0.1]), curve([1], [0.2])])


def test_the_rounds_of_a_run_give_its_curve() -> None:
    records = [
        RoundRecord(2, 20, {"accuracy": 0.6}),
        RoundRecord(0, 0),
        RoundRecord(1, 10, {"accuracy": 0.5}),
        RoundRecord(3, 20, {"accuracy": 0.7}),  # nothing was labeled in round 2
        RoundRecord(4, 30, {"accuracy": None}),
    ]
    found = curve_from_records(records, "badge", seed=4)
    assert found is not None
    assert (found.strategy, found.seed) == ("badge", 4)
    assert found.labels.tolist() == [10, 20]
    assert found.values.tolist() == [0.5, 0.7]
    assert curve_from_records(records, "badge", 4, metric="macro_f1") is None


def test_a_round_without_a_number_is_left_out_of_the_curve() -> None:
    values = [0.5, None, float("nan"), 0.8]
    records = [
        RoundRecord(round, 10 * (round + 1), {"accuracy": value})
        for round, value in enumerate(values)
    ]
    found = curve_from_records(records, "badge", seed=4)
    assert found is not None
    assert (found.labels.tolist(), found.values.tolist()) == ([10, 40], [0.5, 0.8])
    assert curve_from_records(records[1:3], "badge", seed=4) is None
