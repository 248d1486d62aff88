"""`encode_pool`: vectors of a pool into a store, shard by shard, by several processes."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from allencv_al.common.errors import (
    AllenCVError,
    ConfigurationFaults,
    DataError,
    Fault,
    raise_problems,
)
from allencv_al.common.progress import Progress
from allencv_al.common.task_processes import (
    Lost,
    Postponed,
    TaskHooks,
    Tell,
    Work,
    run_in_processes,
)
from allencv_al.data.instance import LABEL_NAMESPACE, Instance
from allencv_al.data.vector_shards import (
    HalfRows,
    ShardContent,
    StoreManifest,
    clean_shards,
    half,
    is_shard_store,
    make_shard,
    read_manifest,
    write_manifest,
)
from allencv_al.models.archive import load_archive
from allencv_al.models.precision import Precision
from allencv_al.predictors.predictor import Predictor
from allencv_al.selection.cold_start import embedding_predictor
from allencv_al.selection.pool.fingerprints import digest
from allencv_al.selection.pool.output_blocks import cause_of
from allencv_al.selection.pool.pool_scorer import PoolScorer

logger = logging.getLogger(__name__)

DEFAULT_SHARD_SIZE = 10_000


@dataclass(frozen=True)
class VectorSource:
    """The model that encodes, as each process builds it for itself.

    Args:
        encoder: A pretrained encoder by name; see `embedding_predictor`.
        archive: In its place a trained model, which gives logits, too.
        image_size: Height and width of images for `encoder`.
        precision: Number format of the network.
        batch_size: Images per batch.
        cuda_device: The device.
        threads: Threads of torch and of decoding in each process; None: as many as there are cores.
        packages: The user's packages, imported first.
    """

    encoder: str | None = None
    archive: Path | None = None
    image_size: int | None = None
    precision: Precision = "auto"
    batch_size: int = 32
    cuda_device: int | str = -1
    threads: int | None = None
    packages: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The encoder or archive, for people."""
        return str(self.archive) if self.encoder is None else self.encoder

    def scorer(self) -> PoolScorer:
        """Build the model.

        Raises:
            ConfigurationError: There is no such encoder.
            ArchiveError: The archive is absent or damaged.
        """
        if self.encoder is not None:
            predictor = embedding_predictor(
                self.encoder, self.image_size, cuda_device=self.cuda_device
            )
        else:
            assert self.archive is not None
            predictor = Predictor.from_archive(load_archive(self.archive, self.cuda_device))
        predictor.num_threads = self.threads or predictor.num_threads
        needs = {"embeddings", "logits"} & {"embeddings", *predictor.model.task.outputs}
        if self.encoder is not None:
            needs = {"embeddings"}
        return PoolScorer([predictor], needs, precision=self.precision)


@dataclass(frozen=True)
class Shard:
    """Images that are encoded together.

    Args:
        number: Its number, from 0.
        first: The position of its first image in the pool.
        instances: The images.
    """

    number: int
    first: int
    instances: Sequence[Instance]

    def __str__(self) -> str:
        return f"shard {self.number} (images {self.first} to {self.first + len(self.instances)})"


@dataclass(frozen=True)
class Encoded:
    """The result of a shard.

    Args:
        images: Images that this call has encoded; 0 if another process had done it.
        unreadable: Images that could not be read.
        problem: Why the shard could not be encoded.
    """

    images: int = 0
    unreadable: int = 0
    problem: str | None = None


def encode_pool(
    instances: Sequence[Instance],
    folder: Path,
    source: VectorSource,
    workers: int = 1,
    shard_size: int = DEFAULT_SHARD_SIZE,
) -> Encoded:
    """Encode images into a store; resume one that was begun, alone or beside other machines.

    A process that dies costs the shard that it was at, which another one does again. An unreadable
    image is noted in its shard. A shard whose process dies three times is set aside and named.

    Args:
        instances: The images, with distinct ids.
        folder: The store.
        source: The model.
        workers: Processes; 1: this one.
        shard_size: Images of a shard.

    Returns:
        How many images this call has encoded.

    Raises:
        ConfigurationFaults: The store is of another encoder, other images or another shard size.
        DataError: Shards could not be encoded; the others are.
    """
    scorer = source.scorer()
    _begin(folder, _manifest(scorer, instances, source, shard_size))
    done = set(clean_shards(folder))
    shards = [
        Shard(number, first, instances[first : first + shard_size])
        for number, first in enumerate(range(0, len(instances), shard_size))
    ]
    left = [shard for shard in shards if shard.number not in done]
    if not left:
        return Encoded()
    already = len(instances) - sum(len(shard.instances) for shard in left)
    with Progress("encoding", len(instances), "images", already) as progress:
        told = _Told(progress)
        if workers == 1:
            ended = _run_here(left, ShardWork(folder, scorer, source), told)
        else:
            setup = partial(shard_work, folder, source)
            hooks = TaskHooks[Shard](on_message=told.note)
            threads = source.threads or 1
            ended = run_in_processes(left, min(workers, len(left)), setup, threads, hooks)
        with closing(ended):
            return _summary(folder, ended, told)


