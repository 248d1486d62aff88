"""`SampleSelector`: choose the images worth labeling, with a trained model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allencv_al.common.errors import AllenCVError, ConfigurationError
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.id_hash import canonical_order
from allencv_al.data.image_io import DEFAULT_MAX_PIXELS, ImageInput
from allencv_al.data.instance import LABEL_NAMESPACE, Instance, Reading, decode_instance
from allencv_al.predictors.predictor import Predictor
from allencv_al.selection.pool.output_blocks import cause_of
from allencv_al.selection.pool.pool_images import (
    Labeled,
    class_counts,
    class_indices,
    instances_of,
    labeled_instances,
)
from allencv_al.selection.pool.pool_outputs import ARRAYS, PoolOutputs
from allencv_al.selection.pool.pool_scorer import DEFAULT_OPTIONS, ScoringOptions
from allencv_al.selection.pool.scoring import compute_outputs
from allencv_al.selection.pool.unlabeled_pool import Pool
from allencv_al.selection.selection import Selection
from allencv_al.selection.strategies.base import QueryStrategy, needs_of, selected
from allencv_al.selection.strategies.shared.softmax import softmax
from allencv_al.tasks.base import LabelTask, label_task

Images = Iterable[ImageInput | Instance]

_COMPUTED = frozenset(ARRAYS)
# EPIG computes one product per candidate and target
_MOST_TARGETS = 1000


@dataclass(frozen=True)
class SelectedImage:
    """One of the images to label next.

    Args:
        instance: The image, with its id.
        score: Its score when it was picked; higher is more wanted.
        reason: Why, as JSON values; always with its `rank`, from 0.
        predicted: The class that the model predicts; None if the strategy needs no logits. For
            other kinds of labels: what a person reads of the prediction.
        probability: The model's probability of that class.
        prediction: The whole prediction, as `Predictor.predict` returns it, where it has places.
        size: Width and height of the upright image that its places are in.
        draft: The predicted label as text, where it is more than a class, and the probability that
            all of it is right.
    """

    instance: Instance
    score: float
    reason: Mapping[str, Any]
    predicted: str | None = None
    probability: float | None = None
    prediction: Mapping[str, Any] | None = None
    size: tuple[int, int] | None = None
    draft: tuple[str, float] | None = None

    @property
    def id(self) -> str:
        """The id of the image."""
        return self.instance.id


@dataclass(frozen=True)
class SampleSelection(Selection):
    """The images to label next, in the order of picking, and the unreadable images.

    Args:
        picks: The images with scores, reasons and predictions.
        unreadable: The images that could not be read, each with the cause; none is picked. With a
            strategy that needs no outputs (`random`), only those that it would have picked.
        pool_size: The number of images to choose from.
    """

    picks: tuple[SelectedImage, ...]
    unreadable: Mapping[str, str]
    pool_size: int


class SampleSelector:
    """Choose the images that are worth labeling next.

    Only the outputs that the strategy needs are computed, each once::

        selector = SampleSelector(Predictor.from_path("run/model.tar.gz"), "margin")
        for pick in selector.select(reader.read("photos"), 100).picks:
            print(pick.id, pick.score, pick.predicted)

    Args:
        predictors: The model with its transforms; several are an ensemble of the same classes. None
            for a strategy that needs no outputs.
        strategy: The strategy, or its registered name.
        options: Options for running the model over the images.

    Raises:
        ConfigurationError: The strategy's name is not registered, it needs a model, or it has no
            meaning for the labels of this model.
    """

    def __init__(
        self,
        predictors: Predictor | Sequence[Predictor] | None,
        strategy: QueryStrategy | str,
        options: ScoringOptions = DEFAULT_OPTIONS,
    ) -> None:
        members = [predictors] if isinstance(predictors, Predictor) else list(predictors or ())
        self.predictors: tuple[Predictor, ...] = tuple(members)
        self.strategy: QueryStrategy = (
            QueryStrategy.by_name(strategy)() if isinstance(strategy, str) else strategy
        )
        if members:
            self.strategy = self.strategy.for_task(members[0].model.task)
        self.options = options
        self._needs = needs_of(self.strategy)
        if self._needs and not members:
            raise ConfigurationError(
                f"predictors: {type(self.strategy).__name__} needs "
                f"{', '.join(sorted(self._needs))}, so expected a model, found none"
            )

    def select(
        self,
        images: Images,
        query_size: int,
        labeled: Labeled | None = None,
        seed: int = 0,
        folder: str | Path | None = None,
        target: Images | None = None,
    ) -> SampleSelection:
        """Choose `query_size` of the images, fewer only where there are fewer.

        Args:
            images: Paths, arrays, PIL images, bytes or instances (a `Dataset` is such a thing).
            query_size: Number of items.
            labeled: Labeled images, which are not chosen again: instances with labels, which may be
                among the images, or the labels by the ids of images.
            seed: Decides what is left to chance, and ties.
            folder: Store the outputs there; a killed call resumes.
            target: For strategies that need `target_mc_logits`: images like those that the model
                will meet. By default up to 1,000 of the images themselves, drawn by the seed.

        Raises:
            ConfigurationError: The strategy needs members, and the model has no dropout; models
                of an ensemble have other classes; query_size is negative.
            DataError: Ids occur twice, a label is missing, or labeled ids are not among the images.
        """
        if query_size < 0:
            raise ConfigurationError(f"query_size: expected at least 0, found {query_size}")
        instances = list(instances_of(images, self.predictors[0] if self.predictors else None))
        known = labeled_instances(labeled or (), instances, self._task(labeled or ()))
        taken = {instance.id for instance in known}
        # By id: an image that is listed twice is a candidate once
        candidates = {item.id: item for item in instances if item.id not in taken}
        outputs = self._compute(list(candidates.values()), self._needs & _COMPUTED, folder, "pool")
        of_labeled, labels = self._of_labeled(known, folder)
        of_target = self._of_target(target, outputs, seed, folder)
        pool = outputs.pool(of_labeled, labels, of_target, self._counts(known))
        readable = _Readable(candidates, self._decode(images))
        chosen = _choose(self.strategy, pool, query_size, seed, readable)
        unreadable = {
            **_of_dataset(images),
            **outputs.unreadable,
            **({} if of_labeled is None else of_labeled.unreadable),
            **readable.unreadable,
        }
        return SampleSelection(
            **vars(chosen),
            picks=self._picks(chosen, outputs, candidates),
            unreadable=unreadable,
            pool_size=len(outputs) - len(readable.unreadable),
        )

    def _task(self, labeled: Labeled) -> LabelTask:
        if self.predictors:
            return self.predictors[0].model.task
        return label_task() if isinstance(labeled, Mapping) else LabelTask.of_instances(labeled)

    def _decode(self, images: Images) -> Callable[[Instance], object]:
        if self.predictors:
            return self.predictors[0].dataset_reader.decode
        if isinstance(images, Dataset):
            return images.reader.decode
        return lambda instance: decode_instance(instance, Reading(DEFAULT_MAX_PIXELS))

    def _compute(
        self, images: Images, needs: Collection[str], folder: str | Path | None, part: str
    ) -> PoolOutputs:
        description = self.options.description
        if description is not None and part != "pool":
            description = f"{description} ({part})"
        options = replace(self.options, description=description)
        place = None if folder is None else Path(folder) / part
        return compute_outputs(self.predictors, images, needs, place, options)

    def _of_labeled(
        self, known: Sequence[Instance], folder: str | Path | None
    ) -> tuple[PoolOutputs | None, NDArray[np.int64] | None]:
        if not known or not self.predictors:
            return None, None
        outputs = None
        # A strategy that needs embeddings also reads those of the labeled images
        if self._needs & {"embeddings", "labeled_embeddings", "labeled_logits"}:
            wanted = {"embeddings", *(["logits"] if "labeled_logits" in self._needs else [])}
            outputs = self._compute(known, wanted, folder, "labeled")
            # Rows and class indices must be of the same images
            known = [instance for instance in known if instance.id not in outputs.unreadable]
        model = self.predictors[0].model
        return outputs, class_indices(known, model.vocab, model.task)

    def _counts(self, known: Sequence[Instance]) -> NDArray[np.int64] | None:
        if not self.predictors:
            return None
        model = self.predictors[0].model
        return class_counts(map(model.task.classes_in, known), model.class_names())

    def _of_target(
        self, target: Images | None, outputs: PoolOutputs, seed: int, folder: str | Path | None
    ) -> PoolOutputs | None:
        if "target_mc_logits" not in self._needs:
            return None
        if target is not None:
            return self._compute(target, {"mc_logits"}, folder, "target")
        # In a seeded order of the ids, so that the order of the pool does not change a pick
        return outputs.take(canonical_order(outputs.ids, seed)[:_MOST_TARGETS])

    def _picks(
        self, chosen: Selection, outputs: PoolOutputs, candidates: Mapping[str, Instance]
    ) -> tuple[SelectedImage, ...]:
        if self.predictors and "logits" not in self.predictors[0].model.task.outputs:
            return tuple(self._read_picks(chosen, candidates))
        predictions = self._predictions(outputs.rows(chosen.ids))
        return tuple(
            SelectedImage(candidates[id], score, reason, predicted, probability)
            for id, score, reason, (predicted, probability) in zip(
                chosen.ids, chosen.scores.tolist(), chosen.reasons, predictions, strict=True
            )
        )

    def _read_picks(
        self, chosen: Selection, candidates: Mapping[str, Instance]
    ) -> Iterator[SelectedImage]:
        """Yield the picks with their predictions, which were not kept for the whole pool."""
        predictor = self.predictors[0]
        task = predictor.model.task
        images = [candidates[id] for id in chosen.ids]
        outcomes = predictor.outcomes(images, self.options.batch_size)
        found = zip(images, chosen.scores.tolist(), chosen.reasons, outcomes, strict=True)
        for image, score, reason, outcome in found:
            pick = SelectedImage(image, score, reason)
            if outcome.value is not None:
                caption, draft = task.caption(outcome.value), task.draft(outcome.value)
                pick = replace(pick, predicted=caption, draft=draft)
            if outcome.frame is not None:
                pick = replace(pick, prediction=outcome.value, size=outcome.frame.size)
            yield pick

    def _predictions(self, outputs: PoolOutputs) -> list[tuple[str | None, float | None]]:
        """Return class and probability of each item; None where no logits were computed."""
        logits = outputs.mc_logits if outputs.logits is None else outputs.logits[:, None]
        if logits is None or not len(logits):
            return [(None, None)] * len(outputs)
        classes = logits.shape[-1]
        # The mean of the members' probabilities, not of their logits: large logits of one member
        # must not outvote the others
        members, _ = softmax(logits.reshape(-1, classes), 1.0)
        probabilities = members.reshape(logits.shape).mean(axis=1)
        names = self.predictors[0].model.vocab.get_index_to_token_vocabulary(LABEL_NAMESPACE)
        best = probabilities.argmax(axis=1)
        return [
            (names.get(index, str(index)), float(row[index]))
            for index, row in zip(best.tolist(), probabilities, strict=True)
        ]


class _Readable:
    """Decodes picked images, for strategies whose outputs did not require decoding."""

    def __init__(
        self, instances: Mapping[str, Instance], decode: Callable[[Instance], object]
    ) -> None:
        self.unreadable: dict[str, str] = {}
        self._instances = instances
        self._decode = decode
        self._seen: set[str] = set()

    def all_of(self, ids: Iterable[str]) -> bool:
        """Decode the images not seen yet; return whether all are readable."""
        new = [id for id in ids if id not in self._seen]
        # Threads are enough: Pillow releases the lock of Python while it decodes
        with ThreadPoolExecutor(thread_name_prefix="decode") as threads:
            causes = dict(zip(new, threads.map(self._cause, new), strict=True))
        self._seen.update(new)
        found = {id: cause for id, cause in causes.items() if cause is not None}
        self.unreadable |= found
        return not found

    def _cause(self, id: str) -> str | None:
        try:
            self._decode(self._instances[id])
        except AllenCVError as error:
            return cause_of(error)
        return None


def _choose(
    strategy: QueryStrategy, pool: Pool, query_size: int, seed: int, readable: _Readable
) -> Selection:
    # Ends: each turn takes at least one unreadable image out of the pool
    while True:
        if not len(pool):
            return Selection((), np.empty(0, np.float32), (), 0.0, 0)
        chosen = selected(strategy, pool, query_size, seed)
        # Outputs were computed from decoded images, so whatever was chosen can be read
        if needs_of(strategy) & _COMPUTED or readable.all_of(chosen.ids):
            return chosen
        kept = [place for place, id in enumerate(pool.ids) if id not in readable.unreadable]
        pool = pool.take(np.array(kept, np.int64))


def _of_dataset(images: Images) -> dict[str, str]:
    """Return the images that an eager reader could not read, with the causes."""
    if not isinstance(images, Dataset):
        return {}
    return {id: error.cause for id, error in images.unreadable.items()}
