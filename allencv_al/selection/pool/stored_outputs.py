"""Embeddings from a store, encoding only images that it does not have, and outputs from them."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from allencv_al.common.progress import Progress
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.instance import Instance
from allencv_al.models.model import Model, flushed_denormals, head_outputs
from allencv_al.predictors.predictor import Predictor
from allencv_al.selection.pool.embedding_store import DIGEST_BYTES, EmbeddingStore, StoredRows
from allencv_al.selection.pool.fingerprints import decodes_by_content, describe, digest
from allencv_al.selection.pool.image_digests import ImageDigests
from allencv_al.selection.pool.mc_dropout import ConsistentDropout
from allencv_al.selection.pool.output_blocks import BlockWriter, FloatRows, GrowingOutputs
from allencv_al.selection.pool.pool_outputs import EncodingCost, PoolOutputs, shapes_of_nothing
from allencv_al.selection.pool.pool_scorer import PoolScorer, ScoringOptions
from allencv_al.selection.pool.rows import slices
from allencv_al.selection.pool.unlabeled_pool import FloatArray

logger = logging.getLogger(__name__)

_ROWS_AT_A_TIME = 8192  # memory-mapped rows are copied in blocks
_IMAGES_AT_A_TIME = 256  # are looked up while the model encodes those before


def stored_embeddings(
    predictor: Predictor,
    instances: Sequence[Instance],
    store: EmbeddingStore,
    options: ScoringOptions,
) -> PoolOutputs:
    """Return the embeddings of images, each encoded unless the store has one of its content.

    They are those before the model's `embedding_scaling`, whose statistics may come from them.

    New ones go into the store block by block, so a killed call resumes. A store that cannot be
    written to costs a warning and later work, but no result.

    Args:
        predictor: The model with its transforms.
        instances: The images; their ids are distinct.
        store: The store.
        options: Options of the computation.
    """
    with unscaled_embeddings(predictor.model):
        return _stored_embeddings(predictor, instances, store, options)


def _stored_embeddings(
    predictor: Predictor,
    instances: Sequence[Instance],
    store: EmbeddingStore,
    options: ScoringOptions,
) -> PoolOutputs:
    started = time.monotonic()
    scorer = PoolScorer([predictor], {"embeddings"}, precision=options.precision)
    stored = store.encoder(scorer.fingerprint(), _about(scorer, predictor))
    work = _Encoding(scorer, instances, stored, options)
    with (
        ImageDigests(store.memo, predictor.num_threads) as digests,
        stored.turn(_work(instances)),
    ):
        outputs = work.run(digests)
    # Only what was written can have made the store too large
    if work.cost.encoded:
        store.trim()
    cost = EncodingCost(work.cost.encoded, work.cost.known, time.monotonic() - started)
    logger.info(
        "embeddings: %d encoded, %d from %s, in %.1f s",
        *(cost.encoded, cost.known, store.folder, cost.seconds),
    )
    return PoolOutputs(
        outputs.ids, embeddings=outputs.embeddings, unreadable=outputs.unreadable, cost=cost
    )


@dataclass(frozen=True)
class _Share:
    """Consecutive images: those that must be encoded, and how many need not be."""

    new: Sequence[Instance]
    known: int = 0


def _images_of(parts: Iterator[_Share], progress: Progress | None) -> Iterator[Instance]:
    for part in parts:
        if progress is not None and part.known:
            progress.skip(part.known)
        yield from part.new


class _Encoding:
    """One call: which images are known, which are new, and the rows of both."""

    def __init__(
        self,
        scorer: PoolScorer,
        instances: Sequence[Instance],
        stored: StoredRows,
        options: ScoringOptions,
    ) -> None:
        self.cost = EncodingCost()
        self._scorer = scorer
        self._instances = instances
        self._stored = stored
        self._options = options
        self._reader = scorer.predictors[0].dataset_reader
        self._keeps = True
        self._keys: list[bytes] = []
        self._key_of: dict[str, bytes] = {}
        # Of images with equal content one is encoded: the rows of the others are its rows
        self._first: dict[bytes, int] = {}

    def run(self, digests: ImageDigests) -> PoolOutputs:
        # Another process may have encoded the same images while this one waited for its turn
        self._stored.refresh()
        with GrowingOutputs(self._options.memory_limit_mb) as grown:
            self._encode(self._parts(digests), digests, grown, len(self._instances))
            known = [key for key in self._first if self._stored.has(key)]
            rows = _Rows(self._options.memory_limit_mb)
            found = rows.read(self._stored, known)
            damaged = [self._first[key] for key in known if key not in found]
            if damaged:  # their blocks are gone now
                again = _Share([self._instances[position] for position in damaged])
                self._encode(iter([again]), digests, grown, len(damaged))
            return self._outputs(rows, found, grown)

    def _encode(
        self, parts: Iterator[_Share], digests: ImageDigests, grown: GrowingOutputs, total: int
    ) -> None:
        """Encode the images of parts, and keep their rows in both `grown` and the store."""

        def write(
            ids: Sequence[str], arrays: Mapping[str, FloatRows], unreadable: Mapping[str, str]
        ) -> None:
            grown.append(ids, arrays, unreadable)
            if ids:
                self._keep(ids, arrays["embeddings"], digests)

        with (
            self._progress(total) as progress,
            BlockWriter(write, self._options.block_size) as blocks,
            closing(
                self._scorer.batches(_images_of(parts, progress), self._options.batch_size)
            ) as batches,
        ):
            for batch in batches:
                blocks.add(batch)
                if progress is not None:
                    progress.advance(len(batch))

    def _progress(self, total: int) -> AbstractContextManager[Progress | None]:
        if self._options.description is None:
            return nullcontext()
        return Progress(self._options.description, total, "images")

    def _parts(self, digests: ImageDigests) -> Iterator[_Share]:
        """Yield what must be encoded of each part; the next one is looked up meanwhile."""
        parts = [self._instances[part] for part in slices(len(self._instances), _IMAGES_AT_A_TIME)]
        with ThreadPoolExecutor(1, "digests") as thread:
            following: Future[list[bytes | None]] | None = None
            for number, instances in enumerate(parts):
                contents = digests.of(instances) if following is None else following.result()
                if number + 1 < len(parts):
                    following = thread.submit(digests.of, parts[number + 1])
                yield self._part(instances, contents)

    def _part(self, instances: Sequence[Instance], contents: Sequence[bytes | None]) -> _Share:
        new = []
        for instance, content in zip(instances, contents, strict=True):
            key = content_key(instance, content, self._reader)
            first = self._first.setdefault(key, len(self._keys))
            if first == len(self._keys) and not self._stored.has(key):
                new.append(instance)
            self._keys.append(key)
            self._key_of[instance.id] = key
        return _Share(new, len(instances) - len(new))

    def _keep(self, ids: Sequence[str], rows: FloatRows, digests: ImageDigests) -> None:
        """Put new rows into the store, but for images that have changed since they were read."""
        kept = []
        for row, id in enumerate(ids):
            key = self._key_of[id]
            instance = self._instances[self._first[key]]
            # A key without a digest stands for this call alone
            if len(key) == DIGEST_BYTES and digests.is_unchanged(instance):
                kept.append((row, key))
        if not (self._keeps and kept):
            return
        numbers, keys = zip(*kept, strict=True)
        try:
            self._stored.append(keys, rows[list(numbers)])
        except OSError as error:
            # A full disk costs the store, not the embeddings of this call
            self._keeps = False
            logger.warning(
                "embeddings cannot be kept (%s: %s): this call goes on without; "
                "--embedding-cache DIR names another folder, allencv-al cache clear makes room",
                *(error.filename, error.strerror or error),
            )

    def _outputs(self, rows: _Rows, found: dict[bytes, int], grown: GrowingOutputs) -> PoolOutputs:
        new = {id: row for row, id in enumerate(grown.ids)}
        arrays = grown.arrays()
        encoded = arrays.get("embeddings", np.empty((0, rows.width), np.float32))
        ids: list[str] = []
        unreadable: dict[str, str] = {}
        places: list[tuple[bool, int]] = []
        for instance, key in zip(self._instances, self._keys, strict=True):
            first = self._instances[self._first[key]].id
            if first in grown.unreadable:
                unreadable[instance.id] = grown.unreadable[first]
                continue
            ids.append(instance.id)
            places.append((True, new[first]) if first in new else (False, found[key]))
        self.cost = EncodingCost(len(new), len(ids) - len(new))
        return PoolOutputs(ids, embeddings=rows.merged(encoded, places), unreadable=unreadable)


class _Rows:
    """Rows out of a store, in memory or, above a limit, in an anonymous temporary file."""

    def __init__(self, memory_limit_mb: float) -> None:
        self._limit = memory_limit_mb
        self._grown = GrowingOutputs(memory_limit_mb)
        self.width = 0

    def read(self, stored: StoredRows, keys: Sequence[bytes]) -> dict[bytes, int]:
        """Read the rows of images; return where those that could be read are."""
        found: dict[bytes, int] = {}
        for positions, rows in stored.read(keys):
            for position in positions.tolist():
                found[keys[position]] = len(found)
            # Rows are found by number, so they need no ids
            self._grown.append([""] * len(rows), {"embeddings": rows}, {})
        return found

    def merged(self, encoded: FloatRows, places: Sequence[tuple[bool, int]]) -> FloatRows:
        """Return rows in the order of `places`: (whether it was encoded now, its row there)."""
        with self._grown:
            known = self._grown.arrays().get("embeddings", encoded[:0])
        source = encoded if len(encoded) else known
        encoded, known = (array if len(array) else source[:0] for array in (encoded, known))
        numbers = np.array([row for _, row in places], np.int64)
        is_new = np.array([new for new, _ in places], bool)
        for array, chosen in ((encoded, is_new), (known, ~is_new)):
            if chosen.all() and np.array_equal(numbers, np.arange(len(array))):
                return array  # as a rule: all are new, or all are known and in the same order
        with GrowingOutputs(self._limit) as merged:
            for part in slices(len(places), _ROWS_AT_A_TIME):
                rows = np.empty((part.stop - part.start, *source.shape[1:]), np.float32)
                new = is_new[part]
                rows[new] = encoded[numbers[part][new]]
                rows[~new] = known[numbers[part][~new]]
                merged.append([""] * len(rows), {"embeddings": rows}, {})
            return merged.arrays().get("embeddings", source[:0])


def content_key(instance: Instance, content: bytes | None, reader: DatasetReader) -> bytes:
    """Return what an image's embedding is kept by; an id, if its content has no digest.

    Args:
        instance: The image.
        content: The digest of its content.
        reader: The reader that decodes it; its own fingerprint is a part of the encoder's key.
    """
    if content is None:
        return f"id {instance.id}".encode("utf-8", "surrogateescape").ljust(DIGEST_BYTES + 1)
    more = []
    if any(part is not None for part in (instance.mask, instance.boxes, instance.keypoints)):
        more.append("not reduced")  # see `decode_instance`
    if any(transform.is_random for transform in reader.pipeline.transforms):
        more.append(f"id {instance.id}")  # the seed of the transforms
    if not decodes_by_content(reader):
        # The text of an array or of a picture is slow to make, or has its address in memory
        image = instance.image
        path = str(image) if isinstance(image, str | Path) else ""
        more.append(describe((instance.id, path, instance.metadata)))
    return bytes.fromhex(digest(content.hex(), *more)) if more else content


def _work(instances: Sequence[Instance]) -> str:
    """Return a digest that two calls for the same images of the same files have in common."""
    images = ((one.id, one.image) for one in instances)
    named = (f"{id} {path}" for id, path in images if isinstance(path, str | Path))
    return digest(*named)


def _about(scorer: PoolScorer, predictor: Predictor) -> dict[str, object]:
    parts = [type(part).__name__ for _, part in predictor.model.named_children()]
    size = predictor.dataset_reader.image_shape()[1:]
    return {
        "model": " ".join([type(predictor.model).__name__, *parts]),
        "image_size": list(size),
        "precision": scorer.precisions[0],
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


@contextmanager
def unscaled_embeddings(model: Model) -> Iterator[None]:
    """Bypass the model's scaling of embeddings within this context."""
    scaling = model.embedding_scaling
    with nullcontext() if scaling is None else scaling.bypassed():
        yield


