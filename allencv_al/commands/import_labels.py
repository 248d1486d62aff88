"""`allencv-al import-labels`: import labels of other programs into a labeling."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from allencv_al.commands.shared.output_files import check_output_files
from allencv_al.common.errors import DataError
from allencv_al.common.files.paths import absent
from allencv_al.labels.exchange import FORMATS, UPRIGHT

if TYPE_CHECKING:
    from allencv_al.data.dataset_readers.objects.image_objects import Coordinates
    from allencv_al.labels.exchange.label_entry import LabelEntry


_MOST_NAMED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="an output of export-labels; a table with id, image or path and label; an "
        "export of Label Studio, Prodigy, CVAT, Labelbox, Vertex AI, SageMaker, Kaggle or "
        "Roboflow; a COCO file; or a folder of classes, of masks, or of Pascal VOC, YOLO, LabelMe, "
        "FiftyOne, Hugging Face or Supervisely files",
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="RUN_OR_LABELING",
        help="labeling folder of label, or run directory that waits for the labeling page",
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
    parser.add_argument(
        "--coordinates",
        choices=("auto", "upright", "stored"),
        help="pixels that boxes and areas refer to where an image has an EXIF orientation "
        "(default: upright for Label Studio, YOLO and LabelMe, else by the size that FILE names)",
    )
    parser.add_argument(
        "--skip-unknown",
        type=Path,
        metavar="TABLE",
        help="leave out labels of images and classes that the labeling does not have, and list "
        "them in TABLE (default: they are errors)",
    )


def run(args: argparse.Namespace) -> int:
    """Import all labels or, after an error, none; existing labels are not duplicated."""
    from allencv_al.labels.exchange.exporting import task_of
    from allencv_al.labels.exchange.formats import format_of, read_file
    from allencv_al.labels.exchange.importing import (
        LeftOut,
        check_is_labeling,
        import_entries,
        write_left_out,
    )

    if not args.file.exists():
        raise DataError(absent(args.file, "file"))
    name = format_of(args.file) if args.format == "auto" else args.format
    check_is_labeling(args.folder)
    entries = read_file(args.file, name)
    if not any(_is_label(entry) for entry in entries):
        raise DataError(f"{args.file}: nothing to import: {_content(entries)}; read as {name}")
    coordinates: Coordinates = args.coordinates or ("upright" if name in UPRIGHT else "auto")
    left_out: list[LeftOut] | None = None if args.skip_unknown is None else []
    if args.skip_unknown is not None:
        check_output_files({"--skip-unknown": args.skip_unknown}, [args.folder])
    found = import_entries(args.folder, entries, args.annotator, left_out, coordinates)
    if found.silent == len(entries):
        raise DataError(
            f"{args.file}: nothing to import: none of its {len(entries)} entries has a label of "
            f"the kind that {args.folder} has ({task_of(args.folder)[0]}); read as {name}"
        )
    if args.skip_unknown is not None and left_out is not None:
        write_left_out(args.skip_unknown, left_out)
    sys.stdout.write(f"{found.new} of {sum(found)} labels are new in {args.folder}\n")
    if found.left_out:
        sys.stdout.write(
            f"labels of unknown images or classes, left out: {found.left_out} "
            f"({args.skip_unknown})\n"
        )
    if found.silent:
        sys.stdout.write(f"entries of {args.file} that hold no label: {found.silent}\n")
    return 0


def _is_label(entry: LabelEntry) -> bool:
    if entry.objects is not None:
        return True
    is_blank = entry.label is not None and not entry.label.strip()
    return entry.kind not in (None, "skip") and not is_blank


def _content(entries: Sequence[LabelEntry]) -> str:
    if not entries:
        return "it has no entries"
    keys = dict.fromkeys(key for entry in entries for key in entry.extra)
    more = f"; other keys: {', '.join(list(keys)[:_MOST_NAMED])}" if keys else ""
    return f"none of its {len(entries)} entries has a label{more}"
