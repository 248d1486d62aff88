"""Read the images, labels and splits that `allencv-al audit` looks at."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from allencv_al.common.files.paths import split_path
from allencv_al.common.files.tables import LABELS_NAME
from allencv_al.data.dataset_readers.image_classification_directory import (
    SPLIT_NAMES,
    ImageClassificationDirectory,
)
from allencv_al.data.dataset_readers.manifest import ManifestReader
from allencv_al.data.instance import Instance
from allencv_al.labels.label_store import LabelStore
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.labels.sessions.agreement import (
    class_numbers_given,
    median_seconds_by_annotator,
)
from allencv_al.labels.sessions.labeling_store import LABELING_NAME, LabelingStore
from allencv_al.selection.select_inputs import read_pool
from allencv_al.tasks.base import LabelTask
from allencv_al.tasks.multi_label import tags_text
from allencv_al.training.experiment import Experiment
from allencv_al.training.run_folder import CONFIG_NAME
from allencv_al.training.validation_split import group_of

CONFIG_SUFFIXES = (".jsonnet", ".libsonnet")
_ONE_NAME = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ORDER = ("train", "pool", "", "validation", "test")


@dataclass(frozen=True)
class AuditedImage:
    """An image of a data set.

    Args:
        instance: The image; its id is unique in the data set.
        split: The name of its split; empty without splits.
        group: The name of what it belongs together with, such as a patient; empty without.
        given: The label that each annotator gave, by name, where several people label; an image
            that a review decided about has none.
    """

    instance: Instance
    split: str = ""
    group: str = ""
    given: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str | None:
        """The text of its class or classes; None without a label, and for boxes and masks."""
        item = self.instance
        return item.label if item.labels is None else tags_text(item.labels)


def split_rank(split: str) -> tuple[int, str]:
    """Return a key that sorts splits: of two copies, the one in the later split is the leak."""
    return (_ORDER.index(split), "") if split in _ORDER else (len(_ORDER), split)


def read_audited(text: str) -> list[AuditedImage]:
    """List the images of a data set with labels and splits; none is decoded.

    Args:
        text: A run directory of `train` or `active-learn`, or a config file: all of its data, with
            the labels of the run; a folder with one folder per class, or with folders such as
            `train` and `test` that have such folders; a labeling folder; a table, whose column
            `split` names splits and whose column `group` names groups; or a list of images.

    Raises:
        DataError: There is no such thing, or no image in it.
        ConfigurationFaults: The config is wrong.
    """
    location, part = split_path(text)
    if (location / CONFIG_NAME).is_file():
        return _distinct(_of_run(location))
    if location.is_file() and location.suffix.lower() in CONFIG_SUFFIXES:
        return _distinct(_of_experiment(Experiment.from_file(location), None))
    if (location / LABELING_NAME).is_file():
        return _distinct(_of_labeling(location))
    if location.is_dir() and (location / LABELS_NAME).is_file():
        return _distinct(_of_table(ManifestReader(check_files=False).read(text)))
    if location.is_dir() and part is None:
        return _distinct(_of_folder(location))
    return _distinct(_of_table(read_pool(text)))


def seconds_of_annotators(text: str) -> dict[str, float]:
    """Return the median time of an answer by annotator, in seconds; empty unless of a labeling.

    Args:
        text: As for `read_audited`.
    """
    location, _ = split_path(text)
    if not (location / LABELING_NAME).is_file():
        return {}
    with LabelingStore(location / LABELING_NAME, create=False) as store:
        return median_seconds_by_annotator(store.database)


def _of_folder(folder: Path) -> Iterator[AuditedImage]:
    below = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    splits = {path: _ONE_NAME[path.name.lower()] for path in below if _is_split(path)}
    # Only if all folders are splits: "test" may be the name of a class
    if not splits or len(splits) < len(below):
        splits = {folder: ""}
    for path, split in splits.items():
        for item in ImageClassificationDirectory().read(path):
            id = item.id if path == folder else f"{path.name}/{item.id}"
            yield AuditedImage(replace(item, id=id), split)


def _is_split(path: Path) -> bool:
    return path.name.lower() in SPLIT_NAMES


def _of_table(items: Iterable[Instance]) -> Iterator[AuditedImage]:
    for item in items:
        split = str(item.metadata.get("split") or "").strip()
        group = str(item.metadata.get("group") or "").strip()
        yield AuditedImage(item, _ONE_NAME.get(split.lower(), split), group)


def _of_labeling(folder: Path) -> Iterator[AuditedImage]:
    """Yield the images with a label in force, then those whose annotators are in conflict."""
    with LabelingStore(folder / LABELING_NAME, create=False) as store:
        names = store.classes.names()
        numbers = store.items.numbers()
        given: dict[str, AuditedImage] = {}
        answers = class_numbers_given(store.database)
        if not any(len(of_image) > 1 for of_image in answers.values()):
            answers = {}  # nothing to compare: the table has all there is
        for id, of_image in answers.items():
            content = store.items.image(store.items.item(numbers[id]))
            people = {who: names[number] for who, number in of_image.items() if number in names}
            # The table of labels knows images by their files only
            key = id if isinstance(content, bytes) else _spelled(content)
            given[key] = AuditedImage(Instance(id, content), given=people)
        if (folder / LABELS_NAME).is_file():
            for image in _of_table(ManifestReader(check_files=False).read(str(folder))):
                found = given.pop(_spelled(str(image.instance.image)), None)
                yield image if found is None else replace(image, given=found.given)
        yield from (image for image in given.values() if image.given)


def _spelled(path: str | Path) -> str:
    """Return a path in one spelling; links stay, as two may lead to one file."""
    return os.path.normpath(Path(path).absolute())


def _of_run(folder: Path) -> Iterator[AuditedImage]:
    experiment = Experiment.from_file(folder / CONFIG_NAME)
    if not (folder / DATABASE_NAME).is_file():
        return _of_experiment(experiment, None)
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        labels = LabelStore(database).labels()
    return _of_experiment(experiment, labels)


def _of_experiment(
    experiment: Experiment, labels: Mapping[str, str] | None
) -> Iterator[AuditedImage]:
    """Yield the images of an experiment.

    Args:
        experiment: The experiment.
        labels: The labels of a loop's run, by id, in place of those of its images; None for those.
    """
    _, _, group_by = experiment.validation_split
    datasets = experiment.read()
    parts: list[tuple[str, Iterable[Instance]]] = [("train", datasets.train)]
    if labels is not None:
        pool = experiment.pool_data_path
        known = {item.id for item in datasets.train}
        more = [] if pool is None else experiment.dataset_reader.read(pool)
        asked = [*datasets.train, *(item for item in more if item.id not in known)]
        # What the loop has not asked for is unlabeled, whatever its folder is called
        parts = [("train", (_asked(item, labels, experiment.task) for item in asked))]
    parts += [("validation", datasets.validation or ()), ("test", datasets.test or ())]
    for split, items in parts:
        for item in items:
            group = group_of(item, group_by)
            yield AuditedImage(item, split, "" if group.startswith("id ") else group)


def _asked(item: Instance, labels: Mapping[str, str], task: LabelTask) -> Instance:
    text = labels.get(item.id)
    return item.unlabeled() if text is None else task.labeled(item, text)


def _distinct(images: Iterable[AuditedImage]) -> list[AuditedImage]:
    """Return the images under unique ids: two splits may have an image of one name."""
    found = list(images)
    counts = Counter(image.instance.id for image in found)
    return [
        image
        if counts[image.instance.id] == 1
        else replace(
            image,
            instance=replace(image.instance, id=f"{image.split}/{image.instance.id}"),
        )
        for image in found
    ]
