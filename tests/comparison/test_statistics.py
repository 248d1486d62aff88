"""The summary of a comparison: complete, honest about what is missing, and strict JSON."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from scipy import stats

from allencv_al.active_learning.rounds.curves import Curve, aubc
from allencv_al.common.errors import DataError
from allencv_al.comparison.report.comparison_tables import verdict
from allencv_al.comparison.significance import Bootstrap, holm
from allencv_al.comparison.statistics import ComparisonSummary, summarize

LABELS = np.arange(10, 110, 10)
RATES = {"random": 0.03, "margin": 0.05, "badge": 0.04}


def curves(seeds: int = 8, without: tuple[tuple[str, int], ...] = ()) -> list[Curve]:
    found = []
    for place, (name, rate) in enumerate(RATES.items()):
        for seed in range(seeds):
            noise = np.random.default_rng([seed, place]).normal(0, 0.01, len(LABELS))
            if (name, seed) not in without:
                values = np.clip(0.95 - 0.5 * np.exp(-rate * LABELS) + noise, 0, 1)
                found.append(Curve(name, seed, LABELS, values))
    return found


def by_name(summary: ComparisonSummary) -> dict:
    return {found.strategy: found for found in summary.strategies}


def test_each_strategy_is_summed_up_over_its_seeds() -> None:
    given = curves()
    summary = summarize(given)
    assert [found.strategy for found in summary.strategies] == list(RATES)
    assert [found.strategy for found in summary.ranked()] == ["margin", "badge", "random"]
    for name, found in by_name(summary).items():
        mine = [curve for curve in given if curve.strategy == name]
        areas = [aubc(curve) for curve in mine]
        assert found.aubc == pytest.approx(areas)
        assert found.aubc_mean == pytest.approx(np.mean(areas))
        assert found.aubc_sd == pytest.approx(np.std(areas, ddof=1))
        assert found.aubc_log_mean == pytest.approx(np.mean([aubc(c, log_x=True) for c in mine]))
        assert found.final_mean == pytest.approx(np.mean([c.values[-1] for c in mine]))
        assert found.mean_curve == pytest.approx(np.mean([c.values for c in mine], axis=0))
        assert (found.band_low < found.mean_curve).all()
        assert (found.mean_curve < found.band_high).all()
    assert summary.notes == ()


def test_comparisons_with_the_baseline_are_paired_and_corrected() -> None:
    given = curves()
    found = by_name(summarize(given))
    areas = {n: [aubc(c) for c in given if c.strategy == n] for n in RATES}
    p_values = [stats.ttest_rel(areas[n], areas["random"]).pvalue for n in ("margin", "badge")]
    for place, name in enumerate(("margin", "badge")):
        comparison = found[name].comparison
        assert comparison.aubc.t_p_value == pytest.approx(p_values[place])
        assert comparison.t_p_holm == pytest.approx(holm(p_values)[place])
        assert comparison.aubc.wilcoxon_p_value == pytest.approx(2 / 2**8)
        assert comparison.wilcoxon_p_holm == pytest.approx(4 / 2**8)
    assert found["random"].comparison is None


def test_missing_cells_leave_the_pairs_that_both_have_and_are_named() -> None:
    given = curves(without=(("margin", 2), ("margin", 5), ("random", 0)))
    summary = summarize(given)
    areas = {(c.strategy, c.seed): aubc(c) for c in given}
    common = [1, 3, 4, 6, 7]
    differences = [areas["margin", seed] - areas["random", seed] for seed in common]
    comparison = by_name(summary)["margin"].comparison
    assert comparison.aubc.seeds == 5
    assert comparison.aubc.mean_difference == pytest.approx(np.mean(differences))
    notes = "\n".join(summary.notes)
    assert "margin has no run of seed 2, 5" in notes
    assert "random has no run of seed 0" in notes
    assert summary.profile.seeds == 5


def test_a_strategy_without_a_common_seed_is_shown_and_not_compared() -> None:
    given = [*curves(3), Curve("entropy", 9, LABELS, np.linspace(0.2, 0.5, 10))]
    summary = summarize(given)
    assert by_name(summary)["entropy"].comparison is None
    assert any("entropy shares no seed with random" in note for note in summary.notes)
    assert any("no performance profile" in note for note in summary.notes)
    assert by_name(summary)["margin"].comparison.aubc.seeds == 3


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (1, "one paired seed"),
        (5, r"With 5 paired seeds .* is 0.0625, .* at least 7 seeds for 2 comparisons .*\(6 with"),
        (6, "With 6 paired seeds and 2 comparisons .* 0.0625, so it cannot .* at least 7 seeds"),
        (7, None),
    ],
)
def test_too_few_seeds_for_wilcoxon_are_said_with_the_number_needed(
    seeds: int, said: str | None
) -> None:
    notes = summarize(curves(seeds)).notes
    if said is None:
        assert notes == ()
    else:
        assert len(notes) == 1
        assert re.search(said, notes[0])


def test_differences_that_do_not_vary_are_said_and_not_significant() -> None:
    given = [
        Curve(name, seed, LABELS, np.full(10, height + seed / 10))
        for name, height in (("random", 0.5), ("margin", 0.51))
        for seed in range(3)
    ]
    summary = summarize(given)
    found = by_name(summary)["margin"].comparison
    assert (found.aubc.t_p_value, found.t_p_holm) == (None, None)
    assert found.aubc.mean_difference == pytest.approx(0.01)
    assert "margin differs from random by the same amount in each of 3 paired seeds" in "".join(
        summary.notes
    )
    assert verdict(summary).endswith("Differences that do not vary allow no t test.")


def test_without_the_baseline_nothing_is_compared_and_that_is_said() -> None:
    summary = summarize(curves(3), baseline="typiclust")
    assert summary.baseline is None
    assert summary.savings == ()
    assert all(found.comparison is None for found in summary.strategies)
    assert any("typiclust is not among the strategies" in note for note in summary.notes)


def test_different_label_counts_are_interpolated_and_that_is_said() -> None:
    given = [*curves(2), Curve("entropy", 0, np.array([15, 80]), np.array([0.4, 0.8]))]
    summary = summarize(given)
    assert (summary.labels[0], summary.labels[-1]) == (15, 80)
    assert any("interpolated linearly, from 15 to 80 labels" in note for note in summary.notes)


@pytest.mark.parametrize("seeds", [1, 2, 7])
def test_the_json_is_strict_and_the_same_each_time(seeds: int) -> None:
    texts = {
        json.dumps(summarize(curves(seeds)).to_json(), allow_nan=False, sort_keys=True)
        for _ in range(2)
    }
    assert len(texts) == 1
    value = json.loads(texts.pop())
    assert value["strategies"][1]["strategy"] == "margin"
    assert value["labels"] == LABELS.tolist()
    assert len(value["profile"]["shares"]) == 3
    assert len(value["penalty"]["penalties"]) == 3
    assert (value["strategies"][1]["band_low"] is None) == (seeds == 1)


def test_one_strategy_with_one_point_is_a_summary_too() -> None:
    summary = summarize([Curve("random", 0, np.array([10]), np.array([0.5]))])
    assert by_name(summary)["random"].aubc_mean == 0.5
    json.dumps(summary.to_json(), allow_nan=False)


def test_another_bootstrap_gives_another_band() -> None:
    one, two = (by_name(summarize(curves(), bootstrap=Bootstrap(seed=s))) for s in (0, 1))
    assert (one["margin"].band_low != two["margin"].band_low).any()
    assert (one["margin"].mean_curve == two["margin"].mean_curve).all()


def test_no_curves_are_refused() -> None:
    with pytest.raises(DataError, match="no curves"):
        summarize([])
