"""The gallery of mistakes: the images that a model predicts wrongly, by what it takes them for."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from PIL import Image

from allencv_al.common.errors import ImageDecodeError
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.image_io import image_size
from allencv_al.data.instance import Instance
from allencv_al.labels.contact_sheet import png_bytes, thumbnail
from allencv_al.models.model import Model
from allencv_al.predictors.prediction_json import rows_of_outputs
from allencv_al.predictors.predictor import Predictor
from allencv_al.predictors.saliency import saliency_of
from allencv_al.reports import figure_formats as formats
from allencv_al.reports.confusion_table import MOST_CLASSES, confusion_table
from allencv_al.reports.page import write_page
from allencv_al.reports.pictures import picture_address

logger = logging.getLogger(__name__)

MOST_CERTAIN = 24
MOST_OF_A_PAIR = 24
_MOST_PICTURES = 480  # in all pairs: a page of about 3 MB
_MOST_WITH_PLACES = 500  # images with boxes or masks, which take a pass of their own
_SIDE = 128
_NOTHING = "(none)"


class Mistake(NamedTuple):
    """A wrong part of a prediction.

    Args:
        id: The image.
        expected: The class in the label; empty where the label has nothing.
        predicted: The class in the prediction; empty where the prediction has nothing.
        certainty: As `Judgment` has it.
    """

    id: str
    expected: str
    predicted: str
    certainty: float


@dataclass(frozen=True)
class ShownMistake:
    """A mistake as the template shows it.

    Args:
        mistake: The mistake.
        pictures: Addresses of pictures with a description of each.
    """

    mistake: Mistake
    pictures: Sequence[tuple[Markup, str]]

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.mistake.id.replace("\\", "/").rpartition("/")[2] or self.mistake.id


@dataclass(frozen=True)
class ShownPair:
    """The mistakes between two classes.

    Args:
        anchor: Its place in the page.
        title: The two classes.
        count: The number of its mistakes.
        items: Those that are shown, the most certain first.
    """

    anchor: str
    title: str
    count: int
    items: Sequence[ShownMistake]


class MistakeGallery:
    """Judges the predictions for a data set, and writes a page of the wrong ones.

    Memory grows with the number of images, by some hundred bytes for a mistake.

    Args:
        model: The model, whose task tells right from wrong.
        dataset: The labeled images.
    """

    def __init__(self, model: Model, dataset: Dataset) -> None:
        self._model = model
        self._dataset = dataset
        self._instances = {item.id: item for item in dataset}
        self._names = list(model.class_names())
        self._counts: Counter[tuple[str, str]] = Counter()
        self._mistakes: list[Mistake] = []
        self._judged = 0
        self._is_odd = False

    def note(self, ids: Sequence[str], outputs: Mapping[str, Any]) -> None:
        """Judge the predictions of a batch; a `BatchHook` of an evaluation.

        Labels with places (boxes, masks) lie in other pixels than the outputs; `write` predicts
        their images again.

        Args:
            ids: The images.
            outputs: The result of the model's `forward`.
        """
        if not self._model.task.names_image or self._is_odd:
            return
        try:
            readable = self._model.make_output_human_readable(dict(outputs))
            for id, row in zip(ids, rows_of_outputs(readable, len(ids)), strict=True):
                self._judge(id, row)
        except Exception as error:  # a user's model: its training must not end without figures
            self._is_odd = True
            logger.warning("mistakes: no page: %s: %s", type(error).__name__, error)

    def write(self, path: Path, name: str) -> bool:
        """Write the page, unless nothing could be judged.

        Args:
            path: The HTML file.
            name: The name of the data.

        Returns:
            Whether it was written.
        """
        if self._is_odd:
            return False
        predictor = Predictor.from_params(
            {"type": self._model.default_predictor},
            model=self._model,
            dataset_reader=self._dataset.reader,
        )
        notes, predictions = self._places(predictor)
        if not self._judged:
            return False
        self._mistakes.sort(key=lambda one: (-one.certainty, one.id, one.expected, one.predicted))
        show = _Pictures(self._instances, predictor, predictions)
        with ThreadPoolExecutor(thread_name_prefix="thumbnails") as threads:
            pairs = self._pairs(show, threads)
        # One after the other: gradients switch the modes of the model
        first = [show(one, explained=True) for one in self._mistakes[:MOST_CERTAIN]]
        write_page(
            path,
            "reports/mistakes.html.j2",
            None,
            None,
            kind="Mistakes of a model",
            name=name,
            figures={
                "Images": formats.count(self._judged),
                "Mistakes": formats.count(len(self._mistakes)),
                "Images with mistakes": formats.count(len({one.id for one in self._mistakes})),
            },
            notes=notes,
            sections=_sections(bool(self._mistakes)),
            matrix=self._matrix({pair.anchor for pair in pairs}),
            certain=first,
            explained=any(len(one.pictures) > 1 for one in first),
            has_places=not self._model.task.names_image,
            pairs=pairs,
            further=sum(one != other for one, other in self._counts) - len(pairs),
        )
        return True

    def _judge(self, id: str, row: Mapping[str, Any]) -> None:
        judged = self._model.task.judged(self._instances[id], row, self._names)
        self._judged += bool(judged)
        for expected, predicted, certainty in judged:
            self._counts[expected, predicted] += 1
            if expected != predicted:
                self._mistakes.append(Mistake(id, expected, predicted, certainty))

    def _places(self, predictor: Predictor) -> tuple[list[str], dict[str, Mapping[str, Any]]]:
        """Judge labels with places, of some images; return notes and their predictions."""
        if self._model.task.names_image:
            return [], {}
        every = list(self._instances.values())
        chosen = np.unique(np.linspace(0, len(every) - 1, min(len(every), _MOST_WITH_PLACES)))
        images = [every[place] for place in chosen.astype(int).tolist()]
        found: dict[str, Mapping[str, Any]] = {}
        for outcome in predictor.outcomes(images):
            if outcome.value is not None and outcome.id is not None:
                self._judge(outcome.id, outcome.value)
                found[outcome.id] = outcome.value
        few = len(images) < len(every)
        return [f"Of {len(every)} images every {len(every) / len(images):.1f}th."] * few, found

    def _pairs(self, show: _Pictures, threads: ThreadPoolExecutor) -> list[ShownPair]:
        by_pair: dict[tuple[str, str], list[Mistake]] = defaultdict(list)
        for mistake in self._mistakes:
            by_pair[mistake.expected, mistake.predicted].append(mistake)
        # The most frequent first; ties by name, so that equal runs have equal pages
        order = sorted(by_pair, key=lambda pair: (-len(by_pair[pair]), pair))
        left, pairs = _MOST_PICTURES, []
        for pair in order:
            shown = by_pair[pair][: min(MOST_OF_A_PAIR, left)]
            if not shown:
                break
            left -= len(shown)
            items = list(threads.map(show, shown))
            pairs.append(ShownPair(self._anchor(pair), _title(*pair), len(by_pair[pair]), items))
        return pairs

    def _classes(self) -> list[str]:
        """Return the classes of the matrix: those of the model, others that labels have."""
        used = {name for pair in self._counts for name in pair}
        classes = [name for name in self._names if len(self._names) <= MOST_CLASSES or name in used]
        classes += sorted(used - set(classes) - {""})
        return [*classes, ""] if "" in used else classes

    def _anchor(self, pair: tuple[str, str]) -> str:
        classes = self._classes()
        return "pair-{}-{}".format(*(classes.index(name) for name in pair))

    def _matrix(self, anchors: set[str]) -> Any:
        classes = self._classes()
        matrix = [[self._counts[row, column] for column in classes] for row in classes]
        links = {
            (row, column): f"pair-{row}-{column}"
            for row in range(len(classes))
            for column in range(len(classes))
            if f"pair-{row}-{column}" in anchors
        }
        names = [name or _NOTHING for name in classes]
        return confusion_table(matrix, names, "What is taken for what", links)


class _Pictures:
    """Makes the pictures of mistakes; called from several threads."""

    def __init__(
        self,
        instances: Mapping[str, Instance],
        predictor: Predictor,
        predictions: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._instances = instances
        self._predictor = predictor
        self._predictions = predictions

    def __call__(self, mistake: Mistake, explained: bool = False) -> ShownMistake:
        instance = self._instances[mistake.id]
        try:
            image = thumbnail(instance, _SIDE)
            pictures = [*self._drawn(instance, image)]
        except ImageDecodeError:
            return ShownMistake(mistake, [])
        if explained and self._predictor.model.task.names_image:
            pictures += self._explained(mistake, instance, image)
        addresses = [(picture_address(png_bytes(one)), text) for one, text in pictures]
        return ShownMistake(mistake, [(one, text) for one, text in addresses if one is not None])

    def _drawn(self, instance: Instance, image: Image.Image) -> Iterable[tuple[Image.Image, str]]:
        task, prediction = self._predictor.model.task, self._predictions.get(instance.id)
        if prediction is None:
            yield image, ""
            return
        scale = image.width / _width(instance)
        yield task.label_drawn(image, instance, scale), "label of "
        yield task.drawn(image, prediction, scale), "prediction for "

    def _explained(
        self, mistake: Mistake, instance: Instance, image: Image.Image
    ) -> Iterable[tuple[Image.Image, str]]:
        # Where a class was missed, what speaks for it all the same
        name = mistake.predicted or mistake.expected
        try:
            yield saliency_of(self._predictor, instance, name).drawn(image), f"{name} in "
        except Exception as error:  # a user's model without gradients must not cost the page
            logger.debug("no saliency of %s: %s", mistake.id, error)


def _width(instance: Instance) -> int:
    source = instance.image
    if isinstance(source, str | Path | bytes):
        return image_size(source)[0]
    return source.shape[1] if isinstance(source, np.ndarray) else source.width


def _title(expected: str, predicted: str) -> str:
    if not predicted:
        return f"{expected} missed"
    return f"{expected} taken for {predicted}" if expected else f"{predicted} where there is none"


def _sections(has_mistakes: bool) -> dict[str, str]:
    titles = {"certain": "Most certain mistakes", "confusion": "Confusion matrix"}
    if not has_mistakes:
        return {"confusion": titles["confusion"]}
    return {**titles, "pairs": "Mistakes by classes"}
