"""`allencv-al active-learn`: train in rounds, querying labels by a strategy."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from allencv_al.commands.shared import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this subcommand."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    arguments.add_config(parser)
    parser.add_argument(
        "--relabel",
        action="append",
        type=_correction,
        default=[],
        metavar="ID=CLASS",
        help="correct the label of an item before the run continues; may be given several times",
    )
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="ID",
        help="remove an item and its label from the run, for example because its image is "
        "gone; may be given several times",
    )
    parser.add_argument(
        "--drop-missing",
        action="store_true",
        help="remove all items from the run whose images are no longer in the data",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="continue with the labels in the table: images with an empty or wrong cell return "
        "to the pool",
    )
    arguments.add_embedding_cache(parser)
    arguments.add_run_folder(
        parser, "database of labels, report.html, learning_curve.png and model.tar.gz"
    )


def run(args: argparse.Namespace) -> int:
    """Run the loop, or only check the config (`--dry-run`); return 3 while labels are awaited."""
    arguments.check_run_folder(args, "active-learn")
    params = arguments.read_config(args)
    source = str(args.param_path)
    if args.dry_run:
        from allencv_al.active_learning.active_learning_experiment import experiment_class
        from allencv_al.training.experiment import dry_run

        dry_run(params, source, experiment_class(params))
        sys.stdout.write(f"{source}: no faults found\n")
        return 0
    from allencv_al.active_learning.rounds.round_record import audit_text, headline
    from allencv_al.active_learning.run import RunOptions, active_learn
    from allencv_al.labels.annotators.base import WaitingForLabels

    options = RunOptions(
        recover=args.recover,
        force=args.force,
        source=source,
        relabel=dict(args.relabel),
        drop=args.drop,
        drop_missing=args.drop_missing,
        partial=args.partial,
        cache_folder=args.embedding_cache,
    )
    try:
        records = active_learn(params, args.serialization_dir, options)
    except WaitingForLabels as waiting:  # not an error: the message says what to do next
        files = [args.serialization_dir / name for name in ("picks.png", "report.html")]
        places = " and ".join(str(file) for file in files if file.is_file())
        sys.stdout.write(f"{waiting}\n{places} show the images.\n" if places else f"{waiting}\n")
        return waiting.exit_code
    except KeyboardInterrupt:  # the database is consistent after each event, so resuming is safe
        from allencv_al.training.interruption import TrainingInterrupted

        message = "the same command with --recover resumes it"
        raise TrainingInterrupted(signal.SIGINT, message) from None
    measured = [record for record in records if record.labels]
    if measured:
        last = measured[-1]
        found = headline(last.metrics)
        shown = "" if found is None else f", {found[0]} {found[1]:.4f}"
        audited = audit_text(last.metrics)
        if audited is not None:
            shown += f", accuracy {audited}"
        sys.stdout.write(f"{len(measured)} rounds, {last.labels} labels{shown}\n")
    folder: Path = args.serialization_dir
    for name, file in (("report", folder / "report.html"), ("model", folder / "model.tar.gz")):
        if file.is_file():
            sys.stdout.write(f"{name}: {file}\n")
    return 0


def _correction(text: str) -> tuple[str, str]:
    id, equals, label = text.rpartition("=")  # the id may be a file name with = in it
    if not (equals and id and label):
        raise argparse.ArgumentTypeError(f'expected ID=CLASS, found "{text}"')
    return id, label


_EPILOG = """\
The config is that of train, with one block more:

  active_learning: { strategy: "margin", query_size: 20, budget: 200 }

allencv-al describe active_learning shows all its keys. The annotator decides where labels come
from: ground_truth takes those of the data, to compare strategies; file writes DIR/to_label.csv and
ends with exit code 3: fill in the column "label" and run the same command again. DIR/labels.csv
holds all labels so far; --relabel corrects one of them, --drop removes an image whose file is
gone from the run, and --partial continues with a partly filled table.
"""
