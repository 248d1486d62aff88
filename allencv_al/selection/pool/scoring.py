"""`compute_outputs`: the outputs of models for a pool, computed once, in durable blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from allencv_al.common.progress import Progress
from allencv_al.data.dataset_readers.vectors import VectorsOfImages
from allencv_al.data.image_io import ImageInput
from allencv_al.data.instance import Instance
from allencv_al.predictors.predictor import Predictor
from allencv_al.selection.pool.embedding_store import EmbeddingStore
from allencv_al.selection.pool.output_blocks import (
    BlockWriter,
    FloatRows,
    GrowingOutputs,
    Write,
    in_order,
)
from allencv_al.selection.pool.output_store import OutputStore
from allencv_al.selection.pool.pool_images import instances_of
from allencv_al.selection.pool.pool_outputs import EncodingCost, PoolOutputs
from allencv_al.selection.pool.pool_scorer import (
    DEFAULT_OPTIONS,
    OF_CLASSES,
    PoolScorer,
    ScoringOptions,
    log_mean_probability,
)
from allencv_al.selection.pool.rows import take_rows
from allencv_al.selection.pool.stored_outputs import outputs_of_embeddings, stored_embeddings
from allencv_al.selection.pool.unlabeled_pool import MOST_COPIED

_OF_OTHER_ITEMS = frozenset({"labeled_embeddings", "labeled_logits", "target_mc_logits"})


def compute_outputs(
    predictors: Predictor | Sequence[Predictor],
    images: Iterable[ImageInput | Instance],
    needs: Collection[str],
    folder: str | Path | None = None,
    options: ScoringOptions = DEFAULT_OPTIONS,
) -> PoolOutputs:
    """Compute the outputs that a strategy needs for images, and no others.

    Decoding, the model and the disk work side by side; memory holds a few batches and, without a
    folder, the results. An unreadable image is noted; the others continue.

    Args:
        predictors: The model with its transforms; several are an ensemble. `mc_logits` then have
            one member for each, `logits` are the logarithm of their mean probability, `embeddings`
            those of the first. Of one model, the members of `mc_logits` are consistent dropout
            masks.
        images: Paths, arrays, PIL images, bytes or instances (a `Dataset` is such a thing).
            A path is its id; an image without a name gets `image:` and its position.
        needs: Some of `ARRAYS`, or a strategy's `needs`, whose arrays of labeled or target items
            are ignored. If empty, nothing is decoded.
        folder: Keep the results there, memory-mapped. A killed call resumes: finished images are
            not computed again, so an id must mean the same image. Results of other models or
            options are replaced. If another process is at work there, wait for its results.
        options: Options of the computation.

    Raises:
        ConfigurationError: Models of an ensemble have other classes; `mc_logits` of a single model
            without dropout.
        DataError: Ids occur twice, or the folder cannot be written.
    """
    members = [predictors] if isinstance(predictors, Predictor) else list(predictors)
    needed = set(needs) - _OF_OTHER_ITEMS
    instances = instances_of(images, members[0] if members else None)
    if not needed:
        return PoolOutputs([instance.id for instance in instances])
    reader = members[0].dataset_reader if members else None
    if isinstance(reader, VectorsOfImages) and needed == {"embeddings"} and folder is None:
        return _known_vectors(reader, [instance.id for instance in instances])
    scorer = PoolScorer(members, needed, options.mc_samples, options.seed, options.precision)
    from_store = scorer.follows_from_embeddings() and (len(members) == 1 or needed <= OF_CLASSES)
    kept = options.store if folder is None and from_store else None
    if kept is not None and isinstance(instances, list):
        return _from_embeddings(scorer, instances, kept, options)
    if folder is None:
        with GrowingOutputs(options.memory_limit_mb) as grown:
            _run(scorer, instances, grown.append, options)
            return _outputs(scorer, grown.ids, grown.arrays(), grown.unreadable)
    with OutputStore(folder, options.fingerprint or scorer.fingerprint()) as store:
        return _stored(scorer, instances, store, options)


def _known_vectors(reader: VectorsOfImages, ids: Sequence[str]) -> PoolOutputs:
    """Return vectors as they are stored, memory-mapped where they are; no model sees them."""
    vectors, rows, unreadable = reader.rows_of(ids)
    readable = [id for id in ids if id not in unreadable] if unreadable else ids
    found = take_rows(cast(Any, vectors), rows, MOST_COPIED)
    return PoolOutputs(readable, embeddings=found, unreadable=unreadable)


def _from_embeddings(
    scorer: PoolScorer, instances: list[Instance], store: EmbeddingStore, options: ScoringOptions
) -> PoolOutputs:
    """Return the outputs, from embeddings that the store has or gets."""
    known = [
        stored_embeddings(predictor, instances, store, options) for predictor in scorer.predictors
    ]
    models, needs = [predictor.model for predictor in scorer.predictors], scorer.needs
    if len(models) == 1:
        return outputs_of_embeddings(models[0], known[0], needs, options.mc_samples, options.seed)
    unreadable = {id: cause for one in known for id, cause in one.unreadable.items()}
    ids = [instance.id for instance in instances if instance.id not in unreadable]
    readable = [one.rows(ids) if one.unreadable != unreadable else one for one in known]
    logits = [
        outputs_of_embeddings(model, one, {"logits"}).logits
        for model, one in zip(models, readable, strict=True)
    ]
    members = np.stack([rows for rows in logits if rows is not None], axis=1)
    means = log_mean_probability(torch.from_numpy(members)).numpy()
    cost = sum((one.cost for one in known if one.cost is not None), EncodingCost())
    return PoolOutputs(
        ids,
        logits=means if "logits" in needs else None,
        mc_logits=members if "mc_logits" in needs else None,
        embeddings=readable[0].embeddings if "embeddings" in needs else None,
        unreadable=unreadable,
        cost=cost,
    )


def _run(
    scorer: PoolScorer, instances: Iterable[Instance], write: Write, options: ScoringOptions
) -> None:
    total = len(instances) if isinstance(instances, list) else None
    with (
        _progress(options.description, total) as progress,
        BlockWriter(write, options.block_size) as blocks,
        closing(scorer.batches(instances, options.batch_size)) as batches,  # ends its threads
    ):
        for batch in batches:
            blocks.add(batch)
            if progress is not None:
                progress.advance(len(batch))


def _progress(
    description: str | None, total: int | None
) -> AbstractContextManager[Progress | None]:
    return nullcontext() if description is None else Progress(description, total, "images")


def _stored(
    scorer: PoolScorer,
    instances: list[Instance] | Iterator[Instance],
    store: OutputStore,
    options: ScoringOptions,
) -> PoolOutputs:
    asked: list[str] = []
    new: Iterable[Instance] = ()
    if isinstance(instances, list):
        asked = [instance.id for instance in instances]
        if not all(store.has(id) for id in asked):
            store.become_writer(wait=True)
            new = [instance for instance in instances if not store.has(instance.id)]
    else:
        store.become_writer(wait=True)
        new = _noted(instances, asked, store)
    _run(scorer, new, store.append, options)
    known = store.unreadable
    unreadable = {id: known[id] for id in asked if id in known}
    ids = [id for id in asked if id not in unreadable]
    rows = store.rows(ids)
    arrays = {
        name: in_order(store.array(name), rows, options.memory_limit_mb) for name in store.names
    }
    return _outputs(scorer, ids, arrays, unreadable)


def _noted(
    instances: Iterator[Instance], asked: list[str], store: OutputStore
) -> Iterator[Instance]:
    for instance in instances:
        asked.append(instance.id)
        if not store.has(instance.id):
            yield instance


def _outputs(
    scorer: PoolScorer, ids: list[str], arrays: dict[str, FloatRows], unreadable: dict[str, str]
) -> PoolOutputs:
    shapes = scorer.shapes_of_nothing()
    found: dict[str, Any] = {
        name: arrays.get(name, np.empty(shapes[name], np.float32)) for name in scorer.needs
    }
    return PoolOutputs(ids, **found, unreadable=unreadable)
