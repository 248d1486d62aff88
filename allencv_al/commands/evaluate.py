"""`allencv-al evaluate`: measure a trained model on labeled images."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allencv_al.commands.shared import arguments
from allencv_al.commands.shared.output_files import check_output_files, open_output
from allencv_al.common.errors import DataError

if TYPE_CHECKING:
    from allencv_al.common.config.params import Params
    from allencv_al.data.data_loaders.base import DataLoader
    from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
    from allencv_al.models.archive import Archive
    from allencv_al.models.model import Model
    from allencv_al.tasks.base import LabelTask


LOADER_KEYS = ("validation_data_loader", "data_loader")
LOADER_SETTINGS = ("batch_size", "num_workers")
CONFUSION_MATRIX = "confusion_matrix"
# Columns of the table of classes, after the recall
_COLUMNS = {
    "per_class_precision": "precision",
    "per_class_f1": "F1",
    "per_class_roc_auc": "ROC AUC",
    "per_class_average_precision": "PR AUC",
}
_OF_CLASSES = (CONFUSION_MATRIX, "per_class_accuracy", *_COLUMNS)

logger = logging.getLogger(__name__)

BatchHook = Callable[[list[str], dict[str, Any]], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    arguments.add_archive(parser)
    parser.add_argument(
        "input_file",
        metavar="DATA",
        help="the labeled images: a folder or file for the archive's dataset reader; for one of "
        "class folders also a table of labels; or the folder in which label keeps its labels",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the metrics as JSON instead of a table"
    )
    parser.add_argument(
        "--output-file",
        type=Path,
        metavar="FILE",
        help="write the metrics to this JSON file instead of stdout",
    )
    parser.add_argument(
        "--predictions-output-file",
        type=Path,
        metavar="FILE",
        help="write one JSON line for each image: its id, label and prediction",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="HTML",
        help="write a page of the images that are predicted wrongly",
    )
    parser.add_argument(
        "--batch-size",
        type=arguments.positive_int,
        metavar="N",
        help="images per batch (default: as in the archive's config)",
    )
    arguments.add_precision(parser, default="fp32")
    arguments.add_embedding_cache(parser)
    arguments.add_dataset_reader_choice(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate the model; write the metrics as a table or as JSON."""
    from allencv_al.common.files.atomic_file import write_json
    from allencv_al.metrics.accuracy_interval import with_intervals
    from allencv_al.models.archive import load_archive
    from allencv_al.predictors.prediction_json import to_json_value
    from allencv_al.reports.mistakes import MistakeGallery
    from allencv_al.selection.pool.embedding_loader import stored_loader
    from allencv_al.selection.pool.embedding_store import store_at
    from allencv_al.training.datasets import only_known, texts_of
    from allencv_al.training.evaluation import AuditHook, evaluate

    outputs = {
        "--output-file": args.output_file,
        "--predictions-output-file": args.predictions_output_file,
        "--report": args.report,
    }
    check_output_files(outputs, [args.input_file, args.archive_file])
    archive = load_archive(args.archive_file, args.cuda_device, args.overrides, args.weights_file)
    choice = args.dataset_reader_choice
    reader = archive.dataset_reader if choice == "train" else archive.validation_dataset_reader
    task = archive.model.task
    labeled = _labeled_images(reader, args.input_file, task)
    audited = _audited_images(labeled)
    dataset = only_known(audited or labeled, archive.model.vocab, args.input_file, task)
    loader = _data_loader(archive, dataset, args.batch_size)
    store = store_at(args.embedding_cache)

    def measure(images: DataLoader, on_batch: BatchHook | None) -> dict[str, Any]:
        encoded = stored_loader(images, archive.model, store, args.precision)
        return evaluate(archive.model, encoded, args.cuda_device, args.precision, on_batch=on_batch)

    audit = None if audited is None else AuditHook(archive.model, texts_of(audited, task))
    gallery = None if args.report is None else MistakeGallery(archive.model, dataset)
    seen = _both(audit, None if gallery is None else gallery.note)
    with _predictions(args.predictions_output_file, archive.model, dataset) as write:
        metrics = with_intervals(to_json_value(measure(loader, _both(write, seen))))
    if audited is not None and audit is not None:
        others = _without(audited, dataset)
        # Of classes that the model does not know: without a label, and wrong if they can be read
        if others:
            measure(_data_loader(archive, others, args.batch_size), audit)
        metrics.update(audit.figures())
    if gallery is not None and not gallery.write(args.report, Path(args.input_file).name):
        logger.warning("--report: not written: predictions of this model are not right or wrong")
    logger.info(
        "evaluated %d images; %d unreadable",
        len(dataset) - len(loader.unreadable),
        len(loader.unreadable),
    )
    if args.output_file is not None:
        write_json(args.output_file, metrics)
    elif args.json:
        sys.stdout.write(json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    else:
        sys.stdout.write(metrics_table(metrics, archive.model.class_names()))
    return 0


def _labeled_images(reader: DatasetReader, path: str, task: LabelTask) -> Dataset:
    from allencv_al.data.dataset_readers.base import Dataset

    found = _read(reader, path, task)
    labeled = [instance for instance in found if instance.is_labeled]
    if not labeled:
        raise DataError(f"{path}: none of its {len(found)} images is labeled")
    if len(labeled) == len(found):
        return found
    logger.warning("skipped %d unlabeled images", len(found) - len(labeled))
    return Dataset(reader, labeled, found.skipped, found.unreadable)


def _read(reader: DatasetReader, path: str, task: LabelTask) -> Dataset:
    """Read with the reader; labels of the labeling page, which it may not know, as tables."""
    from allencv_al.common.files.paths import split_path
    from allencv_al.data.dataset_readers.base import Dataset
    from allencv_al.data.dataset_readers.image_classification_directory import (
        ImageClassificationDirectory,
    )
    from allencv_al.labels.sessions.labeling_store import LABELING_NAME
    from allencv_al.selection.known_labels import read_labeled

    location, _ = split_path(path)
    is_table = location.is_file() and isinstance(reader, ImageClassificationDirectory)
    if is_table or (location / LABELING_NAME).is_file():
        return Dataset(reader, read_labeled(path, [], task))
    return reader.read(path)


def _audited_images(dataset: Dataset) -> Dataset | None:
    """Return the images of the audit sample, which alone were not trained on; None without any."""
    from allencv_al.data.dataset_readers.base import Dataset
    from allencv_al.labels.audit_sample import is_audit

    found = [item for item in dataset if is_audit(item)]
    if not found:
        return None
    if len(found) < len(dataset):
        logger.warning(
            "measured on the %d images of the audit sample; the %d others of the table were chosen "
            "and may have been trained on",
            *(len(found), len(dataset) - len(found)),
        )
    return Dataset(dataset.reader, found, dataset.skipped, dataset.unreadable)


def _without(dataset: Dataset, other: Dataset) -> Dataset:
    """Return the images that another data set does not have, without their labels."""
    from allencv_al.data.dataset_readers.base import Dataset

    known = {item.id for item in other}
    images = [item.unlabeled() for item in dataset if item.id not in known]
    return Dataset(dataset.reader, images)


def _both(first: BatchHook | None, second: BatchHook | None) -> BatchHook | None:
    if first is None or second is None:
        return first or second

    def both(ids: list[str], outputs: dict[str, Any]) -> None:
        first(ids, outputs)
        second(ids, outputs)

    return both


def _data_loader(archive: Archive, dataset: Dataset, batch_size: int | None) -> DataLoader:
    from allencv_al.data.data_loaders.base import DataLoader

    # Of the config's loader only what changes no metric: no shuffling, dropping or sampling
    settings = _loader_settings(archive.config)
    if batch_size is not None:
        settings["batch_size"] = batch_size
    return DataLoader.from_params(
        {**settings, "shuffle": False},
        dataset=dataset,
        vocab=archive.model.vocab,
        seed=0,
        targets=archive.model.task.target,
    )


def _loader_settings(config: Params) -> dict[str, Any]:
    for key in LOADER_KEYS:
        given = config.get(key)
        if given is not None:
            return {name: given[name] for name in LOADER_SETTINGS if name in given}
    return {}


@contextmanager
def _predictions(path: Path | None, model: Model, dataset: Dataset) -> Iterator[BatchHook | None]:
    """Yield a hook that writes the predictions of each batch; None without an output file.

    Places in an image are told in pixels of its file, as those of its label are.
    """
    if path is None:
        yield None
        return
    from allencv_al.common.seeding import item_seed
    from allencv_al.data.frame import load_framed
    from allencv_al.predictors.prediction_json import dump_line, rows_of_outputs
    from allencv_al.training.datasets import texts_of

    task = model.task
    labels = {id: task.value(text) for id, text in texts_of(dataset, task).items()}
    # Decoded once more: batches keep no frames, which only these files need
    framed = {} if task.names_image else {instance.id: instance for instance in dataset}
    with open_output(path) as file:

        def write(ids: list[str], outputs: dict[str, Any]) -> None:
            readable = model.make_output_human_readable(dict(outputs))
            rows = rows_of_outputs(readable, len(ids), keeps_pictures=not task.names_image)
            for id, row in zip(ids, rows, strict=True):
                if (image := framed.get(id)) is not None:
                    seed = item_seed(0, 0, id)
                    row = task.in_image(row, load_framed(dataset.reader, image, seed)[1])
                file.write(dump_line({"id": id, "label": labels.get(id), **row}))

        yield write


def metrics_table(metrics: Mapping[str, Any], class_names: Sequence[str]) -> str:
    """Return the metrics, one per line, and the results of each class.

    Args:
        metrics: Metrics as JSON values.
        class_names: The classes, in the order of the confusion matrix.
    """
    matrix = metrics.get(CONFUSION_MATRIX) or ()
    has_classes = 0 < len(matrix) == len(class_names)
    left_out = _OF_CLASSES if has_classes else ()
    rows = [
        (name, _number(value))
        for key, found in metrics.items()
        if key not in left_out
        for name, value in _single_values(key, found)
    ]
    text = _aligned(rows)
    if has_classes:
        columns = {
            title: [metrics[key].get(name) for name in class_names]
            for key, title in _COLUMNS.items()
            if isinstance(metrics.get(key), Mapping)
        }
        names = [_printable(name) for name in class_names]
        text += "\n" + _aligned(_class_rows(matrix, names, columns))
    return text


def _class_rows(
    matrix: Sequence[Sequence[float]],
    names: Sequence[str],
    columns: Mapping[str, Sequence[float | None]],
) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("class", "images", "recall", *columns, "most often taken for"),
    ]
    for index, (name, counts) in enumerate(zip(names, matrix, strict=True)):
        total = sum(counts)
        wrong = [0 if place == index else count for place, count in enumerate(counts)]
        # The first of equals, in the order of the classes
        worst = max(range(len(names)), key=wrong.__getitem__)
        rows.append(
            (
                name,
                f"{total:g}",
                _percent(counts[index] / total if total else None),
                *(_percent(values[index]) for values in columns.values()),
                f"{names[worst]} ({wrong[worst]:g})" if wrong[worst] else "-",
            )
        )
    return rows


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _single_values(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _single_values(f"{name}.{_printable(str(key))}", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _single_values(f"{name}.{index}", inner)
    else:
        yield name, value


def _number(value: Any) -> str:
    if value is None:
        return "-"  # not defined
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows in columns; the first, and the last of more than two, are aligned to the left."""
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    lines = (
        "  ".join(
            cell.ljust(width) if place == 0 or (place == last > 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)
