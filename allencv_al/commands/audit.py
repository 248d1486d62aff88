"""`allencv-al audit`: find wrong labels, copies, leaks and odd images in a data set."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from allencv_al.commands.shared import arguments
from allencv_al.commands.shared.output_files import check_output_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allencv_al.data_audit.audited_images import AuditedImage
    from allencv_al.data_audit.inspection import DataAudit
    from allencv_al.predictors.predictor import Predictor

logger = logging.getLogger(__name__)

_DEFAULT_EMBEDDINGS = "offline"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("source", metavar="DATA", help="the images; see below")
    model = parser.add_mutually_exclusive_group()
    model.add_argument(
        "--embeddings",
        metavar="MODEL[:WEIGHTS]",
        help="the encoder, as for select: offline, timm:NAME, open_clip:NAME:WEIGHTS, a "
        f"torchvision name, or a file of vectors (default: {_DEFAULT_EMBEDDINGS})",
    )
    model.add_argument(
        "--archive",
        type=Path,
        metavar="ARCHIVE",
        help="take the embeddings of this model instead; best of one whose encoder did not train "
        "on these labels",
    )
    parser.add_argument(
        "--image-size",
        type=arguments.positive_int,
        metavar="N",
        help="scale and crop images to N x N pixels for --embeddings (default: as it was trained)",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="KIND",
        help="report findings of this kind only; may be given several times",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the findings to FILE instead of stdout: .csv, .jsonl or .parquet",
    )
    parser.add_argument(
        "--report", type=Path, metavar="HTML", help="write a page with thumbnails of the findings"
    )
    arguments.add_batch_size(parser)
    arguments.add_cuda_device(parser)
    arguments.add_precision(parser, default="auto")
    arguments.add_embedding_cache(parser)
    parser.set_defaults(weights_file=None)


def run(args: argparse.Namespace) -> int:
    """Audit the images; write the findings."""
    from allencv_al.data_audit.audit_report import write_audit_report
    from allencv_al.data_audit.audited_images import read_audited, seconds_of_annotators
    from allencv_al.data_audit.findings import finding_lines, write_findings
    from allencv_al.data_audit.inspection import audit_images
    from allencv_al.selection.pool.embedding_store import store_at
    from allencv_al.selection.pool.pool_scorer import ScoringOptions

    _check_options(args)
    images = read_audited(args.source)
    options = ScoringOptions(
        batch_size=args.batch_size,
        description="encoding",
        precision=args.precision,
        store=store_at(args.embedding_cache),
    )
    seconds = seconds_of_annotators(args.source)
    audit = audit_images(images, _predictor(args, images), options, seconds).only(args.only)
    if args.output is None:
        sys.stdout.writelines(finding_lines(audit.findings))
    else:
        write_findings(args.output, audit.findings)
    if args.report is not None:
        write_audit_report(args.report, audit, Path(args.source).resolve().name, args.output)
    _log_summary(audit)
    return 0


def _check_options(args: argparse.Namespace) -> None:
    from allencv_al.common.errors import ArchiveError, ConfigurationFaults, Fault
    from allencv_al.common.files.paths import absent
    from allencv_al.common.names import did_you_mean
    from allencv_al.data_audit.findings import KINDS, check_findings_file

    faults = [
        Fault(
            "--only",
            f'expected one of {", ".join(KINDS)}, found "{kind}"{did_you_mean(kind, KINDS)}',
        )
        for kind in args.only
        if kind not in KINDS
    ]
    if args.archive is not None and args.image_size is not None:
        faults.append(Fault("--image-size", "is for --embeddings; an archive knows its own"))
    if faults:
        raise ConfigurationFaults(faults, "the options of audit")
    inputs = [args.source, *filter(None, [args.archive])]
    check_output_files({"--output": args.output, "--report": args.report}, inputs)
    if args.output is not None:
        check_findings_file(args.output)
    if args.archive is not None and not args.archive.exists():
        raise ArchiveError(absent(args.archive, "archive"))


def _predictor(args: argparse.Namespace, images: Sequence[AuditedImage]) -> Predictor:
    from allencv_al.predictors.predictor import Predictor

    if args.archive is not None:
        from allencv_al.models.archive import load_archive

        return Predictor.from_archive(load_archive(args.archive, args.cuda_device))
    from allencv_al.selection.cold_start import embedding_predictor

    labels = {image.instance.label for image in images}
    return embedding_predictor(
        args.embeddings or _DEFAULT_EMBEDDINGS,
        args.image_size,
        classes=sorted(label for label in labels if label is not None),
        cuda_device=args.cuda_device,
    )


def _log_summary(audit: DataAudit) -> None:
    for note in audit.notes:
        logger.warning("%s", note)
    for annotator in audit.annotators:
        logger.info("%s", annotator)
    counts = audit.counts()
    found = ", ".join(f"{kind} {count}" for kind, count in counts.items())
    logger.info(
        "audited %d images, %d of them labeled: %s", audit.images, audit.labeled, found or "nothing"
    )


_EPILOG = """\
DATA is one of
  a folder     with one folder of images for each class; or with the folders train, validation, test
               that have such folders
  a table      CSV or JSON lines with the columns path and label; split and group, if there are such
  a run        the run directory of train or active-learn, or a config: all data that it names
  a labeling   the folder in which label keeps its labels
  a list       of images, one path a line; "-" reads it from stdin

There is one row for each finding, the most certain first: kind, path, score (0 to 1), suggestion
(relabel, drop, check, label), suggested_label, label, split, id, other (the image that it copies)
and detail. Kinds: unreadable, leak (one image in two splits), contradiction (one image with two
labels), split_group (a group in two splits), label_error, second_opinion (its
annotators do not agree well enough), exact_duplicate, near_duplicate, class_balance, outlier,
blurred, dark, bright, odd_size.

Nothing is changed. Embeddings and facts of images are kept, so a second audit takes seconds.
"""
