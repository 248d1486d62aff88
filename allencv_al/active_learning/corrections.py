"""Correct labels, drop items, and protect annotators' labels from deletion."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.names import did_you_mean
from allencv_al.labels.annotators.base import TO_ADD_A_CLASS
from allencv_al.labels.label_store import OF_DATA, LabelKind, LabelStore, NewLabel
from allencv_al.labels.run_database import DATABASE_NAME, RunDatabase
from allencv_al.tasks.base import LabelTask

SOURCE = "correction"
DROPPED = "dropped"
# Labels of these sources can be read again; all others are the work of annotators
_REPEATABLE = ("ground_truth", OF_DATA)


def correct_labels(
    store: LabelStore, corrections: Mapping[str, str], allowed: Collection[str], task: LabelTask
) -> None:
    """Change the label of labeled items; the next training uses it.

    Args:
        store: The labels of the run.
        corrections: The right label by item id, as a person writes it.
        allowed: The names of the classes; none: any.
        task: The kind of labels.

    Raises:
        DataError: An item has no label, or a class is not allowed; all of them are named.
    """
    corrections = {id: task.read(label.strip()) for id, label in corrections.items()}
    current = {id: event for id, event in store.current().items() if event.kind is LabelKind.LABEL}
    problems, adds_class = [], False
    for id, label in corrections.items():
        if id not in current:
            hint = did_you_mean(id, current)
            problems.append(f"{id} has no label in this run{hint}")
        if (problem := task.problem(label, allowed or None)) is not None:
            is_new = task.problem(label) is None
            adds_class |= is_new
            known = f"; known: {', '.join(sorted(allowed))}" if is_new else ""
            problems.append(problem if "did you mean" in problem else f"{problem}{known}")
    if problems:
        lines = ["labels that cannot be corrected:", *problems]
        if adds_class:
            lines.append(TO_ADD_A_CLASS)
        raise DataError("\n  ".join(lines))
    store.add(
        [
            NewLabel(id, label, SOURCE, current[id].round, SOURCE)
            for id, label in corrections.items()
            if current[id].label != label
        ]
    )


def drop_items(store: LabelStore, ids: Collection[str], asked: Collection[str]) -> None:
    """Remove labeled or queried items from a run, for example if their images are gone.

    The label events of such an item stay in the log but no longer count.

    Args:
        store: The labels of the run.
        ids: The items.
        asked: The queried items without a label.

    Raises:
        DataError: Items are neither labeled nor queried; all of them are named.
    """
    current = store.current()
    known = {*current, *asked}
    problems = [f"{id}{did_you_mean(id, known)}" for id in ids if id not in known]
    if problems:
        heading = "items that have no label in this run, so that there is nothing to drop:"
        raise DataError("\n  ".join([heading, *problems]))
    found = [
        NewLabel(id, None, DROPPED, 0, DROPPED, LabelKind.SKIP)
        for id in dict.fromkeys(ids)
        if id not in current or current[id].kind is LabelKind.LABEL
    ]
    store.add(found)


def check_no_labels_are_lost(folder: Path) -> None:
    """Raise if removing a run would remove the labels of annotators.

    Args:
        folder: The folder of a run; there may be none in it.

    Raises:
        ConfigurationError: There are such labels.
    """
    if not (folder / DATABASE_NAME).is_file():
        return
    with RunDatabase(folder / DATABASE_NAME, create=False) as database:
        events = LabelStore(database).events()
    count = len({event.id for event in events if event.source not in _REPEATABLE})
    if count:
        raise ConfigurationError(
            f"{folder}: --force would remove {count} labels of annotators; --recover resumes the "
            "run, -s takes another folder; to delete the labels, remove the folder yourself"
        )
