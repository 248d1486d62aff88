"""`compute_outputs`: the outputs of models for a pool, computed once, in durable blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allencv_al.common.progress import Progress
from allencv_al.data.image_io import ImageInput
from allencv_al.data.instance import Instance
from allencv_al.models.precision import Precision
from allencv_al.predictors.predictor import Predictor
from allencv_al.selection.pool.output_blocks import (
    BlockWriter,
    FloatRows,
    GrowingOutputs,
    Write,
    in_order,
)
from allencv_al.selection.pool.output_store import OutputStore
from allencv_al.selection.pool.pool_images import instances_of
from allencv_al.selection.pool.pool_outputs import PoolOutputs
from allencv_al.selection.pool.pool_scorer import PoolScorer

_OF_OTHER_ITEMS = frozenset({"labeled_embeddings", "labeled_logits", "target_mc_logits"})


@dataclass(frozen=True)
class ScoringOptions:
    """Options for running models over a pool.

    Args:
        batch_size: Images per batch.
        mc_samples: For `mc_logits` of one model: how many members its dropout makes.
        seed: Decides their dropout masks.
        block_size: After how many images what is computed is written to the disk.
        memory_limit_mb: Limit of results in memory, in MiB; more are in files.
        description: Text of the progress bar; None shows no bar.
        precision: Number format of the encoders: "auto" is bf16 where the processor or GPU has it
            in hardware, else fp32; see the trainer for the others.
        fingerprint: For a folder: what its rows depend on, beside the images. By default all
            weights, the transforms, the outputs and their options; a caller may know better that
            some of these do not matter.
    """

    batch_size: int = 32
    mc_samples: int = 20
    seed: int = 0
    block_size: int = 1024
    memory_limit_mb: float = 1024.0
    description: str | None = "scoring"
    precision: Precision = "auto"
    fingerprint: str | None = None


DEFAULT_OPTIONS = ScoringOptions()


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
        needs: Some of `logits`, `mc_logits`, `embeddings`, or a strategy's `needs`, whose arrays of
            labeled or target items are ignored. If empty, nothing is decoded.
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
    scorer = PoolScorer(members, needed, options.mc_samples, options.seed, options.precision)
    if folder is None:
        with GrowingOutputs(options.memory_limit_mb) as grown:
            _run(scorer, instances, grown.append, options)
            return _outputs(scorer, grown.ids, grown.arrays(), grown.unreadable)
    with OutputStore(folder, options.fingerprint or scorer.fingerprint()) as store:
        return _stored(scorer, instances, store, options)


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
    found = {name: arrays.get(name, np.empty(shapes[name], np.float32)) for name in scorer.needs}
    return PoolOutputs(ids, unreadable=unreadable, **found)
