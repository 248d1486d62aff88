"""Converts the values of the store to the answers of the labeling server."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from allencv_al.common.errors import ImageDecodeError
from allencv_al.data.image_io import image_frame
from allencv_al.labels.label_store import LabelConflict
from allencv_al.labels.sessions.acceptances import Acceptance
from allencv_al.labels.sessions.answers import Answer
from allencv_al.labels.sessions.items import Item, LabelBatch
from allencv_al.labels.sessions.labeling_store import LabelingStore
from allencv_al.labels.sessions.reviews import Reviewed
from allencv_al.service.labeling.labeling_answers import (
    AcceptanceAnswer,
    ClassAnswer,
    GivenAnswer,
    ImageAnswer,
    LabelBatchAnswer,
    ProgressAnswer,
    ReviewedAnswer,
)

_KEYS = "123456789"
_VERSION_CHARACTERS = 12  # of the labeling's id, with which the version of each image begins
_NUMBER = re.compile(r"^[ic]([1-9][0-9]*)$")


class Presenter:
    """Converts the values of one labeling.

    Args:
        store: The labeling.
    """

    def __init__(self, store: LabelingStore) -> None:
        self._store = store

    def classes(self) -> list[ClassAnswer]:
        """Return the classes; the first nine have a key."""
        return [
            ClassAnswer(
                id=f"c{found.class_id}",
                name=found.name,
                key=_KEYS[place] if place < len(_KEYS) else None,
                count=found.count,
            )
            for place, found in enumerate(self._store.classes.all())
        ]

    def class_of(self, class_id: int) -> ClassAnswer:
        """Return one class.

        Raises:
            LabelConflict: There is no such class.
        """
        for found in self.classes():
            if found.id == f"c{class_id}":
                return found
        raise LabelConflict(f"there is no class {class_id}")

    def image(self, item: Item, expires: float | None = None) -> ImageAnswer:
        """Return an image.

        Args:
            item: The image.
            expires: End of its lease.
        """
        return self._image(item, self._urls(item), expires)

    def answers(self, found: Sequence[Answer]) -> list[GivenAnswer]:
        """Return answers of annotators, each with its image."""
        labels = self._labels(one.class_id for one in found)
        items = {number: self._store.items.item(number) for number in {one.item for one in found}}
        urls = {number: self._urls(item) for number, item in items.items()}
        return [_given(one, items[one.item], urls[one.item], labels) for one in found]

    def reviewed(
        self, found: Sequence[Reviewed], predictions: Mapping[int, tuple[str, float]]
    ) -> list[ReviewedAnswer]:
        """Return images with all of their answers, and with their predictions if there are any."""
        labels = self._labels(
            number
            for one in found
            for number in (one.item.class_id, *(answer.class_id for answer in _all_answers(one)))
        )
        result = []
        for one in found:
            item, urls = one.item, self._urls(one.item)
            answers = [_given(answer, item, urls, labels) for answer in one.answers]
            decision = None if one.decision is None else _given(one.decision, item, urls, labels)
            shown, text = labels.get(item.class_id or 0, (None, None))
            predicted, probability = predictions.get(item.item, (None, None))
            result.append(
                ReviewedAnswer(
                    item=self._image(item, urls, None),
                    answers=answers,
                    decision=decision,
                    kind=item.kind,
                    class_id=_class(item.class_id),
                    class_name=shown,
                    label=text,
                    conflict=item.is_conflict,
                    predicted=predicted,
                    probability=probability,
                )
            )
        return result

    def batch(self, batch: LabelBatch | None) -> LabelBatchAnswer:
        """Return a batch."""
        if batch is None:
            return LabelBatchAnswer(id=None, round=None, state="none", labels_per_image=1)
        return LabelBatchAnswer(
            id=batch.batch,
            round=batch.round,
            state="open" if batch.is_open else "done",
            labels_per_image=batch.labels_per_image,
        )

    def _may_be_guessed(self, item: Item) -> bool:
        """Return whether an image has a prediction, and is in no sample that checks predictions."""
        return bool(item.guess) and item.item not in self._store.acceptances.being_checked()

    def acceptance(self, found: Acceptance | None) -> AcceptanceAnswer | None:
        """Return predictions that are to be accepted."""
        if found is None:
            return None
        low, high = found.error_interval() or (None, None)
        return AcceptanceAnswer.model_validate(
            {**asdict(found), "id": found.number, "error_low": low, "error_high": high}
        )

    def progress(self, batch: LabelBatch | None, annotator: str) -> ProgressAnswer:
        """Return the progress of a batch, as an annotator sees it."""
        found = self._store.counts.progress(0 if batch is None else batch.batch, annotator)
        return ProgressAnswer.model_validate(found, from_attributes=True)

    def guess(self, item: Item) -> list[tuple[str, float]]:
        """Return predicted labels as a person reads them, each with its probability."""
        task = self._store.values.task
        if task is None:
            return list(item.guess)
        return [(task.shown(text), probability) for text, probability in item.guess]

    def guessed_label(self, item: Item) -> str | None:
        """Return the predicted label with ids of classes; None where a label is one class.

        Raises:
            LabelConflict: The labeling does not have a class of it.
        """
        if self._store.values.task is None or not item.guess:
            return None
        return self._store.values.numbered(item.guess[0][0])

    def guessed_mask(self, item: Item) -> str | None:
        """Return the predicted mask as a PNG in base64; None where labels are no masks.

        Raises:
            DataError: The prediction is no mask.
            ImageDecodeError: The file of the mask cannot be read.
        """
        task = self._store.values.task
        if task is None or not item.guess:
            return None
        png = task.mask_png(item.guess[0][0], self._store.items.image(item))
        return None if png is None else base64.b64encode(png).decode()

    def _labels(self, numbers: Iterable[int | None]) -> dict[int, tuple[str, str | None]]:
        """Return each label as a person reads it, and its text with ids of classes."""
        values, wanted = self._store.values, list(numbers)
        shown = values.shown(values.texts(wanted))
        texts = {} if values.task is None else values.numbered_texts(wanted)
        return {number: (name, texts.get(number)) for number, name in shown.items()}

    def _image(self, item: Item, urls: Mapping[str, str], expires: float | None) -> ImageAnswer:
        width, height = self._size(item)
        return ImageAnswer(
            id=f"i{item.item}",
            file_name=item.id,
            image_url=urls["full"],
            thumb_url=urls["thumb"],
            reason=item.reason,
            has_guess=self._may_be_guessed(item),
            lease_expires=expires,
            width=width,
            height=height,
        )

    def _size(self, item: Item) -> tuple[int | None, int | None]:
        """Return the pixels of the upright image, where labels are places in it."""
        task = self._store.values.task
        if task is None or task.names_image:
            return None, None
        try:
            return image_frame(self._store.items.image(item)).upright_size
        except (ImageDecodeError, OSError):  # requesting the image tells the page
            return None, None

    def _urls(self, item: Item) -> dict[str, str]:
        """Return the addresses of an image by size; they change with the labeling and the file."""
        version = self._store.id()[:_VERSION_CHARACTERS]
        source = self._store.items.image(item) if item.image is not None else None
        if isinstance(source, Path):
            try:
                status = source.stat()
            except OSError:  # a missing file has no version; requesting the image tells the page
                pass
            else:
                # A file that was replaced under its name is another image to a browser's cache
                version = f"{version}-{status.st_mtime_ns:x}-{status.st_size:x}"
        return {
            size: f"api/images/i{item.item}?size={size}&v={version}" for size in ("full", "thumb")
        }


def _given(
    answer: Answer,
    item: Item,
    urls: Mapping[str, str],
    labels: Mapping[int, tuple[str, str | None]],
) -> GivenAnswer:
    shown, text = labels.get(answer.class_id or 0, (None, None))
    return GivenAnswer(
        event_id=answer.event_id,
        item=f"i{answer.item}",
        file_name=item.id,
        image_url=urls["full"],
        thumb_url=urls["thumb"],
        kind=answer.kind,
        class_id=_class(answer.class_id),
        class_name=shown,
        label=text,
        annotator=answer.annotator,
        seconds=answer.seconds,
        time=answer.time,
        in_force=answer.is_in_force,
        source=answer.source,
        group=answer.group,
    )


def _all_answers(one: Reviewed) -> list[Answer]:
    return [*one.answers, *(() if one.decision is None else (one.decision,))]


def number_of(id: str) -> int:
    """Return the number in `i12` or `c3`.

    Raises:
        LabelConflict: The id has another form.
    """
    found = _NUMBER.match(id)
    # SQLite takes no whole number beyond 64 bits, which 16 digits never are
    if found is None or len(id) > 17:
        raise LabelConflict(f"there is nothing that is called {id[:40]!r}")
    return int(found[1])


def optional_number(id: str | None) -> int | None:
    """Return `number_of` of an id, or None."""
    return None if id is None else number_of(id)


def _class(class_id: int | None) -> str | None:
    return None if class_id is None else f"c{class_id}"
