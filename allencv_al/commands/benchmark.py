"""`allencv-al benchmark`: strategies on known data sets, by a published protocol."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allencv_al.commands.shared import arguments, comparing
from allencv_al.common.errors import ConfigurationError

if TYPE_CHECKING:
    from allencv_al.comparison.statistics import ComparisonSummary

DEFAULT_SEEDS = 10
DEFAULT_STRATEGIES = (
    "random,margin,badge,k_center,typiclust,max_herding,bait,drop_query,alfa_mix,galaxy,auto"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument(
        "names",
        metavar="NAMES",
        help="digits, mnist, cifar10, cats_dogs, honeypot, diverging_sine, or several with commas, "
        "over which strategies are ranked",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="place of the images; of several sets the folder that has one place for each by its "
        "name (default: data/NAME); sets that can be fetched are",
    )
    parser.add_argument(
        "--encoder",
        default="offline",
        metavar="NAME",
        help="offline (the extra [offline]), timm:NAME or a torchvision name, each with :WEIGHTS "
        "behind it or else the published weights, open_clip:NAME:WEIGHTS, or pixels "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--image-size",
        type=arguments.positive_int,
        metavar="PIXELS",
        help="height and width that the encoder gets (default: 224 for photographs, less for sets "
        "of small images)",
    )
    parser.add_argument(
        "--strategies",
        metavar="NAMES",
        default=DEFAULT_STRATEGIES,
        help="as for compare (default: %(default)s)",
    )
    _add_protocol(parser)
    comparing.add_comparison(parser)
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print the config of the one set, for compare, train or a file of your own, and stop",
    )
    arguments.add_include_package(parser)
    arguments.add_run_folder(parser, "a comparison per set, and ranking.md of several")


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    """Add the arguments in which a run may differ from the published protocol."""
    comparing.add_seeds(parser, DEFAULT_SEEDS)
    parser.add_argument(
        "--query-size",
        type=arguments.positive_int,
        metavar="N",
        help="labels per query, the first too (default: 10, or 4 for the two-dimensional sets)",
    )
    parser.add_argument(
        "--rounds",
        type=arguments.positive_int,
        metavar="N",
        help="queries after the first (default: 20; 14 for honeypot, 19 for diverging_sine)",
    )
    parser.add_argument(
        "--candidates",
        type=arguments.positive_int,
        metavar="N",
        help="images, drawn anew in each round, that a strategy chooses from (default: 1000 for "
        "mnist and cifar10, as in BoSS; all for the others)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the comparisons, and rank the strategies over the data sets."""
    if not args.print_config:
        arguments.check_run_folder(args, "benchmark")
    from allencv_al.comparison.benchmark_sets import parse_sets

    names = parse_sets(args.names)
    if args.print_config:
        if len(names) > 1:
            raise ConfigurationError("--print-config: expected one set, found several")
        folder = args.serialization_dir or Path()
        sys.stdout.write(json.dumps(_config(names[0], args, names, folder), indent=2) + "\n")
        return 0
    summaries = {name: _compare(name, args, names) for name in names}
    if len(names) > 1 and not args.dry_run:
        _rank(summaries, args)
    return 0


def _config(name: str, args: argparse.Namespace, names: list[str], folder: Path) -> dict[str, Any]:
    from allencv_al.comparison.benchmark_sets import benchmark_config, find_data

    place = args.data or Path("data") / name
    if args.data is not None and len(names) > 1:
        place = args.data / name
    paths = find_data(name, place.expanduser(), folder / "data")
    config = benchmark_config(
        name, paths, args.encoder, args.query_size, args.rounds, args.image_size
    )
    return comparing.with_conditions(config, args)


def _compare(name: str, args: argparse.Namespace, names: list[str]) -> ComparisonSummary | None:
    from allencv_al.common.config.params import Params
    from allencv_al.comparison.benchmark_sets import among_candidates
    from allencv_al.comparison.cells import parse_strategies
    from allencv_al.comparison.comparison import ComparisonOptions, check_baseline, compare
    from allencv_al.comparison.plan import PLAN_NAME

    folder: Path = (args.serialization_dir or Path()) / name
    params = Params(_config(name, args, names, folder.parent))
    strategies = among_candidates(parse_strategies(args.strategies), name, args.candidates)
    if args.dry_run:
        check_baseline(args.baseline, strategies)
        sys.stdout.write(comparing.rehearse(params, strategies, args.seeds, name))
        return None
    runs = len(strategies) * len(args.seeds)
    workers, threads = comparing.workers_and_threads(params, runs, args.workers)
    options = ComparisonOptions(
        strategies=strategies,
        seeds=args.seeds,
        workers=workers,
        threads=threads,
        baseline=args.baseline,
        metric=args.metric,
        # An interrupted benchmark may not have begun this set
        recover=args.recover and (folder / PLAN_NAME).is_file(),
        force=args.force,
        source=name,
        packages=args.include_package,
        cache_folder=args.embedding_cache,
        exports=args.export,
    )
    summary = compare(params, folder, options)
    sys.stdout.write(f"{name}\n")
    comparing.print_summary(summary, folder)
    return summary


def _rank(summaries: Mapping[str, ComparisonSummary | None], args: argparse.Namespace) -> None:
    from allencv_al.comparison.dataset_ranking import rank_over_data_sets, write_ranking

    heights = {
        name: {found.strategy: found.aubc_mean for found in summary.strategies}
        for name, summary in summaries.items()
        if summary is not None
    }
    ranking = rank_over_data_sets(heights)
    write_ranking(args.serialization_dir, ranking)
    sys.stdout.write(f"{ranking.finding()}\nranking: {args.serialization_dir / 'ranking.md'}\n")


_EPILOG = """\
The protocol is that of BoSS (arXiv:2603.13109): 10 random labels, 20 queries of 10, 10 seeds,
means of the low, middle and high third. Images are encoded once; in each round a linear classifier
learns from their features.

  allencv-al benchmark digits --encoder pixels -s runs/benchmark
  allencv-al benchmark cifar10 --data data/cifar10 --pool-size 5000 --test-size 2000 -s runs/cifar10
  allencv-al benchmark digits,mnist,cats_dogs --data data --imbalance 10 -s runs/imbalanced
  allencv-al benchmark cifar10 --print-config > cifar10.jsonnet
"""
