"""`allencv-al convert`: convert the labels of a folder, a table, a labeling or a run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from allencv_al.common.errors import DataError
from allencv_al.common.files.paths import absent
from allencv_al.labels.exchange import CARRIED, FORMATS, LABELING


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="run directory of active-learn, labeling folder of label, or a file or folder in one "
        "of the formats: class folders, tables, exports of other programs",
    )
    parser.add_argument(
        "target", type=Path, metavar="TARGET", help="the file or folder to make; it must not exist"
    )
    parser.add_argument(
        "--format",
        choices=(*FORMATS, LABELING),
        help="the format of TARGET (default: csv or jsonl, as its name ends)",
    )
    parser.add_argument(
        "--from",
        dest="source_format",
        choices=("auto", *FORMATS),
        default="auto",
        help="(default: detected from SOURCE)",
    )
    parser.add_argument(
        "--task",
        choices=sorted({task for tasks in CARRIED.values() for task in tasks}),
        help="kind of the labels, where SOURCE fits several: boxes or masks, one class or several "
        "(default: masks if it has areas and the format of TARGET holds masks)",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of the images of SOURCE (default: near SOURCE)",
    )
    parser.add_argument(
        "--coordinates",
        choices=("auto", "upright", "stored"),
        help="pixels that boxes and areas refer to where an image has an EXIF orientation "
        "(default: as the format of SOURCE has it)",
    )
    parser.add_argument(
        "--address",
        metavar="URI",
        help="for vertex and sagemaker: what comes before the ids of images, such as "
        "gs://bucket/photos/",
    )
    placement = parser.add_mutually_exclusive_group()
    for name, text in (
        ("copy", "copy the images into the folder TARGET (default for class folders)"),
        ("link", "put symbolic links to the images into the folder TARGET"),
        ("list", "leave the images where they are (default)"),
    ):
        placement.add_argument(
            f"--{name}", dest="placement", action="store_const", const=name, help=text
        )


def run(args: argparse.Namespace) -> int:
    """Write TARGET whole or, after an error, not at all."""
    from allencv_al.labels.exchange.class_folders import taken
    from allencv_al.labels.exchange.conversion import format_of_target, read_labels, write_labels

    if not args.source.exists():
        raise DataError(absent(args.source, "file"))
    if args.images is not None and not args.images.is_dir():
        raise DataError(absent(args.images, "folder"))
    # Before the reading, which may take long
    if args.target.is_file() or args.target.is_dir():
        raise taken(args.target)
    name = args.format or format_of_target(args.target)
    labels = read_labels(
        args.source, args.source_format, name, args.task, args.images, args.coordinates
    )
    count = write_labels(args.target, name, labels, args.placement, args.address)
    silent = sum(entry.label is None for entry in labels.entries)
    more = f", {silent} images without one" if silent else ""
    sys.stderr.write(
        f"{count} labels ({labels.task}) of {args.source} ({labels.format}){more}: {args.target} "
        f"({name})\n"
    )
    if labels.index_names and name in ("csv", "jsonl"):
        shown = ", ".join(f"{at} {one}" for at, one in enumerate(labels.index_names, start=1))
        sys.stderr.write(f"class indices of the masks: {shown}\n")
    return 0
