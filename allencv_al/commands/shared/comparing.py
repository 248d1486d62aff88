"""Arguments and output that the commands `compare` and `benchmark` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allencv_al.commands.shared import arguments

if TYPE_CHECKING:
    from allencv_al.common.config.params import Params
    from allencv_al.comparison.statistics import ComparisonSummary, StrategySummary


EXPORTS = ("picks", "parquet", "latex", "pdf", "svg")
"""The kinds of files that `--export` names."""


def add_seeds(parser: argparse.ArgumentParser, default: int) -> None:
    """Add ``--seeds``."""
    parser.add_argument(
        "--seeds",
        type=arguments.seeds,
        default=tuple(range(default)),
        metavar="SEEDS",
        help="a number of seeds, or a list of them such as 3-7 or 2,5,9-11; runs with equal seeds "
        f"share split, first items and initial weights (default: {default}, seeds 0 to "
        f"{default - 1})",
    )


def add_comparison(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of how strategies are run and compared, and of the pool's conditions."""
    parser.add_argument(
        "--workers",
        type=arguments.positive_int,
        default=None,
        metavar="N",
        help="number of simultaneous runs, each in its own process (default: one per core; "
        "for a pipeline: 1)",
    )
    parser.add_argument(
        "--baseline",
        default="random",
        metavar="NAME",
        help="strategy that the others are compared with (default: %(default)s)",
    )
    parser.add_argument(
        "--metric",
        choices=(
            *("accuracy", "balanced_accuracy", "macro_f1", "pool_accuracy"),
            *("mean_average_precision", "miou"),
        ),
        help="metric of the curves (default: accuracy, or macro_f1, miou or "
        "mean_average_precision where images have several classes, masks or boxes)",
    )
    arguments.add_embedding_cache(parser)
    parser.add_argument(
        "--export",
        type=_exports,
        default=(),
        metavar="KINDS",
        help=f"write further files for papers and programs, some of {', '.join(EXPORTS)} with "
        "commas: every query in picks.csv, results.parquet (extra [parquet]), results.tex, "
        "learning_curves.pdf and .svg",
    )
    _add_conditions(parser)


def _exports(text: str) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    wrong = [kind for kind in kinds if kind not in EXPORTS]
    if wrong or not kinds:
        raise argparse.ArgumentTypeError(f'expected some of {", ".join(EXPORTS)}, found "{text}"')
    return kinds


def _add_conditions(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `with_conditions` reads."""
    group = parser.add_argument_group(
        "conditions", "The pool made harder or smaller, the same for all runs."
    )
    group.add_argument(
        "--imbalance",
        type=arguments.positive_float,
        metavar="RATIO",
        help="images of the most frequent class for one of the rarest",
    )
    group.add_argument(
        "--label-noise",
        type=arguments.positive_float,
        metavar="SHARE",
        help="share of labels that are wrong, 0 to 1",
    )
    group.add_argument(
        "--duplicates",
        type=arguments.positive_float,
        metavar="SHARE",
        help="copies in the pool, as a share of its images",
    )
    group.add_argument(
        "--unknown-classes",
        type=arguments.positive_int,
        metavar="N",
        help="classes that are in the pool only, all labeled unknown",
    )
    group.add_argument(
        "--pool-size",
        type=arguments.positive_int,
        metavar="N",
        help="images of the pool, in equal shares of its classes",
    )
    group.add_argument(
        "--test-size", type=arguments.positive_int, metavar="N", help="test images, likewise"
    )
    group.add_argument(
        "--conditions-seed",
        type=int,
        metavar="SEED",
        help="seed of these draws (default: that of the config, else 0)",
    )


_CONDITIONS = {
    "imbalance": "imbalance",
    "duplicates": "duplicates",
    "unknown_classes": "unknown_classes",
    "pool_size": "size",
    "test_size": "test_size",
    "conditions_seed": "seed",
}


def with_conditions(config: Mapping[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Return a config with the conditions that the arguments name, in place of its own.

    A block that is no object stays as it is: the check of the config reports it.
    """
    changes = {
        key: getattr(args, name)
        for name, key in _CONDITIONS.items()
        if getattr(args, name) is not None
    }
    own = config.get("active_learning")
    if not isinstance(own, Mapping | None):
        return dict(config)
    block = dict(own or {})
    conditions = block.get("conditions") or {}
    if changes and isinstance(conditions, Mapping):
        block["conditions"] = {**conditions, **changes}
    annotator = block.get("annotator") or {"type": "ground_truth"}
    annotator = {"type": annotator} if isinstance(annotator, str) else annotator
    if args.label_noise is not None and isinstance(annotator, Mapping):
        seed = {} if args.conditions_seed is None else {"seed": args.conditions_seed}
        block["annotator"] = {**annotator, "noise": args.label_noise, **seed}
    return {**config, "active_learning": block} if block else dict(config)


def workers_and_threads(params: Params, runs: int, asked: int | None) -> tuple[int, int]:
    """Return the number of worker processes, and of threads in each.

    Args:
        params: The config that the runs share.
        runs: Number of runs.
        asked: Number of workers that the user asked for, if any.
    """
    from allencv_al.active_learning.active_learning_experiment import experiment_class
    from allencv_al.common.process import usable_cores

    cores = usable_cores()
    # Parallel runs would train over each other in the one pipeline that they share
    most = 1 if experiment_class(params).is_shared else cores
    workers = min(asked or most, runs)
    # All cores in all: more threads than cores make each run slower than one after the other
    return workers, max(1, cores // workers)


def rehearse(params: Params, strategies: Mapping[str, Any], seeds: Sequence[int], name: str) -> str:
    """Do all that precedes the first run of a comparison, and return the result as a line.

    Args:
        params: The config that the runs share.
        strategies: The config of each strategy by name.
        seeds: The numbers of the seeds.
        name: The name of the config in messages.

    Raises:
        AllenCVError: Any error that the first run would raise before it reads an image.
    """
    from allencv_al.active_learning.active_learning_experiment import experiment_class
    from allencv_al.common.config.params import Params
    from allencv_al.comparison import cells
    from allencv_al.training.experiment import dry_run

    cells.check_comparison(params, strategies, name)
    config = Params(cells.plan_cells(params, strategies, seeds[:1], Path())[0].config)
    dry_run(config, name, experiment_class(config))
    return f"{name}: no faults found; {len(strategies) * len(seeds)} runs\n"


def print_summary(summary: ComparisonSummary, folder: Path) -> None:
    """Print the strategies, the best first, the notes and the place of the report."""
    width = max(8, *(len(found.strategy) for found in summary.strategies))
    head = f"{'strategy':{width}}  seeds  AUBC %    sd"
    if summary.baseline is not None:
        head += f"  {f'minus {summary.baseline}':>14}  p (t, Holm)"
    lines = [head]
    for found in summary.ranked():
        lines.append(f"{found.strategy:{width}}  {_figures(found)}".rstrip())
    lines += [*summary.notes, f"report: {folder / 'report.html'}"]
    sys.stdout.write("\n".join(lines) + "\n")


def _figures(found: StrategySummary) -> str:
    text = f"{len(found.seeds):5d}  {100 * found.aubc_mean:6.2f}"
    text += "     -" if found.aubc_sd is None else f"  {100 * found.aubc_sd:4.2f}"
    if found.comparison is None:
        return text
    text += f"  {100 * found.comparison.aubc.mean_difference:+14.2f}"
    p = found.comparison.t_p_holm
    return text if p is None else f"{text}  {p:.2g}"
