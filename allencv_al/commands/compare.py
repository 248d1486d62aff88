"""`allencv-al compare`: compare query strategies over several seeds, with statistics."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from allencv_al.commands.shared import arguments, comparing
from allencv_al.common.errors import ConfigurationError

if TYPE_CHECKING:
    from allencv_al.common.config.params import Params
    from allencv_al.comparison.comparison import ComparisonOptions


DEFAULT_SEEDS = 5

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    arguments.add_config(parser, required=False)
    parser.add_argument(
        "--strategies",
        metavar="NAMES",
        help="registered strategies, separated by commas, or a jsonnet object with names "
        "of your own (default: random and the config's strategy)",
    )
    comparing.add_seeds(parser, DEFAULT_SEEDS)
    parser.add_argument(
        "--runs",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="compare these finished runs of active-learn, or those of these comparisons, instead "
        "of running anything",
    )
    comparing.add_comparison(parser)
    parser.add_argument(
        "--cost",
        choices=("labels", "objects"),
        default="labels",
        help="what the curves are over: labeled images, or the boxes (or the several classes) in "
        "their labels (default: %(default)s)",
    )
    arguments.add_run_folder(parser, "one run per strategy and seed, results.csv and report.html")


def run(args: argparse.Namespace) -> int:
    """Run or read the runs, and write and print the comparison."""
    arguments.check_run_folder(args, "compare")
    if bool(args.runs) == (args.param_path is not None):
        raise ConfigurationError("compare: expected a CONFIG to run, or finished runs by --runs")
    if args.runs:
        return _compare_runs(args)
    params = _read_config(args)
    options = _options(args, params)
    if args.dry_run:
        from allencv_al.comparison.comparison import check_baseline

        if not options.recover:  # a resumed comparison may have more strategies
            check_baseline(options.baseline, options.strategies)
        sys.stdout.write(
            comparing.rehearse(params, options.strategies, options.seeds, options.source)
        )
        return 0
    from allencv_al.comparison.comparison import compare

    folder: Path = args.serialization_dir
    comparing.print_summary(compare(params, folder, options), folder)
    return 0


def _read_config(args: argparse.Namespace) -> Params:
    from allencv_al.common.config.params import Params

    return Params(comparing.with_conditions(arguments.read_config(args).as_dict(), args))


def _compare_runs(args: argparse.Namespace) -> int:
    from allencv_al.common.files.run_lock import locked_folder
    from allencv_al.comparison.comparison import (
        ComparisonOptions,
        check_baseline,
        write_comparison,
    )
    from allencv_al.comparison.finished_run import differences, read_runs
    from allencv_al.comparison.report.exports import check_exports

    check_exports(args.export)
    runs = read_runs(args.runs)
    check_baseline(args.baseline, [run.strategy for run in runs])
    notes = differences(runs)
    for note in notes:
        logger.warning("%s", note)
    if args.dry_run:
        sys.stdout.write(f"{len(runs)} runs\n")
        return 0
    folder: Path = args.serialization_dir
    if folder.exists() and any(folder.iterdir()) and not args.force:
        raise ConfigurationError(f"{folder}: holds files already; --force writes over them")
    options = ComparisonOptions(
        {},
        (),
        baseline=args.baseline,
        metric=args.metric,
        cost=args.cost,
        exports=args.export,
    )
    with locked_folder(folder):
        summary = write_comparison(runs, folder, options, notes=notes)
    comparing.print_summary(summary, folder)
    return 0


def _options(args: argparse.Namespace, params: Params) -> ComparisonOptions:
    from allencv_al.comparison.cells import default_strategies, parse_strategies
    from allencv_al.comparison.comparison import ComparisonOptions

    if args.strategies is None:
        strategies = default_strategies(params.as_dict())
    else:
        strategies = parse_strategies(args.strategies)
    runs = len(strategies) * len(args.seeds)
    workers, threads = comparing.workers_and_threads(params, runs, args.workers)
    return ComparisonOptions(
        strategies=strategies,
        seeds=args.seeds,
        workers=workers,
        threads=threads,
        baseline=args.baseline,
        metric=args.metric,
        cost=args.cost,
        recover=args.recover,
        force=args.force,
        source=str(args.param_path),
        packages=args.include_package,
        cache_folder=args.embedding_cache,
        exports=args.export,
    )


_EPILOG = """\
Repeat the command with --recover and more strategies or seeds to extend a comparison: finished runs
are reused, and strategies and seeds of earlier calls stay part of it. Runs are not reused after a
change of your own code; the message names what has changed.

  allencv-al compare CONFIG --strategies random,margin,badge --seeds 10 -s runs/comparison
  allencv-al compare CONFIG --strategies random,margin --seeds 10-14 -s runs/comparison --recover
  allencv-al compare CONFIG --strategies '{margin: "margin",
      "few margin": {type: "subsample", size: 1000, strategy: "margin"}}' -s runs/comparison
  allencv-al compare --runs runs/a runs/b -s runs/both
  allencv-al compare --runs machine1/runs machine2/runs -s runs/merged --export latex,pdf
"""
