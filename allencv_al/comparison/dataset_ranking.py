"""Strategies ranked over several data sets: Friedman's test and Nemenyi's critical difference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from allencv_al.active_learning.rounds.curves import FloatArray
from allencv_al.common.errors import DataError
from allencv_al.common.files.atomic_file import write_json, write_text
from allencv_al.comparison.report.result_tables import markdown_table
from allencv_al.comparison.significance import ALPHA
from allencv_al.reports import figure_formats as formats
from allencv_al.reports.page import TextTable


@dataclass(frozen=True, eq=False)
class DatasetRanking:
    """Ranks of strategies over data sets (Demšar 2006, JMLR 7:1-30).

    Args:
        data_sets: Their names, `[N]`.
        strategies: Their names, the best mean rank first, `[K]`.
        heights: The figure of each strategy on each data set, more is better, `[K, N]`.
        ranks: Rank 1 is the best of a data set; equal figures share their mean rank, `[K, N]`.
        friedman_p: p value of Friedman's test that all are alike; None for fewer than three
            strategies or two data sets.
        critical_difference: Mean ranks that differ by at least this differ at the 5 % level by
            Nemenyi's test; None for a single data set.
    """

    data_sets: tuple[str, ...]
    strategies: tuple[str, ...]
    heights: FloatArray
    ranks: FloatArray
    friedman_p: float | None
    critical_difference: float | None

    @property
    def mean_ranks(self) -> FloatArray:
        """The mean over the data sets, `[K]`."""
        means: FloatArray = self.ranks.mean(axis=1)
        return means

    def groups(self) -> list[tuple[str, ...]]:
        """Return the largest groups of strategies that Nemenyi's test does not tell apart."""
        if self.critical_difference is None:
            return []
        means = self.mean_ranks
        groups: list[tuple[str, ...]] = []
        end = 0
        for first in range(len(means)):
            last = int((means < means[first] + self.critical_difference).sum())
            if last > end and last - first > 1:  # else it is within the group before
                groups.append(self.strategies[first:last])
            end = max(end, last)
        return groups

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "data_sets": list(self.data_sets),
            "strategies": list(self.strategies),
            "heights": self.heights.tolist(),
            "ranks": self.ranks.tolist(),
            "mean_ranks": self.mean_ranks.tolist(),
            "friedman_p": self.friedman_p,
            "critical_difference": self.critical_difference,
            "groups": [list(group) for group in self.groups()],
        }

    def table(self) -> TextTable:
        """Return the figures with their ranks, the best mean rank first."""
        rows = [
            [
                name,
                f"{mean:.2f}",
                *(
                    f"{formats.percent(height)} ({rank:g})"
                    for height, rank in zip(self.heights[place], self.ranks[place], strict=True)
                ),
            ]
            for place, (name, mean) in enumerate(zip(self.strategies, self.mean_ranks, strict=True))
        ]
        columns = ["Strategy", "Mean rank", *self.data_sets]
        return TextTable("Mean ranks", columns, rows)

    def finding(self) -> str:
        """Return the result of the tests in a sentence or two."""
        if self.critical_difference is None:
            return "One data set, or one strategy, tests nothing."
        text = (
            f"Nemenyi's critical difference of mean ranks is {self.critical_difference:.2f} "
            f"({len(self.strategies)} strategies, {len(self.data_sets)} data sets, p < {ALPHA})."
        )
        if self.friedman_p is not None:
            alike = "differ" if self.friedman_p < ALPHA else "are not shown to differ"
            text = (
                f"By Friedman's test they {alike} (p = {formats.p_value(self.friedman_p)}). {text}"
            )
        groups = "; ".join(", ".join(group) for group in self.groups())
        return f"{text} Not told apart: {groups}." if groups else text


def rank_over_data_sets(heights: Mapping[str, Mapping[str, float]]) -> DatasetRanking:
    """Rank the strategies that all data sets have.

    Args:
        heights: By data set, then by strategy: its mean AUBC, or another figure of which more is
            better.

    Raises:
        DataError: They have none in common.
    """
    data_sets = tuple(heights)
    shared = [
        name
        for name in next(iter(heights.values()))
        if all(name in found for found in heights.values())
    ]
    if not shared:
        raise DataError(f"no strategy has been measured on all of {', '.join(data_sets)}")
    values = np.array([[heights[data_set][name] for data_set in data_sets] for name in shared])
    # Ties share the mean of their ranks
    ranks = stats.rankdata(-values, axis=0)
    order = np.argsort(ranks.mean(axis=1), kind="stable")
    count, sets = len(shared), len(data_sets)
    friedman = None
    if count > 2 and sets > 1:
        p = float(stats.friedmanchisquare(*values).pvalue)
        friedman = p if math.isfinite(p) else 1.0  # all ties
    return DatasetRanking(
        data_sets,
        tuple(shared[place] for place in order),
        values[order],
        ranks[order],
        friedman,
        _critical_difference(count, sets) if count > 1 and sets > 1 else None,
    )


def _critical_difference(strategies: int, data_sets: int) -> float:
    # q / sqrt(2) is Demšar's q: the studentized range with infinitely many degrees of freedom
    quantile = float(stats.studentized_range.ppf(1 - ALPHA, strategies, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(strategies * (strategies + 1) / (6 * data_sets))


def write_ranking(folder: Path, ranking: DatasetRanking) -> None:
    """Write `ranking.md` and `ranking.json` to a folder."""
    text = (
        "Mean area under the curve in %, in parentheses its rank on the data set; small mean ranks "
        "are good."
    )
    lines = [
        "# Strategies over data sets",
        "",
        ranking.finding(),
        *markdown_table(ranking.table(), text),
    ]
    write_text(folder / "ranking.md", "\n".join(lines) + "\n")
    write_json(folder / "ranking.json", ranking.to_json())
