"""`allencv-al import-labels`: labels of other programs for a labeling."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from allencv_al.active_learning.exchange import FORMATS
from allencv_al.common.errors import DataError

NAME = "import-labels"
HELP = "add labels of other programs to a labeling"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="what export-labels writes, or Label Studio exports"
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="RUN_OR_LABELING",
        help="the folder in which label keeps its labels, or of a run that waits for the page",
    )
    parser.add_argument(
        "--format", choices=("auto", *FORMATS), default="auto", help="(default: what FILE shows)"
    )
    parser.add_argument(
        "--annotator", metavar="NAME", help="under whose name (default: as FILE says)"
    )


def run(args: argparse.Namespace) -> int:
    """Add them, all or none; what is there already is not added again."""
    from allencv_al.active_learning.exchange.formats import format_of, read_file
    from allencv_al.active_learning.exchange.importing import import_records

    if not args.file.exists():
        raise DataError(f"{args.file}: there is no such file")
    name = format_of(args.file) if args.format == "auto" else args.format
    found = import_records(args.folder, read_file(args.file, name), args.annotator)
    sys.stdout.write(f"{found.new} of {sum(found)} labels are new in {args.folder}\n")
    if found.silent:
        sys.stdout.write(f"entries of {args.file} that hold no label: {found.silent}\n")
    return 0
