"""Tables of a comparison and its verdict, which HTML and Markdown both show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from allencv_al.comparison.budget_thirds import StrategyThird
from allencv_al.comparison.label_savings import LabelSaving
from allencv_al.comparison.statistics import ComparisonSummary, StrategySummary
from allencv_al.reports import figure_formats as formats
from allencv_al.reports.page import TextTable

_MOST_LABEL_COUNTS = 6


def aubc_table(summary: ComparisonSummary) -> TextTable:
    """Return the table of the areas, the highest first, with tests against the baseline."""
    versus = f"Δ {summary.baseline}"
    columns = ["Strategy", "Seeds", "AUBC %", "AUBC % (log)", "Final %"]
    tested = summary.baseline is not None
    if tested:
        columns += [versus, "Won / tied / lost", "t test p", "t test p, Holm"]
        columns += ["Wilcoxon p", "Wilcoxon p, Holm"]
    rows = []
    for found in summary.ranked():
        row = [
            found.strategy,
            str(len(found.seeds)),
            formats.mean_sd(found.aubc_mean, found.aubc_sd),
            formats.mean_sd(found.aubc_log_mean, None),
            formats.mean_sd(found.final_mean, found.final_sd),
        ]
        rows.append([*row, *(_tests(found) if tested else ())])
    hints = {
        "Seeds": "Number of runs",
        "AUBC %": "Area under the curve divided by its range: the mean accuracy, ± standard "
        "deviation over the seeds",
        "AUBC % (log)": "The same over the logarithm of the labels, which weighs few labels more",
        "Final %": "At the last label count, ± standard deviation over the seeds",
        versus: "Mean difference of the AUBC over the seeds that both have, in points, and its 95% "
        "confidence interval by the t distribution",
        "Won / tied / lost": "Seeds in which its AUBC was higher, equal, lower",
        "t test p": "Paired t test on the AUBC, two-sided",
        "t test p, Holm": "Corrected for the number of strategies",
        "Wilcoxon p": "Wilcoxon's signed-rank test on the AUBC, two-sided and exact",
        "Wilcoxon p, Holm": "Corrected for the number of strategies",
    }
    return TextTable("Area under the learning curve (AUBC)", columns, rows, hints)


def accuracy_table(summary: ComparisonSummary, metric: str = "accuracy") -> TextTable:
    """Return the mean curves at some label counts: the chart in numbers."""
    places = _some_places(len(summary.labels))
    columns = ["Strategy", *(f"@{summary.labels[place]}" for place in places)]
    rows = [
        [found.strategy, *(_at(found, place) for place in places)] for found in summary.ranked()
    ]
    hints = dict.fromkeys(columns[1:], "At this number of labels")
    return TextTable(f"Mean {metric} in % at some label counts", columns, rows, hints)


def thirds_table(summary: ComparisonSummary) -> TextTable | None:
    """Return the means in the thirds of the budget; None where there are no thirds."""
    if not summary.thirds:
        return None
    columns = [
        f"{third.name} ({third.first_labels:,}–{third.last_labels:,})" for third in summary.thirds
    ]
    cells = [{one.strategy: one for one in third.strategies} for third in summary.thirds]
    rows = [
        [found.strategy, *(_third(of_third[found.strategy]) for of_third in cells)]
        for found in summary.ranked()
    ]
    hint = "Mean over the label counts in parentheses, ± standard error over the seeds"
    return TextTable(
        "Thirds of the budget", ["Strategy", *columns], rows, dict.fromkeys(columns, hint)
    )


def savings_table(summary: ComparisonSummary) -> TextTable | None:
    """Return the labels needed to reach accuracies of the baseline; None without savings."""
    if not summary.savings:
        return None
    levels = list(dict.fromkeys(saving.level for saving in summary.savings))
    found = {(saving.strategy, saving.level): saving for saving in summary.savings}
    columns = ["Strategy", *(formats.percent(level) for level in levels)]
    # The labels of the baseline depend on the seeds of the pair: the largest pair has most of them
    whole = {level: _largest(found, level).baseline_labels for level in levels}
    rows = [[str(summary.baseline), *(_labels(whole[level]) for level in levels)]]
    for strategy in (one.strategy for one in summary.ranked()):
        # The baseline saves nothing over itself, and has its row above
        if any((strategy, level) in found for level in levels):
            rows.append([strategy, *(_saving(found[strategy, level]) for level in levels)])
    caption = f"Labels needed, and how many times as many {summary.baseline} needs"
    return TextTable(caption, columns, rows)


def bounds_table(summary: ComparisonSummary) -> TextTable | None:
    """Return what oracles reached, and the share of their gain that each strategy took.

    None without oracles.
    """
    if not summary.bounds:
        return None
    names = [one.strategy for one in summary.ranked() if one.strategy != summary.baseline]
    rows = [
        [
            bound.strategy,
            str(len(bound.seeds)),
            formats.mean_sd(bound.aubc_mean, None),
            formats.mean_sd(float(bound.mean_curve[-1]), None),
            *(formats.percent(bound.gain_shares.get(name)) for name in names),
        ]
        for bound in summary.bounds
    ]
    shares = dict.fromkeys(
        names, f"Share of the bound's gain over {summary.baseline} that it took, of the AUBC"
    )
    return TextTable(
        "Upper bounds, which look at the test images, and the share of their gain taken",
        ["Upper bound", "Seeds", "AUBC %", "Final %", *names],
        rows,
        shares,
    )


def penalty_table(summary: ComparisonSummary) -> TextTable:
    """Return the penalty matrix, with the strategies ordered by AUBC."""
    penalty = summary.penalty
    order = [penalty.strategies.index(found.strategy) for found in summary.ranked()]
    names = [penalty.strategies[place] for place in order]
    rows = [
        [
            penalty.strategies[row],
            *(f"{penalty.shares[row, column]:.2f}" if row != column else "" for column in order),
        ]
        for row in order
    ]
    rows.append(["beaten, mean", *(f"{penalty.penalties[column]:.2f}" for column in order)])
    # The last row is the only one in which a high share is bad
    shades = [
        # The diagonal has no share: no strategy is compared with itself
        [("wrong" if row is rows[-1] else "right", float(cell or 0)) for cell in row[1:]]
        for row in rows
    ]
    columns = ["Row beats column", *names]
    style = "matrix with-sum"
    return TextTable("Pairwise penalty matrix", columns, rows, shades=shades, style=style)


def verdict(summary: ComparisonSummary) -> str:
    """Return the finding in a sentence or two: the highest strategy, and the significance of that.

    AUBC is the area under the learning curve divided by its range: the mean accuracy on the way.
    """
    best = summary.ranked()[0]
    height = formats.percent(best.aubc_mean, 2)
    text = f"{best.strategy} has the highest mean area under the learning curve (AUBC): {height}"
    compared = [found for found in summary.strategies if found.comparison is not None]
    if not compared:
        return f"{text}."
    if best.comparison is not None:
        found = best.comparison.aubc
        side = "above" if found.mean_difference >= 0 else "below"
        text += f", {100 * abs(found.mean_difference):.2f} points {side} {summary.baseline}"
        if found.t_p_value is not None:
            holm = formats.p_value(best.comparison.t_p_holm)
            text += f" over {found.seeds} paired seeds (t test, Holm-corrected p = {holm})"
    significance = _significant(summary.baseline or "", compared)
    # A finding of no difference comes first, lest the highest be taken for better
    return (
        f"{significance} {text}." if significance.startswith("None") else f"{text}. {significance}"
    )


def _significant(baseline: str, compared: Sequence[StrategySummary]) -> str:
    if all(found.comparison is None or found.comparison.t_p_holm is None for found in compared):
        seeds = max(found.comparison.aubc.seeds for found in compared if found.comparison)
        return (
            "One seed allows no test."
            if seeds == 1
            else "Differences that do not vary allow no t test."
        )
    better: list[str] = []
    worse: list[str] = []
    for found in compared:
        comparison = found.comparison
        if comparison and comparison.t_p_holm is not None and comparison.t_p_holm < 0.05:
            higher = comparison.aubc.mean_difference > 0
            (better if higher else worse).append(found.strategy)
    if not better and not worse:
        return f"None differs significantly from {baseline} by the corrected t test."
    parts = [
        f"significantly {how} than {baseline}: {', '.join(names)}"
        for how, names in (("better", better), ("worse", worse))
        if names
    ]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]} (corrected t test, p < 0.05)."


def _third(found: StrategyThird) -> str:
    text = formats.mean_sd(found.mean, found.standard_error)
    if found.comparison is None:
        return text
    text += f"\n({formats.points(found.comparison.mean_difference)}"
    p = found.t_p_holm
    return f"{text})" if p is None else f"{text}, p = {formats.p_value(p)})"


def _tests(found: StrategySummary) -> list[str]:
    if found.comparison is None:
        # As many cells as the columns of the tests in `aubc_table`
        return [formats.NONE] * 6
    comparison, aubc = found.comparison, found.comparison.aubc
    difference = formats.points(aubc.mean_difference)
    if aubc.confidence is not None:
        low, high = map(formats.points, aubc.confidence)
        difference += f"\n({low} to {high})"
    return [
        difference,
        f"{aubc.wins} / {aubc.ties} / {aubc.losses}",
        formats.p_value(aubc.t_p_value),
        formats.p_value(comparison.t_p_holm),
        formats.p_value(aubc.wilcoxon_p_value),
        formats.p_value(comparison.wilcoxon_p_holm),
    ]


def _at(found: StrategySummary, place: int) -> str:
    text = f"{100 * found.mean_curve[place]:.1f}"
    if found.band_low is None or found.band_high is None:
        return text
    return f"{text}\n({100 * found.band_low[place]:.1f}–{100 * found.band_high[place]:.1f})"


def _some_places(count: int) -> list[int]:
    # First and last count always, and between them so many that the table fits a page
    spaced = np.linspace(0, count - 1, min(count, _MOST_LABEL_COUNTS))
    return [int(place) for place in np.rint(spaced)]


def _largest(found: dict[tuple[str, float], LabelSaving], level: float) -> LabelSaving:
    return max(
        (saving for (_, at), saving in found.items() if at == level), key=lambda one: one.seeds
    )


def _labels(labels: float | None) -> str:
    return "not reached" if labels is None else formats.count(labels)


def _saving(saving: LabelSaving) -> str:
    if saving.ratio is None:
        return _labels(saving.strategy_labels)
    text = f"{formats.count(saving.strategy_labels)}: {saving.ratio:.2f}×"
    if saving.low is None:
        return text
    high = "∞" if saving.high is None else f"{saving.high:.2f}"
    return f"{text}\n({saving.low:.2f} to {high})"