def scaled_embeddings(model: Model, embeddings: FloatArray) -> FloatArray:
    """Return what the last linear layer sees of embeddings `[N, D]` before the model's scaling."""
    scaling = model.embedding_scaling
    if scaling is None:
        return embeddings
    scaled = np.empty(embeddings.shape, np.float32)
    with torch.no_grad():
        for part in slices(len(embeddings), _ROWS_AT_A_TIME):
            rows = torch.from_numpy(np.array(embeddings[part], dtype=np.float32))
            scaled[part] = scaling(rows.to(scaling.mean.device)).cpu().numpy()
    return scaled


def outputs_of_embeddings(
    model: Model,
    known: PoolOutputs,
    needs: Collection[str],
    mc_samples: int = 20,
    seed: int = 0,
    is_scaled: bool = False,
) -> PoolOutputs:
    """Return the outputs that scoring the images would give, without decoding them.

    Args:
        model: A model that `takes_embeddings`.
        known: The items with their `embeddings`.
        needs: Some of `ARRAYS`.
        mc_samples: Number of members of `mc_logits`.
        seed: Seed of their dropout masks.
        is_scaled: Whether the embeddings have gone through the model's scaling.
    """
    assert known.embeddings is not None
    # The caller may be in the middle of a training
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), flushed_denormals(), ConsistentDropout(model, seed) as dropout:
            of_head = set(needs) - {"embeddings", "mc_logits"}
            found = _of_head(model, known, of_head, is_scaled) if of_head else {}
            members = []
            for member in range(mc_samples if "mc_logits" in needs else 0):
                dropout.use(member)
                members.append(_of_head(model, known, {"logits"}, is_scaled)["logits"])
    finally:
        model.train(was_training)
    embeddings = None
    if "embeddings" in needs:
        embeddings = known.embeddings if is_scaled else scaled_embeddings(model, known.embeddings)
    return PoolOutputs(
        known.ids,
        **found,
        mc_logits=np.stack(members, axis=1) if members else None,
        embeddings=embeddings,
        unreadable=known.unreadable,
        cost=known.cost,
    )


def _of_head(
    model: Model, known: PoolOutputs, needs: Collection[str], is_scaled: bool
) -> dict[str, NDArray[np.float32]]:
    assert known.embeddings is not None
    device = next(model.parameters(), torch.empty(0)).device
    blocks: dict[str, list[NDArray[np.float32]]] = {name: [] for name in needs}
    for part in slices(len(known.ids), _ROWS_AT_A_TIME):
        rows = known.embeddings[part]
        if not is_scaled:
            rows = scaled_embeddings(model, rows)
        rows = np.array(rows, dtype=np.float32)  # a model may change its input
        outputs = model(embedding=torch.from_numpy(rows).to(device))
        for name, tensor in head_outputs(model, outputs, needs).items():
            blocks[name].append(tensor.float().cpu().numpy())
    if not known.ids:
        shapes = shapes_of_nothing(model.vocab.get_vocab_size())
        return {name: np.empty(shapes[name], np.float32) for name in needs}
    return {name: np.concatenate(some) for name, some in blocks.items()}
