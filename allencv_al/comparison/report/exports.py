"""Files of a comparison for papers and other programs: picks, Parquet, LaTeX, PDF and SVG."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files.atomic_file import write_bytes, write_text
from allencv_al.common.files.tables import parquet_bytes
from allencv_al.comparison.finished_run import FinishedRun
from allencv_al.comparison.report.comparison_report import ComparisonContext, comparison_lines
from allencv_al.comparison.report.comparison_tables import (
    accuracy_table,
    aubc_table,
    bounds_table,
    penalty_table,
    savings_table,
    thirds_table,
)
from allencv_al.comparison.report.result_tables import write_results_csv
from allencv_al.comparison.statistics import ComparisonSummary
from allencv_al.reports.line_chart import ChartText, write_line_chart
from allencv_al.reports.page import TextTable

PICKS_NAME = "picks"

# Characters with a meaning in LaTeX, and those that its fonts may lack
_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": r"$-$",
    "∞": r"$\infty$",
    "Δ": r"$\Delta$",
    "–": "--",
    "\n": " ",
}
_SPECIAL = re.compile("|".join(map(re.escape, _LATEX)))


def check_exports(exports: Collection[str]) -> None:
    """Raise a ConfigurationError where an export needs a package that is not installed."""
    if "parquet" not in exports:
        return
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            '--export parquet: needs pyarrow; pip install "allencv-al[parquet]" adds it'
        ) from None


def write_exports(
    folder: Path,
    exports: Collection[str],
    runs: Sequence[FinishedRun],
    summary: ComparisonSummary,
    context: ComparisonContext,
) -> None:
    """Write the asked for files to the folder of a comparison.

    Args:
        folder: The folder.
        exports: Some of "picks" (`picks.csv`), "parquet" (`results.parquet`, and `picks.parquet` if
            picks are asked for), "latex" (`results.tex`, for the package booktabs), "pdf" and "svg"
            (`learning_curves`).
        runs: The runs.
        summary: From `summarize`.
        context: Further facts.
    """
    # Again, though the command asked before the runs: a caller in Python may not have
    check_exports(exports)
    tables = {"results": [row for run in runs for row in run.rows()]}
    if PICKS_NAME in exports:
        tables[PICKS_NAME] = [row for run in runs for row in run.picks()]
        write_results_csv(folder / f"{PICKS_NAME}.csv", tables[PICKS_NAME])
    if "parquet" in exports:
        for name, rows in tables.items():
            write_bytes(folder / f"{name}.parquet", parquet_bytes(rows))
    if "latex" in exports:
        write_text(folder / "results.tex", "\n".join(_latex_lines(summary, context)) + "\n")
    text = ChartText(y=context.metric, title="")
    for kind in ("pdf", "svg"):
        if kind in exports:
            path = folder / f"learning_curves.{kind}"
            write_line_chart(path, comparison_lines(summary), text)


def _latex_lines(summary: ComparisonSummary, context: ComparisonContext) -> Iterator[str]:
    yield r"% \usepackage{booktabs}"
    for table in (
        aubc_table(summary),
        thirds_table(summary),
        accuracy_table(summary, context.metric),
        savings_table(summary),
        bounds_table(summary),
        penalty_table(summary),
    ):
        if table is not None:
            yield from ("", *latex_table(table))


def latex_table(table: TextTable) -> Iterator[str]:
    """Yield the lines of a table in LaTeX, with the rules of the package booktabs."""
    yield from (r"\begin{table}", r"  \centering", rf"  \caption{{{_escaped(table.caption)}}}")
    yield rf"  \begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}"
    yield from (r"    \toprule", _row(table.columns), r"    \midrule")
    yield from (_row(row) for row in table.rows)
    yield from (r"    \bottomrule", r"  \end{tabular}", r"\end{table}")


def _row(cells: Sequence[str]) -> str:
    return "    " + " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: _LATEX[match[0]], text)
