"""`allencv-al train`: train a model from a config file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from allencv_al.commands.shared import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    arguments.add_config(parser)
    arguments.add_run_folder(parser, "checkpoints, metrics, pictures and model.tar.gz")
    parser.add_argument(
        "--file-friendly-logging",
        action="store_true",
        help="accepted as in AllenNLP; without a terminal, progress is always logged in lines",
    )


def run(args: argparse.Namespace) -> int:
    """Train; with `--dry-run` only check the config."""
    arguments.check_run_folder(args, "train")
    params = arguments.read_config(args)
    if args.dry_run:
        from allencv_al.training.experiment import Experiment, dry_run

        dry_run(params, str(args.param_path), Experiment)
        sys.stdout.write(f"{args.param_path}: no faults found\n")
        return 0
    from allencv_al.training.training_run import train

    metrics = train(
        params,
        args.serialization_dir,
        recover=args.recover,
        force=args.force,
        source=str(args.param_path),
    )
    sys.stdout.write(_summary(metrics, args.serialization_dir))
    return 0


def _summary(metrics: dict[str, object], folder: Path) -> str:
    wanted = ("best_epoch", "best_validation_accuracy", "test_accuracy", "test_loss")
    lines = [
        f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}"
        for name in wanted
        if (value := metrics.get(name)) is not None
    ]
    if metrics.get("audit_labels"):
        value, low, high = (
            f"{100 * float(str(metrics[f'audit_{name}'])):.1f}"
            for name in ("accuracy", "low", "high")
        )
        images = metrics["audit_labels"]
        lines.append(f"audit: accuracy {value} % ({low} to {high} %) by {images} images")
    return "\n".join([*lines, f"model: {folder / 'model.tar.gz'}"]) + "\n"