def _summary(folder: Path, ended: Iterator[tuple[Shard, Encoded | Lost]], told: _Told) -> Encoded:
    problems = []
    total = Encoded()
    for shard, result in ended:
        if isinstance(result, Lost):
            result = Encoded(problem=result.message)
        if result.problem is not None:
            problems.append(f"{shard}: {result.problem}")
            logger.error("%s", problems[-1])
            continue
        told.end(shard, result)
        images, unreadable = total.images + result.images, total.unreadable + result.unreadable
        total = replace(total, images=images, unreadable=unreadable)
    remedy = "the other shards are encoded; the same command tries these again"
    raise_problems(folder, problems, remedy)
    return total


class _Told:
    """The progress of shards, of which an attempt may fail and begin anew."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._counted: dict[int, int] = {}

    def note(self, shard: Shard, done: int) -> None:
        """Note how many images of a shard are done."""
        before = self._counted.get(shard.number, 0)
        if done > before:
            self._counted[shard.number] = done
            self._progress.advance(done - before)

    def end(self, shard: Shard, result: Encoded) -> None:
        """Note the end of a shard, which another machine may have encoded."""
        left = len(shard.instances) - self._counted.get(shard.number, 0)
        if left and not result.images:
            self._progress.skip(left)
        else:
            self.note(shard, len(shard.instances))


def _manifest(
    scorer: PoolScorer, instances: Sequence[Instance], source: VectorSource, shard_size: int
) -> StoreManifest:
    classes: Sequence[str] = ()
    if "logits" in scorer.needs:
        vocabulary = scorer.predictors[0].model.vocab
        classes = list(vocabulary.get_index_to_token_vocabulary(LABEL_NAMESPACE).values())
    return StoreManifest(
        encoder=source.name,
        fingerprint=scorer.fingerprint(),
        pool=digest(*(instance.id for instance in instances)),
        images=len(instances),
        shard_size=shard_size,
        outputs=list(scorer.needs),
        classes=classes,
    )


def _begin(folder: Path, manifest: StoreManifest) -> None:
    if not is_shard_store(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder}: holds other things; name a folder that is empty or absent")
        write_manifest(folder, manifest)
        return
    found = read_manifest(folder)
    faults = []
    if found.fingerprint != manifest.fingerprint:
        faults.append(Fault("encoder", f"the store is of {found.encoder}, or of other options"))
    if found.pool != manifest.pool:
        faults.append(Fault("pool", f"the store is of {found.images} other images"))
    if found.shard_size != manifest.shard_size:
        faults.append(Fault("shard_size", f"the store has shards of {found.shard_size} images"))
    if faults:
        raise ConfigurationFaults(faults, f"{folder}, which cannot be continued so")


def _run_here(
    shards: Sequence[Shard], work: ShardWork, told: _Told
) -> Generator[tuple[Shard, Encoded | Lost], None, None]:
    waiting = deque(shards)
    while waiting:
        shard = waiting.popleft()
        result = work(shard, partial(told.note, shard))
        if isinstance(result, Postponed):
            waiting.append(shard)
        else:
            yield shard, result


@contextmanager
def shard_work(folder: Path, source: VectorSource) -> Iterator[Work]:
    """Make a process ready to encode shards.

    Args:
        folder: The store.
        source: The model.
    """
    import torch

    from allencv_al.common.config.plugins import import_package, import_plugins

    if source.threads is not None:
        torch.set_num_threads(source.threads)
    import_plugins()
    for package in source.packages:
        import_package(package)
    yield ShardWork(folder, source.scorer(), source)


class ShardWork:
    """Encode shards of a store; whatever process does it, a shard has the same content.

    Args:
        folder: The store.
        scorer: The model.
        source: Its settings.
    """

    def __init__(self, folder: Path, scorer: PoolScorer, source: VectorSource) -> None:
        self._folder = folder
        self._scorer = scorer
        self._source = source

    def __call__(self, shard: Shard, tell: Tell) -> Encoded | Postponed:
        """Encode a shard unless it is there; `tell` is given the number of images done."""
        try:
            made = make_shard(self._folder, shard.number, partial(self._content, shard, tell))
        except AllenCVError as error:
            return Encoded(problem=str(error))
        except OSError as error:  # such as a full disk
            where = error.filename or self._folder
            return Encoded(problem=f"{where}: {error.strerror or error}")
        if made is None or isinstance(made, Postponed):
            return made or Encoded()
        return Encoded(len(shard.instances), len(made.unreadable))

    def _content(self, shard: Shard, tell: Tell) -> ShardContent:
        ids: list[str] = []
        parts: dict[str, list[HalfRows]] = {}
        unreadable: dict[str, str] = {}
        done = 0
        batches = self._scorer.batches(shard.instances, self._source.batch_size)
        with closing(batches):  # ends its threads
            for batch in batches:
                ids += batch.ids
                for name, rows in batch.arrays.items():
                    parts.setdefault(name, []).append(half(rows, batch.ids))
                unreadable |= {str(item.id): cause_of(item.error) for item in batch.failed}
                done += len(batch)
                tell(done)
        arrays: dict[str, Any] = {name: np.concatenate(rows) for name, rows in parts.items()}
        if not arrays:
            arrays = {name: np.empty((0, 0), np.float16) for name in self._scorer.needs}
        labels = {one.id: None if one.label is None else str(one.label) for one in shard.instances}
        return ShardContent(ids, arrays, [labels[id] for id in ids], unreadable)
