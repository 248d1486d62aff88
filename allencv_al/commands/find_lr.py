"""`allencv-al find-lr`: try increasing learning rates, plot the losses and suggest one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from allencv_al.commands.shared import arguments
from allencv_al.common.errors import ConfigurationError, TrainingError

if TYPE_CHECKING:
    from allencv_al.common.config.params import Params

PICTURE_NAME = "lr-losses.png"
JSON_NAME = "lr-losses.json"
FEWEST_POINTS = 3  # for a curve with a slope to look at


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    arguments.add_config(parser)
    parser.add_argument(
        "-s",
        "--serialization-dir",
        type=Path,
        required=True,
        metavar="DIR",
        help=f"the folder for {PICTURE_NAME} and {JSON_NAME}",
    )
    parser.add_argument(
        "--start-lr",
        type=arguments.positive_float,
        default=1e-5,
        metavar="RATE",
        help="the first learning rate (default: 1e-5)",
    )
    parser.add_argument(
        "--end-lr",
        type=arguments.positive_float,
        default=10.0,
        metavar="RATE",
        help="the last learning rate (default: 10)",
    )
    parser.add_argument(
        "--num-batches",
        type=arguments.positive_int,
        default=100,
        metavar="N",
        help="number of learning rates, with one step of the trainer each (a batch, or as "
        "many as it accumulates); more than 10 (default: 100)",
    )
    parser.add_argument(
        "--stopping-factor",
        type=arguments.positive_float,
        metavar="X",
        help="stop when the loss is X times the lowest one (default: only when it is NaN)",
    )
    parser.add_argument(
        "--linear",
        action="store_true",
        help="increase the learning rate by equal steps instead of equal factors",
    )
    parser.add_argument(
        "-f", "--force", action="store_true", help="replace existing results in DIR"
    )


def run(args: argparse.Namespace) -> int:
    """Try the learning rates, write the results, and print the suggestion."""
    from allencv_al.common.files.run_lock import locked_folder

    _check_flags(args)
    params = arguments.read_config(args)
    with locked_folder(args.serialization_dir):
        return _write_curve(params, args)


def _write_curve(params: Params, args: argparse.Namespace) -> int:
    from allencv_al.common.files.atomic_file import write_json
    from allencv_al.training.learning_rate_finder import curve_of_config

    picture, table = args.serialization_dir / PICTURE_NAME, args.serialization_dir / JSON_NAME
    for path in (picture, table):
        if path.exists() and not args.force:
            raise ConfigurationError(f"{path}: exists already; --force replaces it")
    curve = curve_of_config(
        params,
        str(args.param_path),
        start_lr=args.start_lr,
        end_lr=args.end_lr,
        num_batches=args.num_batches,
        linear=args.linear,
        stopping_factor=args.stopping_factor,
    )
    if len(curve.losses) < FEWEST_POINTS:
        raise TrainingError(
            f"the loss became NaN after {len(curve.losses)} batches; "
            f"try a lower --start-lr than {args.start_lr:g}"
        )
    write_json(table, curve.to_json())
    has_picture = curve.write_picture(picture)
    suggestion = curve.suggestion()
    sys.stdout.write(
        "no suggestion: the smoothed loss never fell below its start; look at the curve\n"
        if suggestion is None
        else f"suggested learning rate: {suggestion:.2e} (the loss falls fastest there)\n"
    )
    sys.stdout.write(f"picture: {picture}\n" if has_picture else f"losses: {table}\n")
    return 0


def _check_flags(args: argparse.Namespace) -> None:
    from allencv_al.training.learning_rate_finder import FEWEST_BATCHES

    if args.num_batches < FEWEST_BATCHES:
        raise ConfigurationError(f"--num-batches: expected more than 10, found {args.num_batches}")
    if args.start_lr >= args.end_lr:
        raise ConfigurationError(
            f"--start-lr: expected less than --end-lr {args.end_lr:g}, found {args.start_lr:g}"
        )
