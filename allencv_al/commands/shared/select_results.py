"""Results of `allencv-al select`: JSON lines or a table, a contact sheet, and a summary."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from allencv_al.common.files.atomic_file import write_text
from allencv_al.data.instance import LABEL_NAMESPACE, Instance
from allencv_al.labels.contact_sheet import write_contact_sheet
from allencv_al.labels.label_table import (
    Overlay,
    PickedImage,
    has_place_in_table,
    write_label_table,
)
from allencv_al.predictors.prediction_json import dump_line
from allencv_al.predictors.predictor import Predictor
from allencv_al.selection.pool.pool_scorer import DEFAULT_OPTIONS, ScoringOptions
from allencv_al.selection.pool.scoring import compute_outputs
from allencv_al.selection.selection import named_reason
from allencv_al.selection.selector import SampleSelection, SelectedImage
from allencv_al.selection.strategies.shared.softmax import softmax
from allencv_al.tasks.base import LabelTask, label_task

_MOST_NAMED = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Results:
    """The result of a selection.

    Args:
        picks: The picks, in order.
        pool: The candidates.
        labeled: The labeled images.
        unreadable: Unreadable images of both, with the cause.
        title: Title of the contact sheet.
        task: The kind of labels.
    """

    picks: Sequence[PickedImage]
    pool: Sequence[Instance]
    labeled: Sequence[Instance]
    unreadable: Mapping[str, str]
    title: str
    task: LabelTask = field(default_factory=label_task)


def picked_images(
    selection: SampleSelection,
    labeled: Sequence[Instance],
    classifiers: Sequence[Predictor],
    options: ScoringOptions = DEFAULT_OPTIONS,
) -> list[PickedImage]:
    """Return the picks with the columns of the output.

    Args:
        selection: The selection.
        labeled: The labeled images, whose ids appear in reasons.
        classifiers: Models that predict the class where the strategy did not; may be empty.
        options: Options of the predictions.
    """
    picks = selection.picks
    task = None if not classifiers else classifiers[0].model.task
    if (
        task is not None
        and "logits" in task.outputs
        and any(pick.predicted is None for pick in picks)
    ):
        picks = tuple(_with_classes(picks, classifiers, options))
    readable = [item.id for item in labeled if item.id not in selection.unreadable]
    names = _class_names(classifiers)
    return [
        PickedImage(
            rank=rank,
            instance=pick.instance,
            score=pick.score,
            predicted=pick.predicted,
            probability=pick.probability,
            reason=_reason(pick, readable, names),
            overlay=None if task is None else _overlay(pick, task),
            draft=pick.draft,
        )
        for rank, pick in enumerate(picks, start=1)
    ]


def write_results(results: Results, output: Path | None, contact_sheet: Path | None) -> None:
    """Write the picks, and the list of unreadable images next to them.

    Args:
        results: The results to write.
        output: A .csv or JSON lines file; None for lines on stdout.
        contact_sheet: PNG file of the contact sheet, if any.
    """
    if output is None:
        sys.stdout.writelines(map(_line, results.picks))
    elif output.suffix.lower() == ".csv":
        labeled = [item for item in results.labeled if has_place_in_table(item)]
        if len(labeled) < len(results.labeled):
            logger.warning(
                "%d labeled images have names that no table can hold: they are not in it",
                len(results.labeled) - len(labeled),
            )
        write_label_table(output, results.picks, labeled)
    else:
        write_text(output, "".join(map(_line, results.picks)))
    if output is not None:
        _write_unreadable(results, output)
    if contact_sheet is not None:
        write_contact_sheet(contact_sheet, results.picks, results.title)


def log_summary(
    results: Results,
    output: Path | None,
    scoring_seconds: float,
    choosing_seconds: float,
    all_scored: bool = True,
) -> None:
    """Log the number of images, the unreadable ones, and the time taken.

    Args:
        results: The results.
        output: File of the picks.
        scoring_seconds: Duration of the model's inference.
        choosing_seconds: Duration of the strategy.
        all_scored: Whether the model ran on all images, so that a rate is meaningful.
    """
    pool, bad = len(results.pool), results.unreadable
    logger.info("pool: %d images; labeled: %d images", pool, len(results.labeled))
    if bad:
        named = "; ".join(f"{id}: {cause}" for id, cause in list(bad.items())[:_MOST_NAMED])
        more = f"; and {len(bad) - _MOST_NAMED} more" if len(bad) > _MOST_NAMED else ""
        where = "" if output is None else f"; all in {_unreadable_path(output)}"
        logger.warning("cannot be read: %d images (%s%s)%s", len(bad), named, more, where)
        for id, cause in bad.items():
            logger.debug("cannot be read: %s: %s", id, cause)
    rate = f" ({pool / max(scoring_seconds, 1e-9):.1f} images/s)" if all_scored else ""
    logger.info(
        "scored in %.1f s%s, chose %d in %.2f s",
        *(scoring_seconds, rate, len(results.picks), choosing_seconds),
    )
    if output is not None and output.suffix.lower() == ".csv":
        labeled = f"; {len(results.labeled)} labeled ones below them" if results.labeled else ""
        todo = 'fill in the column "label" of'
        then = 'the dataset reader "manifest" trains on it'
        if not results.task.names_image:  # a mask is not typed
            todo, then = "label", f"allencv-al label {output} --task {results.task.name()}"
        count = len(results.picks)
        logger.info("%s: %s the first %d rows%s; %s", output, todo, count, labeled, then)
        _warn_about_images_in_archives(results)


def _warn_about_images_in_archives(results: Results) -> None:
    if any(not isinstance(pick.instance.image, str | Path) for pick in results.picks):
        logger.warning(
            "these images are not files, so the table holds only their ids: pass the filled table "
            "to --labeled; dataset readers cannot find the images by it"
        )


def _with_classes(
    picks: Iterable[SelectedImage], classifiers: Sequence[Predictor], options: ScoringOptions
) -> Iterator[SelectedImage]:
    known = {pick.id: pick for pick in picks}
    images = [pick.instance for pick in known.values()]
    quiet = replace(options, description=None)
    # Of the picks alone: a strategy that looks at no logits left those of the pool uncomputed
    outputs = compute_outputs(classifiers, images, {"logits"}, None, quiet)
    names = _class_names(classifiers)
    assert outputs.logits is not None
    probabilities, _ = softmax(outputs.logits, 1.0)
    for id, row in zip(outputs.ids, probabilities, strict=True):
        best = int(row.argmax())
        known[id] = replace(
            known[id], predicted=names.get(best, str(best)), probability=float(row[best])
        )
    return iter(known.values())


def _overlay(pick: SelectedImage, task: LabelTask) -> Overlay | None:
    prediction, size = pick.prediction, pick.size
    if prediction is None or size is None:
        return None
    return lambda image: task.drawn(image, prediction, image.width / size[0])


def _class_names(classifiers: Sequence[Predictor]) -> dict[int, str]:
    if not classifiers:
        return {}
    vocabulary = classifiers[0].model.vocab
    return vocabulary.get_index_to_token_vocabulary(LABEL_NAMESPACE)


def _reason(
    pick: SelectedImage, labeled: Sequence[str], names: Mapping[int, str]
) -> dict[str, Any]:
    """Return the reason text, with class names instead of indices."""
    # What has a column of its own is not repeated in the reason
    known = {"rank"} if pick.predicted is None else {"rank", "predicted", "probability"}
    kept = {name: value for name, value in pick.reason.items() if name not in known}
    return named_reason(kept, names, labeled)


def _line(pick: PickedImage) -> str:
    image = pick.instance.image
    path = {"image_path": str(image)} if isinstance(image, str | Path) else {}
    return dump_line(
        {
            "rank": pick.rank,
            "id": pick.instance.id,
            **path,
            "score": pick.score,
            "predicted": pick.predicted,
            "probability": pick.probability,
            "reason": pick.reason,
        }
    )


def _unreadable_path(output: Path) -> Path:
    return output.with_suffix(".unreadable.jsonl")


def _write_unreadable(results: Results, output: Path) -> None:
    path = _unreadable_path(output)
    if not results.unreadable:
        path.unlink(missing_ok=True)  # from an earlier call
        return
    images = {item.id: item.image for item in (*results.pool, *results.labeled)}
    lines = []
    for id, cause in results.unreadable.items():
        image = images.get(id)
        shown = {"image_path": str(image)} if isinstance(image, str | Path) else {}
        lines.append(dump_line({"id": id, **shown, "cause": cause}))
    write_text(path, "".join(lines))
