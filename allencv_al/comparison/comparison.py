"""A comparison: run strategies over seeds and write the results."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from allencv_al.active_learning.active_learning_experiment import (
    LoopExperiment,
    experiment_class,
    without_secrets,
)
from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.rounds.curves import Cost, Curve, curve_from_records
from allencv_al.active_learning.rounds.round_record import headline_metric
from allencv_al.active_learning.run import cache_folder, make_learner
from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, DataError, Fault
from allencv_al.common.files import atomic_file
from allencv_al.common.names import did_you_mean
from allencv_al.common.progress import Progress
from allencv_al.comparison.cell_workers import Failure, WorkerOptions, run_cells
from allencv_al.comparison.cells import (
    Cell,
    check_comparison,
    plan_cells,
)
from allencv_al.comparison.finished_run import (
    FinishedRun,
    gaps,
    read_cell,
    shared_environment,
)
from allencv_al.comparison.plan import Plan
from allencv_al.comparison.report.comparison_report import (
    ComparisonContext,
    comparison_lines,
    write_comparison_report,
)
from allencv_al.comparison.report.exports import check_exports, write_exports
from allencv_al.comparison.report.result_tables import write_results_csv, write_results_markdown
from allencv_al.comparison.statistics import ComparisonSummary, summarize
from allencv_al.data.dataset_readers.unpacked_files import kept_contents
from allencv_al.reports.line_chart import ChartText, write_line_chart
from allencv_al.selection.strategies.base import QueryStrategy
from allencv_al.training.run_folder import check_run_folder, opened_run_folder
from allencv_al.training.run_records import read_environment, write_environment
from allencv_al.training.training_run import WITHOUT_EFFECT

logger = logging.getLogger(__name__)

REPORT_NAME = "report.html"
CSV_NAME = "results.csv"
MARKDOWN_NAME = "results.md"
SUMMARY_NAME = "summary.json"
CURVES_NAME = "learning_curves.png"


_IN_OBJECTS = (
    "Labels are counted in objects, the boxes (or several classes) of the labeled images: an image "
    "costs as much as it has objects, and one without objects costs nothing."
)
_ENCODING = "encoding the images, once for all runs"


@dataclass(frozen=True)
class ComparisonOptions:
    """Settings of a comparison.

    Args:
        strategies: The config of each strategy by name.
        seeds: The numbers of the seeds.
        workers: Number of runs at a time.
        threads: Number of threads per worker.
        baseline: Name of the strategy that the others are compared with.
        metric: Metric of the rounds, a fraction of which more is better. Default: the one that
            tells of a model of the kind in a line: accuracy, macro F1, mIoU or mAP.
        cost: The horizontal axis of the curves: "labels", or "objects", the boxes or the several
            classes in the labels.
        recover: Resume the comparison in the folder, possibly with more strategies and seeds; those
            of earlier calls stay a part of it.
        force: Replace the comparison in the folder.
        source: Name of the config in messages.
        packages: The user's packages, which workers import.
        cache_folder: The folder of the embeddings; see `RunOptions`.
        exports: Further files to write; see `write_exports`.
    """

    strategies: Mapping[str, Any]
    seeds: Sequence[int]
    workers: int = 1
    threads: int = 1
    baseline: str = "random"
    metric: str | None = None
    cost: Cost = "labels"
    recover: bool = False
    force: bool = False
    source: str = "the configuration"
    packages: Sequence[str] = ()
    cache_folder: str | Path | None = None
    exports: Collection[str] = ()


class RunsFailed(DataError):  # noqa: N818  what happened
    """Runs of a comparison failed; the exit code is that of the first of them.

    Args:
        errors: The failures, by the names of the runs.
    """

    def __init__(self, errors: Mapping[str, Failure]) -> None:
        runs, them = ("1 run", "it") if len(errors) == 1 else (f"{len(errors)} runs", "them")
        lines = [f"  {name}: {failure.message}" for name, failure in errors.items()]
        super().__init__("\n".join([f"{runs} failed; --recover runs {them} again:", *lines]))
        self.exit_code = next(iter(errors.values())).exit_code


def compare(params: Params, folder: Path, options: ComparisonOptions) -> ComparisonSummary:
    """Run every strategy with every seed once, and write the results.

    Runs of one seed share the split, the first items, the initial weights, the augmentation and the
    test images, so that their differences are those of the strategies. Finished runs are not run
    again, and interrupted ones are resumed.

    Args:
        params: The config that all cells share; its own strategy is not run unless named.
        folder: The folder of the comparison, where results.csv, results.md, report.html,
            learning_curves.png and summary.json are written.
        options: The settings.

    Raises:
        ConfigurationFaults: The config or a strategy is invalid; nothing was run.
        RunsFailed: Runs failed; the results of the others are written.
    """
    check_comparison(params, options.strategies, options.source)
    check_exports(options.exports)
    written = without_secrets(params)
    # Before the learner is opened, which may take minutes
    check_run_folder(folder, written, options.recover, options.force, WITHOUT_EFFECT)
    asked = plan = Plan.of(written, options.strategies, options.seeds)
    earlier = Plan.read(folder) if options.recover else None
    if earlier is not None:
        plan = asked.joined(earlier, folder)
    check_baseline(options.baseline, plan.strategies)
    if more := plan.more_than(asked):
        logger.warning("%s", more)
    cells = plan_cells(params, plan.strategies, plan.seeds, folder)
    embeddings = cache_folder(options.cache_folder, folder)
    with (
        kept_contents(),
        _learner(cells, embeddings, options.metric) as learner,
        opened_run_folder(
            folder, written, options.recover, options.force, WITHOUT_EFFECT
        ) as run_folder,
    ):
        run_folder.begin()
        # Before any run: if this call is killed, the next one must know what its runs are of
        plan.write(folder)
        write_environment(folder)
        # The time of the encoding belongs to all runs, as they share the embeddings
        started = time.perf_counter()
        learner.prepare()
        seconds = plan.encoding_seconds + time.perf_counter() - started
        replace(plan, encoding_seconds=seconds).write(folder)
        errors = _run(cells, embeddings, options)
        # Results of the other runs are worth writing; the failures are raised after that
        done = [cell for cell in cells if cell.name not in errors]
        if not done:
            raise RunsFailed(errors)
        runs = [read_cell(cell) for cell in done]
        summary = write_comparison(
            runs, folder, options, written, seconds, notes=[more] if more else []
        )
        if errors:
            raise RunsFailed(errors)
        return summary


def check_baseline(baseline: str, strategies: Collection[str]) -> None:
    """Check that the baseline is among the strategies; the default one may be missing.

    Raises:
        ConfigurationError: It is not, which is most often a misspelling.
    """
    if baseline != ComparisonOptions.baseline and baseline not in strategies:
        hint = did_you_mean(baseline, strategies) or f"; expected one of {', '.join(strategies)}"
        raise ConfigurationError(f'--baseline: "{baseline}" is not among the strategies{hint}')


def write_comparison(
    runs: Sequence[FinishedRun],
    folder: Path,
    options: ComparisonOptions,
    params: Params | None = None,
    encoding_seconds: float = 0.0,
    notes: Sequence[str] = (),
) -> ComparisonSummary:
    """Compare finished runs, and write the results to a folder.

    Args:
        runs: The runs.
        folder: The folder of the files.
        options: Baseline and metric.
        params: The config of the comparison; None if the runs are not the cells of one.
        encoding_seconds: Time spent on encoding images for all runs together.
        notes: Warnings for the reader.

    Raises:
        DataError: No run has measured the metric.
    """
    records = (record for run in runs for record in run.records)
    metric = options.metric or headline_metric(records) or "accuracy"
    curves = _curves(runs, metric, options.cost)
    notes = [*notes, *gaps(runs, metric)]
    if options.cost == "objects":
        notes.append(_IN_OBJECTS)
    oracles = list(dict.fromkeys(run.strategy for run in runs if run.is_oracle))
    measured = {curve.strategy for curve in curves}
    summary = summarize(
        curves,
        options.baseline,
        notes=notes,
        oracles=[name for name in oracles if name in measured],
    )
    seconds = {_ENCODING: encoding_seconds} if encoding_seconds else {}
    for run in runs:
        seconds[run.strategy] = seconds.get(run.strategy, 0.0) + run.seconds
    environment = None if params is None else read_environment(folder)
    context = ComparisonContext(
        name=folder.resolve().name,
        metric=metric,
        cost=options.cost,
        seconds=seconds,
        config=None if params is None else params.as_dict(),
        environment=environment or shared_environment(runs),
    )
    atomic_file.make_folder(folder)
    write_results_csv(folder / CSV_NAME, [row for run in runs for row in run.rows()])
    write_results_markdown(folder / MARKDOWN_NAME, summary, context)
    text = ChartText(x=context.cost, y=metric, title=context.name)
    write_line_chart(folder / CURVES_NAME, comparison_lines(summary), text)
    write_comparison_report(folder / REPORT_NAME, summary, curves, context)
    write_exports(folder, options.exports, runs, summary, context)
    # Last, so that a script that waits for it finds the other files
    atomic_file.write_json(folder / SUMMARY_NAME, summary.to_json())
    return summary


def _curves(runs: Sequence[FinishedRun], metric: str, cost: Cost) -> list[Curve]:
    if not any(record.objects for run in runs for record in run.records) and cost == "objects":
        raise DataError(
            "--cost objects: the labels of these runs have no objects that are counted; boxes and "
            "several classes per image have, in runs of 0.2 and later"
        )
    found = [curve_from_records(run.records, run.strategy, run.seed, metric, cost) for run in runs]
    curves = [curve for curve in found if curve is not None]
    if not curves:
        remedy = "give test_data_path or active_learning.test_fraction"
        other = headline_metric(record for run in runs for record in run.records)
        if other is not None:
            remedy = f'expected a metric that they have, such as "{other}"'
        raise DataError(f"no run has measured {metric}: {remedy}")
    return curves


def _run(cells: Sequence[Cell], embeddings: Path, options: ComparisonOptions) -> dict[str, Failure]:
    left = [cell for cell in cells if not cell.is_done()]
    if len(left) < len(cells):
        logger.info("%d of %d runs are done already", len(cells) - len(left), len(cells))
    if not left:
        return {}
    worker_options = WorkerOptions(embeddings, options.threads, options.packages)
    title = f"comparing {len(left)} runs"
    # In rounds, as runs may take hours each
    with Progress(title, _rounds_of(left), "rounds") as progress:
        return run_cells(left, options.workers, worker_options, partial(progress.advance, 1))


def _rounds_of(cells: Sequence[Cell]) -> int | None:
    """Return the largest number of rounds, or None without a budget."""
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
def _learner(cells: Sequence[Cell], embeddings: Path, metric: str | None) -> Iterator[Learner]:
    """Open the learner of a cell, which finds faults before any run."""
    experiment = _experiment(cells)
    settings = experiment.settings
    if not settings.annotator.needs_known_labels:
        raise ConfigurationError(
            "active_learning.annotator: a comparison runs by itself, so it needs one that knows "
            "all labels (ground_truth)"
        )
    if metric == "pool_accuracy" and not settings.evaluate_pool:
        raise ConfigurationError("active_learning.evaluate_pool: pool_accuracy needs it, is false")
    learner = make_learner(experiment, embeddings)
    try:
        _check_learner(learner, cells, metric)
        yield learner
    finally:
        # Not done: a pipeline waits for the runs
        learner.close(is_done=False)


def _check_learner(learner: Learner, cells: Sequence[Cell], metric: str | None) -> None:
    if metric != "pool_accuracy" and not learner.measures():
        raise ConfigurationError(
            f"nothing measures {metric or 'the models'}: give test_data_path or "
            "active_learning.test_fraction"
        )
    faults = []
    # One cell per strategy: seeds do not change what a strategy needs
    for cell in {cell.strategy: cell for cell in cells}.values():
        strategy: QueryStrategy = QueryStrategy.from_params(
            cell.config["active_learning"]["strategy"]
        )
        try:
            learner.check(strategy.for_task(learner.task).needs)
        except ConfigurationError as error:
            faults.append(Fault(f"--strategies {cell.strategy}", str(error)))
    if faults:
        raise ConfigurationFaults(faults)
