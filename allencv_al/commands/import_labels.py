"""`allencv-al import-labels`: labels of other programs for a labeling."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from allencv_al.common.errors import DataError
from allencv_al.common.files.paths import absence_hint, shown_path
from allencv_al.labels.exchange import FORMATS

if TYPE_CHECKING:
    from allencv_al.labels.exchange.record import LabelRecord


_MOST_NAMED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="what export-labels writes; a table with id, image or path and label; an export of "
        "Label Studio or Prodigy; or class folders",
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="RUN_OR_LABELING",
        help="the folder in which label keeps its labels, or of a run that waits for the page",
    )
    parser.add_argument(
        "--format",
        choices=("auto", *FORMATS),
        default="auto",
        help="(default: detected from FILE)",
    )
    parser.add_argument(
        "--annotator",
        metavar="NAME",
        help="annotator to attribute the labels to (default: from FILE)",
    )


def run(args: argparse.Namespace) -> int:
    """Add the labels, all or none; those that are there already are not added again."""
    from allencv_al.labels.exchange.importing import check_is_labeling, import_records
    from allencv_al.labels.exchange.label_formats import format_of, read_file

    if not args.file.exists():
        hint = absence_hint(str(args.file))
        raise DataError(f"{shown_path(args.file)}: there is no such file{hint}")
    name = format_of(args.file) if args.format == "auto" else args.format
    check_is_labeling(args.folder)
    records = read_file(args.file, name)
    if not any(_is_label(record) for record in records):
        raise DataError(
            f"{args.file}: nothing to import: {_what_is_there(records)}; it was taken for {name}"
        )
    found = import_records(args.folder, records, args.annotator)
    sys.stdout.write(f"{found.new} of {sum(found)} labels are new in {args.folder}\n")
    if found.silent:
        sys.stdout.write(f"entries of {args.file} that hold no label: {found.silent}\n")
    return 0


def _is_label(record: LabelRecord) -> bool:
    is_blank = record.label is not None and not record.label.strip()
    return record.kind not in (None, "skip") and not is_blank


def _what_is_there(records: Sequence[LabelRecord]) -> str:
    if not records:
        return "there are no entries in it"
    keys = dict.fromkeys(key for record in records for key in record.extra)
    more = f"; other keys: {', '.join(list(keys)[:_MOST_NAMED])}" if keys else ""
    return f"none of its {len(records)} entries holds a label{more}"
