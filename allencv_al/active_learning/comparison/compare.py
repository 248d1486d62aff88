"""A whole comparison: strategies over seeds, and what can be said of them."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allencv_al.active_learning.comparison.cells import (
    Cell,
    check_comparison,
    plan_cells,
)
from allencv_al.active_learning.comparison.curves import Curve, curve_from_records
from allencv_al.active_learning.comparison.finished_run import FinishedRun, read_cell
from allencv_al.active_learning.comparison.statistics import ComparisonSummary, summarize
from allencv_al.active_learning.comparison.workers import WorkerOptions, run_cells
from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.loop_experiment import (
    LoopExperiment,
    experiment_class,
    without_secrets,
)
from allencv_al.active_learning.run import CACHE_NAME, make_learner
from allencv_al.active_learning.strategies.base import QueryStrategy
from allencv_al.common import Params, atomic_file
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, DataError, Fault
from allencv_al.common.progress import Progress
from allencv_al.training.environment import write_environment
from allencv_al.training.run_folder import check_run_folder, opened_run_folder

logger = logging.getLogger(__name__)

PLAN_NAME = "comparison.json"
REPORT_NAME = "report.html"
CSV_NAME = "results.csv"
MARKDOWN_NAME = "results.md"
SUMMARY_NAME = "summary.json"
CURVES_NAME = "learning_curves.png"


@dataclass(frozen=True)
class ComparisonOptions:
    """How a comparison is done and what it compares.

    Args:
        strategies: What each strategy is called, and its config.
        seeds: The numbers of the seeds.
        workers: How many runs at a time.
        threads: How many threads each worker uses.
        baseline: What the others are compared with.
        metric: Which metric of the rounds, a fraction of which more is better.
        recover: Go on with the comparison in the folder; there may be more strategies and seeds.
        force: Replace the comparison in the folder.
        source: What to call the config in messages.
        packages: The user's packages, which workers import.
    """

    strategies: Mapping[str, Any]
    seeds: Sequence[int]
    workers: int = 1
    threads: int = 1
    baseline: str = "random"
    metric: str = "accuracy"
    recover: bool = False
    force: bool = False
    source: str = "the configuration"
    packages: Sequence[str] = ()


def compare(params: Params, folder: Path, options: ComparisonOptions) -> ComparisonSummary:
    """Run every strategy with every seed, each once, and write what comes of it.

    Runs of one seed share the split, the first items, the start of the model, the augmentation and
    the test images, so that their differences are those of the strategies. A run that is there is
    not run again, and one that was interrupted goes on.

    Args:
        params: The config that all share; its own strategy counts only if it is among those named.
        folder: The folder of the comparison. It ends with results.csv, results.md, report.html,
            learning_curves.png and summary.json.
        options: What is compared, and how.

    Raises:
        ConfigurationFaults: The config or a strategy is wrong; nothing was run.
        DataError: Runs failed; what the others found is written all the same.
    """
    check_comparison(params, options.strategies, options.source)
    written = without_secrets(params)
    check_run_folder(folder, written, options.recover, options.force)
    cells = plan_cells(params, options.strategies, options.seeds, folder)
    if options.recover:
        cells = _with_earlier(cells, params, folder)
    with (
        _learner(cells, folder / CACHE_NAME, options.metric) as learner,
        opened_run_folder(folder, written, options.recover, options.force) as run_folder,
    ):
        run_folder.begin()
        atomic_file.write_json(folder / PLAN_NAME, _plan(cells))
        write_environment(folder)
        learner.prepare()
        errors = _run(cells, folder, options)
    done = [cell for cell in cells if cell.name not in errors]
    if not done:
        raise DataError(_failures(errors))
    summary = write_comparison([read_cell(cell) for cell in done], folder, options, written)
    if errors:
        raise DataError(_failures(errors))
    return summary


def write_comparison(
    runs: Sequence[FinishedRun],
    folder: Path,
    options: ComparisonOptions,
    params: Params | None = None,
) -> ComparisonSummary:
    """Compare runs that are there, and write the results to a folder.

    Args:
        runs: The runs.
        folder: Where the files go.
        options: What they are compared by.
        params: The config that they share, for the report.

    Raises:
        DataError: No run has measured anything.
    """
    from allencv_al.active_learning.reports.comparison_report import (
        ComparisonContext,
        write_comparison_report,
    )
    from allencv_al.active_learning.reports.curve_lines import comparison_lines
    from allencv_al.active_learning.reports.learning_curve import write_learning_curve
    from allencv_al.active_learning.reports.result_tables import (
        write_results_csv,
        write_results_markdown,
    )

    curves = _curves(runs, options.metric)
    summary = summarize(curves, options.baseline)
    seconds: dict[str, float] = {}
    for run in runs:
        seconds[run.strategy] = seconds.get(run.strategy, 0.0) + run.seconds
    context = ComparisonContext(
        name=folder.resolve().name,
        metric=options.metric,
        seconds=seconds,
        config=None if params is None else params.as_dict(),
    )
    atomic_file.make_folder(folder)
    write_results_csv(folder / CSV_NAME, [row for run in runs for row in run.rows()])
    write_results_markdown(folder / MARKDOWN_NAME, summary, context)
    write_learning_curve(
        folder / CURVES_NAME, comparison_lines(summary), context.name, options.metric
    )
    write_comparison_report(folder / REPORT_NAME, summary, curves, context)
    atomic_file.write_json(folder / SUMMARY_NAME, summary.to_json())
    return summary


def _curves(runs: Sequence[FinishedRun], metric: str) -> list[Curve]:
    found = [curve_from_records(run.records, run.strategy, run.seed, metric) for run in runs]
    curves = [curve for curve in found if curve is not None]
    if not curves:
        raise DataError(
            f"no run has measured {metric}: give test_data_path or active_learning.test_fraction"
        )
    return curves


def _run(cells: Sequence[Cell], folder: Path, options: ComparisonOptions) -> dict[str, str]:
    left = [cell for cell in cells if not cell.is_done()]
    if len(left) < len(cells):
        logger.info("%d of %d runs are done already", len(cells) - len(left), len(cells))
    if not left:
        return {}
    worker_options = WorkerOptions(folder / CACHE_NAME, options.threads, options.packages)
    title = f"comparing {len(left)} runs"
    with Progress(title, _rounds_of(left), "rounds") as progress:
        return run_cells(left, options.workers, worker_options, progress.advance)


def _rounds_of(cells: Sequence[Cell]) -> int | None:
    """Return how many rounds there will be at the most, where a budget says so."""
    settings = _experiment(cells).settings
    if settings.budget is None:
        return None
    first = settings.query_size if settings.initial is None else settings.initial.size
    rounds = 1 + max(0, math.ceil((settings.budget - first) / settings.query_size))
    return len(cells) * rounds


def _experiment(cells: Sequence[Cell]) -> LoopExperiment:
    params = Params(dict(cells[0].config))
    return experiment_class(params).from_checked(params)


@contextmanager
def _learner(cells: Sequence[Cell], cache_folder: Path, metric: str) -> Iterator[Learner]:
    """Open the learner of a cell, which finds what is wrong before any run."""
    experiment = _experiment(cells)
    settings = experiment.settings
    if not settings.annotator.needs_known_labels:
        raise ConfigurationError(
            "active_learning.annotator: a comparison runs by itself, so it needs one that knows "
            "all labels (ground_truth)"
        )
    if metric == "pool_accuracy" and not settings.evaluate_pool:
        raise ConfigurationError("active_learning.evaluate_pool: pool_accuracy needs it, is false")
    learner = make_learner(experiment, cache_folder)
    try:
        _check_learner(learner, cells, metric)
        yield learner
    finally:
        learner.close(is_done=False)


def _check_learner(learner: Learner, cells: Sequence[Cell], metric: str) -> None:
    if metric != "pool_accuracy" and not learner.measures():
        raise ConfigurationError(
            f"nothing measures {metric}: give test_data_path or active_learning.test_fraction"
        )
    faults = []
    for cell in {cell.strategy: cell for cell in cells}.values():
        strategy = QueryStrategy.from_params(cell.config["active_learning"]["strategy"])
        try:
            learner.check(strategy.needs)
        except ConfigurationError as error:
            faults.append(Fault(f"--strategies {cell.strategy}", str(error)))
    if faults:
        raise ConfigurationFaults(faults)


def _with_earlier(cells: Sequence[Cell], params: Params, folder: Path) -> list[Cell]:
    """Return the cells with those of earlier calls, whose strategies must be the same."""
    path = folder / PLAN_NAME
    if not path.is_file():
        return list(cells)
    plan = json.loads(path.read_text(encoding="utf-8"))
    earlier = plan["strategies"]
    now = {cell.strategy: cell.config["active_learning"]["strategy"] for cell in cells}
    for name in sorted(earlier.keys() & now.keys()):
        if earlier[name] != now[name]:
            raise ConfigurationError(
                f"--strategies: {name} was {json.dumps(earlier[name])} before and is "
                f"{json.dumps(now[name])} now; give it another name"
            )
    strategies = {**earlier, **now}
    seeds = sorted({*plan["seeds"], *(cell.seed for cell in cells)})
    return plan_cells(params, strategies, seeds, folder)


def _plan(cells: Iterable[Cell]) -> dict[str, Any]:
    strategies = {cell.strategy: cell.config["active_learning"]["strategy"] for cell in cells}
    return {"strategies": strategies, "seeds": sorted({cell.seed for cell in cells})}


def _failures(errors: Mapping[str, str]) -> str:
    runs, them = ("1 run", "it") if len(errors) == 1 else (f"{len(errors)} runs", "them")
    lines = [f"{runs} failed; --recover runs {them} again:"]
    return "\n".join([*lines, *(f"  {name}: {message}" for name, message in errors.items())])
