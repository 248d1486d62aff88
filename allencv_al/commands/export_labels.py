"""`allencv-al export-labels`: export the labels of a run or a labeling to other programs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from allencv_al.commands.shared.output_files import check_output_files
from allencv_al.common.errors import DataError
from allencv_al.labels.exchange import FORMATS, OF_ANNOTATORS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "folder",
        type=Path,
        metavar="RUN_OR_LABELING",
        help="run directory of active-learn, or labeling folder of label",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        required=True,
        help="a table; JSON lines; one folder per class with its images; JSON or JSON_MIN "
        "of Label Studio; a file of COCO, CVAT, Labelbox, Vertex AI, SageMaker, Roboflow or "
        "Kaggle; a folder of Pascal VOC, YOLO, LabelMe, FiftyOne, Hugging Face or Supervisely "
        "files, or of masks",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="the file or folder to write (default: files go to standard output)",
    )
    parser.add_argument(
        "--all-answers",
        action="store_true",
        help="export every annotator's labels instead of the agreed ones",
    )
    parser.add_argument(
        "--handed-over",
        action="store_true",
        help="export the images that were handed over on the page, with the model's predictions "
        "to be corrected, instead of the labels",
    )
    parser.add_argument(
        "--local-files",
        type=Path,
        metavar="DIR",
        help="for Label Studio: the folder above the images from which it serves local files",
    )
    parser.add_argument(
        "--links", action="store_true", help="for folders: symbolic links instead of copies"
    )


def run(args: argparse.Namespace) -> int:
    """Write the labels atomically."""
    from allencv_al.common.files.atomic_file import write_text
    from allencv_al.labels.exchange.class_folders import write_class_folders
    from allencv_al.labels.exchange.entry_objects import (
        check_carries,
        holds_objects,
        with_objects,
    )
    from allencv_al.labels.exchange.exporting import (
        handed_over,
        image_files,
        read_entries,
        task_of,
    )
    from allencv_al.labels.exchange.formats import FOLDERS, TEXT_FORMATS
    from allencv_al.labels.exchange.label_studio import with_local_addresses
    from allencv_al.labels.exchange.object_folders import FOLDER_FORMATS, write_object_folder

    task, classes = task_of(args.folder)
    check_carries(args.format, task)
    is_folder = args.format == FOLDERS or args.format in FOLDER_FORMATS
    _check_options(args, is_folder)
    images = image_files(args.folder)
    if not is_folder:
        folders = {image.parent for image in images.values()}
        check_output_files({"--output": args.output}, [args.folder, *sorted(folders)])
    if args.handed_over:
        entries = handed_over(args.folder, images)
    else:
        entries = read_entries(args.folder, images, args.all_answers)
    if not entries:
        what = "no images are handed over" if args.handed_over else "there are no labels yet"
        raise DataError(f"{args.folder}: {what}")
    if holds_objects(args.format, task):
        entries = with_objects(entries, task, classes)
    if args.local_files is not None:
        entries = with_local_addresses(entries, args.local_files)
    if args.format in FOLDER_FORMATS:
        count = write_object_folder(args.format, args.output, entries)
        sys.stdout.write(f"labels of {count} images: {args.output}\n")
        return 0
    if args.format == FOLDERS:
        count = write_class_folders(args.output, entries, "link" if args.links else "copy")
        sys.stdout.write(f"{count} images in class folders: {args.output}\n")
        return 0
    text = TEXT_FORMATS[args.format].write(entries)
    if args.output is None:
        sys.stdout.write(text)
        return 0
    write_text(args.output, text)
    labels = sum(entry.label is not None for entry in entries)
    others = len(entries) - labels
    more = f" and {others} without one (not sure, unreadable, skipped)" if others else ""
    sys.stdout.write(f"{labels} labels{more}: {args.output}\n")
    return 0


def _check_options(args: argparse.Namespace, is_folder: bool) -> None:
    if is_folder and args.output is None:
        raise DataError(f"export-labels: --format {args.format} needs --output DIR")
    if args.local_files is not None and not args.format.startswith("label-studio"):
        raise DataError("export-labels: --local-files goes with the formats of Label Studio")
    if args.all_answers and args.format not in OF_ANNOTATORS:
        raise DataError(
            f"export-labels: --format {args.format} holds one label for each image; --all-answers "
            f"goes with {', '.join(OF_ANNOTATORS)}"
        )
