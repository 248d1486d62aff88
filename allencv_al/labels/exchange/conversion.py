"""Conversion: the labels of a run, a labeling, a folder or a file, written in another format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from allencv_al.common.errors import DataError, ImageDecodeError, raise_problems
from allencv_al.common.files.atomic_file import atomic_directory, atomic_path
from allencv_al.common.files.json_values import repr_json
from allencv_al.common.names import listed
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Coordinates,
)
from allencv_al.data.image_io import image_frame
from allencv_al.labels.exchange import CARRIED, FORMATS, LABELING, OF_ANNOTATORS, UPRIGHT
from allencv_al.labels.exchange.annotation_entries import always
from allencv_al.labels.exchange.class_folders import Placement, taken, write_class_folders
from allencv_al.labels.exchange.entry_objects import (
    CLASSES_ALONE,
    check_carries,
    holds_objects,
    label_of_objects,
    with_objects,
)
from allencv_al.labels.exchange.exporting import (
    image_files,
    is_run_or_labeling,
    read_entries,
    task_of,
    task_of_texts,
)
from allencv_al.labels.exchange.formats import FOLDERS, TEXT_FORMATS, format_of, read_file
from allencv_al.labels.exchange.importing import import_entries
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.object_folders import FOLDER_FORMATS, write_object_folder
from allencv_al.labels.exchange.source_images import with_image_files
from allencv_al.labels.sessions.items import NewItem
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.tasks.base import label_task

SINGLE, MULTI, BOXES, MASKS = "single_label", "multi_label", "detection", "segmentation"
_OWNER = "the command line"
_OF_ADDRESSES = ("vertex", "sagemaker")


@dataclass(frozen=True)
class SourceLabels:
    """The labels of a source.

    Args:
        entries: Entries whose labels are texts, with the paths of the images that were found.
        task: The registered name of the task of the labels.
        classes: For masks: the names of the class indices, from 1.
        format: The name of the format of the source; `run or labeling` for these.
    """

    entries: Sequence[LabelEntry]
    task: str
    classes: Sequence[str]
    format: str

    @property
    def index_names(self) -> Sequence[str]:
        """The names of the class indices from 1, where labels are indices; else none."""
        return self.classes if self.task == "segmentation" else ()


def read_labels(
    source: Path,
    name: str = "auto",
    target: str = "csv",
    task: str | None = None,
    images: Path | None = None,
    coordinates: Coordinates | None = None,
) -> SourceLabels:
    """Return the labels of a run, a labeling, or a file or folder in an exchange format.

    Args:
        source: The run, labeling, file or folder.
        name: The format of a file or folder, or "auto" to detect it.
        target: The format that the labels are for; where a source has both boxes and areas, it
            decides what they become.
        task: The task of the labels, where a source fits several.
        images: The folder of the images of a file or folder. Default: near `source`.
        coordinates: Pixels that boxes and areas refer to where an image has an EXIF orientation.
            Default: as the format of the source has it.

    Raises:
        DataError: The source is of no known format, or its labels are invalid or do not fit.
    """
    if is_run_or_labeling(source):
        found_task, classes = task_of(source)
        entries = read_entries(source, image_files(source))
        wanted = task or _fitting(found_task, target)
        recast = _recast(entries, found_task, wanted)
        return SourceLabels(recast, wanted, classes, "run or labeling")
    if name == "auto":
        name = format_of(source)
    entries = read_file(source, name)
    if name == FOLDERS:
        entries = [_in_class_folder(entry, source) for entry in entries]
    entries = with_image_files(entries, source, images)
    where: Coordinates = coordinates or ("upright" if name in UPRIGHT else "auto")
    if not any(entry.objects is not None and entry.label is None for entry in entries):
        texts = [entry.label for entry in entries if entry.label is not None]
        found_task = task_of_texts(texts)
        wanted = task or _fitting(found_task, target)
        return SourceLabels(_recast(entries, found_task, wanted), wanted, (), name)
    entries = _looked_at(source, entries)
    annotations = [one for entry in entries if (one := _annotation(entry)) is not None]
    wanted = task or _task_of_objects(annotations, target)
    texts_of = _LabelTexts(wanted, _class_list(annotations) if wanted == MASKS else (), where)
    return SourceLabels(texts_of.converted(source, entries), wanted, texts_of.classes, name)


def write_labels(
    target: Path,
    name: str,
    labels: SourceLabels,
    placement: Placement | None = None,
    address: str | None = None,
) -> int:
    """Write labels to a new file or folder, whole or not at all.

    Args:
        target: The file or folder; it must not exist.
        name: The format, or `labeling` for the folder of a labeling.
        labels: The labels.
        placement: Treatment of the image files. Default: copied into class folders, else left
            where they are.
        address: The part before the id of an image in a format of addresses, such as
            `gs://bucket/photos/`.

    Returns:
        The number of labels.

    Raises:
        DataError: The target exists, or the format cannot hold the labels.
    """
    if target.is_dir() or target.is_file():
        raise taken(target)
    is_folder = name in (FOLDERS, *FOLDER_FORMATS)
    if not any(name == LABELING or entry.label is not None for entry in labels.entries):
        raise DataError(f"there is nothing to convert: no image has a label ({labels.format})")
    if name != LABELING:
        check_carries(name, labels.task)
    if placement in ("copy", "link") and not is_folder:
        fitting = ", ".join((FOLDERS, *FOLDER_FORMATS))
        raise DataError(f"--{placement}: the format {name} is no folder of images; {fitting} are")
    if address is not None and name not in _OF_ADDRESSES:
        raise DataError(
            f"--address: the format {name} has no addresses; {listed(_OF_ADDRESSES)} have"
        )
    if placement == "list" and name == FOLDERS:
        raise DataError("--list: class folders are the images; expected --copy or --link")
    entries = labels.entries if name in (*OF_ANNOTATORS, LABELING) else _one_each(labels.entries)
    try:
        if name == LABELING:
            return _write_labeling(target, replace(labels, entries=entries))
        if name == FOLDERS:
            return write_class_folders(target, entries, placement or "copy")
        if holds_objects(name, labels.task):
            entries = with_objects(entries, labels.task, labels.classes)
        if address is not None:
            entries = [replace(entry, id=address + entry.id) for entry in entries]
        if name in FOLDER_FORMATS:
            if placement in ("copy", "link"):
                _check_are_there(entries)
            return write_object_folder(name, target, entries, placement or "list")
        text = TEXT_FORMATS[name].write(entries)
        with atomic_path(target, replaces=False) as temporary:
            temporary.write_bytes(text.encode())
    except FileExistsError:  # another process has made it since
        raise taken(target) from None
    return sum(entry.label is not None for entry in entries)


def format_of_target(target: Path) -> str:
    """Return the format that the name of a new file shows.

    Raises:
        DataError: It shows none.
    """
    name = target.suffix.lower().removeprefix(".")
    if name not in ("csv", "jsonl"):
        raise DataError(
            f"{target}: its name does not show a format; name one by --format: "
            f"{', '.join((*FORMATS, LABELING))}"
        )
    return name


# -- Reading -------------------------------------------------------------------------------------


def _in_class_folder(entry: LabelEntry, folder: Path) -> LabelEntry:
    """Return an entry of class folders with the file that is there, and its path as the id.

    Names of files are unique in a folder only, and an image that `labels.jsonl` names may since
    have moved.
    """
    file = folder / (entry.place or "")
    if not file.is_file():
        return entry
    id = file.relative_to(folder).as_posix() if entry.image == str(file) else entry.id
    is_known = entry.image is not None and Path(entry.image).is_file()
    return replace(entry, id=id, image=entry.image if is_known else str(file))


def _looked_at(source: Path, entries: Sequence[LabelEntry]) -> list[LabelEntry]:
    """Return entries with their objects read once, as those of the image that they belong to."""
    problems: list[str] = []
    found = []
    for entry in entries:
        if entry.objects is not None:
            try:
                frame = None if entry.image is None else image_frame(entry.image)
            except (ImageDecodeError, FileNotFoundError):
                frame = None
            annotation = entry.objects(frame, problems)
            entry = replace(entry, objects=None if annotation is None else always(annotation))
        found.append(entry)
    raise_problems(source, problems)
    return found


def _annotation(entry: LabelEntry) -> Annotation | None:
    return None if entry.objects is None else entry.objects(None, [])


def _task_of_objects(annotations: Sequence[Annotation], target: str) -> str:
    """Return the task that objects are labels of: areas before boxes before classes."""
    carried = CARRIED.get(target, (SINGLE, MULTI, BOXES, MASKS))
    objects = [one for annotation in annotations for one in annotation.objects]
    if objects:
        is_area = MASKS in carried and any(map(_is_area, objects))
        return MASKS if is_area or carried == (MASKS,) else BOXES
    counts = {len(set(annotation.tags)) for annotation in annotations}
    if counts == {1} and SINGLE in carried:
        return SINGLE
    return MULTI if counts != {0} or BOXES not in carried else BOXES


def _class_list(annotations: Sequence[Annotation]) -> list[str]:
    objects = [one for annotation in annotations for one in annotation.objects]
    return sorted({one.name for one in objects if one.name and not one.ignored})


def _is_area(one: AnnotatedObject) -> bool:
    """Return whether the region of an object is more than the outline of its box."""
    if one.region is None or one.box is None:
        return False
    x_min, y_min, x_max, y_max = one.box
    outlines = [(set(outline[::2]), set(outline[1::2])) for outline in one.region.polygons]
    return outlines != [({x_min, x_max}, {y_min, y_max})]


def _fitting(task: str, target: str) -> str:
    """Return the task for a format that holds several classes of an image, but not the one."""
    carried = CARRIED.get(target, (task,))
    return MULTI if task == SINGLE and SINGLE not in carried and MULTI in carried else task


def _recast(entries: Sequence[LabelEntry], task: str, wanted: str) -> list[LabelEntry]:
    """Return entries with one class as a list of one, or the other way round."""
    if task == wanted:
        return list(entries)
    if {task, wanted} != {SINGLE, MULTI}:
        raise DataError(f"labels of the kind {task} cannot become labels of the kind {wanted}")
    found, wrong = [], []
    for entry in entries:
        text = entry.label
        if text is not None and wanted == MULTI:
            text = label_task(MULTI).read(text)  # also "cat; dog"
        elif text is not None:
            names = json.loads(text)
            if len(names) != 1:
                wrong.append(entry.id)
                continue
            [text] = names
        found.append(replace(entry, label=text))
    if wrong:
        raise DataError(
            f"{len(wrong)} images have no or several classes, not one; the first is "
            f"{repr_json(wrong[0])}"
        )
    return found


class _LabelTexts:
    """Converts the objects of entries to the texts of labels."""

    def __init__(self, task: str, classes: Sequence[str], coordinates: Coordinates) -> None:
        self.classes = classes
        self._task = task
        self._coordinates: Coordinates = coordinates

    def converted(self, source: Path, entries: Sequence[LabelEntry]) -> list[LabelEntry]:
        """Return entries with texts; those without a label have none.

        Raises:
            DataError: Image files are missing, or labels do not fit; the message lists them.
        """
        missing = [one.id for one in entries if one.objects is not None and not _is_there(one)]
        if missing and self._task not in CLASSES_ALONE:
            raise DataError(
                f"{source}: the files of {len(missing)} images are not there, and boxes and areas "
                f"need their sizes; the first is {repr_json(missing[0])}; --images DIR names their "
                "folder"
            )
        problems: list[str] = []
        found = []
        for entry in entries:
            try:
                text = entry.label if entry.objects is None else self._text(entry)
            except (DataError, ImageDecodeError) as error:
                problems.append(str(error))
                continue
            kind = entry.kind if text is None else "label"
            found.append(replace(entry, label=text, kind=kind, objects=None))
        raise_problems(source, problems)
        return found

    def _text(self, entry: LabelEntry) -> str | None:
        if self._task != SINGLE:
            file = Path(str(entry.image)) if _is_there(entry) else None
            return label_of_objects(self._task, entry, file, self.classes, self._coordinates)
        annotation = _annotation(entry)
        tags = set(() if annotation is None else annotation.tags)
        if len(tags) > 1:
            raise DataError(
                f"{repr_json(entry.id)} has the classes {listed(sorted(tags))}, expected one"
            )
        return tags.pop() if tags else None


def _is_there(entry: LabelEntry) -> bool:
    return entry.image is not None and Path(entry.image).is_file()


# -- Writing -------------------------------------------------------------------------------------


def _one_each(entries: Sequence[LabelEntry]) -> list[LabelEntry]:
    """Return one entry for each image; the newest, where all of several labels have a time."""
    groups: dict[str, list[LabelEntry]] = {}
    for entry in entries:
        if entry.label is not None:
            groups.setdefault(entry.id, []).append(entry)
    found, problems = [], []
    for id, group in groups.items():
        times = [one.time for one in group if one.time is not None]
        last = [one for one in group if len(times) < len(group) or one.time == max(times)]
        if len({one.label for one in last}) > 1:
            problems.append(f"{repr_json(id)} has several labels")
        found.append(last[-1])
    raise_problems("one label for each image", problems, f"{', '.join(OF_ANNOTATORS)} hold several")
    return found


def _check_are_there(entries: Sequence[LabelEntry]) -> None:
    missing = [entry.id for entry in entries if entry.label is not None and not _is_there(entry)]
    if missing:
        raise DataError(
            f"the files of {len(missing)} labeled images are not there; the first is "
            f"{repr_json(missing[0])}; --images DIR names their folder"
        )


def _write_labeling(folder: Path, labels: SourceLabels) -> int:
    items = {entry.id: entry for entry in labels.entries}
    _check_are_there([replace(one, label=one.label or "") for one in items.values()])
    with atomic_directory(folder, replaces=False) as target:
        with LabelingStore(target / LABELING_NAME) as store:
            if labels.task != SINGLE:
                store.values.set_task(labels.task)
            store.classes.add(sorted(_class_names(labels)), _OWNER)
            store.items.open_batch([NewItem(id, Path(str(e.image))) for id, e in items.items()])
        return import_entries(target, list(labels.entries), None).new


def _class_names(labels: SourceLabels) -> Iterator[str]:
    texts = dict.fromkeys(one.label for one in labels.entries if one.label is not None)
    if labels.task == SINGLE:
        yield from texts
        return
    task = label_task(labels.task)
    yield from dict.fromkeys(name for text in texts for name in task.class_names(text))
