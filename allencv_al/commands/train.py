"""`allencv-al train`: train a model from a config file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allencv_al.commands.shared import arguments

if TYPE_CHECKING:
    from allencv_al.common import Params
    from allencv_al.training.training_run import Encoded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    arguments.add_config(parser)
    arguments.add_embedding_cache(parser)
    arguments.add_run_folder(parser, "checkpoints, metrics, pictures and model.tar.gz")
    parser.add_argument(
        "--folds",
        type=arguments.positive_int,
        metavar="K",
        help="cross-validate: K trainings, each on all parts of the training images but one, which "
        "validates it (default: one training)",
    )
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
    if args.folds is not None:
        return _cross_validate(args, params)
    from allencv_al.reports.mistakes import MistakeGallery
    from allencv_al.training.training_run import train

    metrics = train(
        params,
        args.serialization_dir,
        recover=args.recover,
        force=args.force,
        source=str(args.param_path),
        encoded=_encoded(args),
        gallery=MistakeGallery,
    )
    sys.stdout.write(_summary(metrics, args.serialization_dir))
    return 0


def _encoded(args: argparse.Namespace) -> Encoded:
    """Return what makes loaders of embeddings, by the store of the command line."""
    from allencv_al.selection.pool.embedding_loader import stored_loader
    from allencv_al.selection.pool.embedding_store import store_at

    store = store_at(args.embedding_cache)
    return lambda loader, model, precision: stored_loader(loader, model, store, precision)


def _cross_validate(args: argparse.Namespace, params: Params) -> int:
    from allencv_al.common.errors import ConfigurationError
    from allencv_al.training.cross_validation import FOLDS_NAME, cross_validate

    if args.folds < 2:
        raise ConfigurationError("train: --folds: expected 2 or more, found 1")
    found = cross_validate(
        params,
        args.serialization_dir,
        args.folds,
        recover=args.recover,
        force=args.force,
        source=str(args.param_path),
        encoded=_encoded(args),
    )
    lines = [
        f"{name}: {value:.4f} (deviation {found['deviation'][name]:.4f} over {args.folds} folds)"
        for name, value in found["mean"].items()
    ]
    lines.append(f"figures: {args.serialization_dir / FOLDS_NAME}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _summary(metrics: dict[str, Any], folder: Path) -> str:
    from allencv_al.metrics.accuracy_interval import AccuracyEstimate
    from allencv_al.training.run_folder import MISTAKES_NAME

    wanted = ("best_epoch", "best_validation_accuracy", "test_accuracy", "test_loss")
    lines = [
        f"{name}: {value:.4f}{_interval(metrics, name)}"
        if isinstance(value, float)
        else f"{name}: {value}"
        for name in wanted
        if (value := metrics.get(name)) is not None
    ]
    if metrics.get("audit_labels"):
        value, low, high = (metrics[f"audit_{name}"] for name in ("accuracy", "low", "high"))
        estimate = AccuracyEstimate(value, low, high, metrics["audit_labels"])
        lines.append(f"audit: accuracy {estimate} by {estimate.labels} images")
    elif not lines:
        lines.append(
            "accuracy: not measured; give validation_data_path or validation_fraction, or label an "
            "audit sample (label --audit 50)"
        )
    page = folder / MISTAKES_NAME
    if page.is_file():
        lines.append(f"mistakes: {page}")
    return "\n".join([*lines, f"model: {folder / 'model.tar.gz'}"]) + "\n"


def _interval(metrics: dict[str, Any], name: str) -> str:
    """Return the interval of an accuracy, in brackets; empty where there is none."""
    low, high = (metrics.get(f"{name}_{end}") for end in ("low", "high"))
    if low is None or high is None:
        return ""
    images = metrics[name.replace("accuracy", "images")]
    return f" ({low:.4f} to {high:.4f} by {images} images)"
