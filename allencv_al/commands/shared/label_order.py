"""Images of `allencv-al label` and their order."""

from __future__ import annotations

import argparse
import hashlib
import logging
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allencv_al.common.errors import ConfigurationError

if TYPE_CHECKING:
    from allencv_al.data.instance import Instance
    from allencv_al.labels.sessions.items import NewItem
    from allencv_al.labels.sessions.labeling_store import LabelingStore
    from allencv_al.predictors.predictor import Predictor

_OWNER = "the command line"
_MOST_NAMED = 3
_IS_WHOLE = "whole_folder"
_AUDIT_SEED = 0  # not --seed: another order must not draw another sample

logger = logging.getLogger(__name__)


def fill(store: LabelingStore, args: argparse.Namespace, pool: Sequence[Instance]) -> None:
    """Add images to the store; reorder the waiting ones if another order is requested.

    Args:
        store: The labeling; its entries are kept.
        args: The arguments of `label`.
        pool: The unlabeled images.

    Raises:
        ConfigurationError: The strategy needs a model, and none is given.
    """
    store.classes.add(args.classes, _OWNER)
    _draw_audit(store, args.audit, pool)
    known, batch = store.items.numbers(), store.items.batch()
    stored = store.ordering()
    # Not part of the order: whether all images of the folder are asked for
    was_whole = stored is None or bool(stored.pop(_IS_WHOLE, False))
    before = stored or {}
    order = _order(args, before)
    # With another order, labeled images are done and all others are ranked again
    is_other = bool(known and before and order and order != before)
    taken = store.items.answered() if is_other else known
    audit = store.audit.ids()
    held_out = audit | _copies_of_audit(pool, audit)
    left = [item for item in pool if item.id not in taken and item.id not in held_out]
    size, is_whole = len(left), args.query_size is None
    if args.query_size is not None:  # besides the audit
        chosen = len(known.keys() - audit)
        size = min(size, args.query_size if is_other else max(0, args.query_size - chosen))
    elif known and not was_whole and args.audit is not None and not is_other:
        size, is_whole = 0, False  # more images for the audit, not all that were never asked for
    seed = before.get("seed", 0) if args.seed is None else args.seed
    labeled = [] if batch is None else _labeled(store, batch.batch, pool)
    items = _ordered(store, args, pool, left, labeled, size, seed) if size else []
    if not store.classes.all():
        logger.info("no classes yet: add them on the page, or by --classes cat,dog")
    per_image = args.labels_per_image or (1 if batch is None else batch.labels_per_image)
    audited = [item for item in pool if item.id in audit]
    if not is_other:
        items = [*_blind(audited), *items]
    batch = store.items.open_batch([] if is_other else items, None, per_image)
    answered = store.items.answered()
    waiting = _blind([item for item in audited if item.id not in answered])
    if is_other or not _are_next(store, batch.batch, waiting):
        # The audit first: also images that waited in the order of a strategy lose their guesses
        store.items.ask_first(batch.batch, [*waiting, *(items if is_other else ())])
    _add_vectors(store, args, pool)
    order = order or before or {"strategy": None, "model": None, "seed": 0}
    store.set_ordering({**order, _IS_WHOLE: is_whole})
    if known:
        _log_order(args, known, items, is_other)
    _warn_about_missing_files(store, batch.batch)


def _draw_audit(store: LabelingStore, size: int | None, pool: Sequence[Instance]) -> None:
    """Draw the audit sample, or extend it: images that came since join in proportion."""
    from allencv_al.labels.audit_sample import is_audit

    store.audit.add([item.id for item in pool if is_audit(item)])
    before = store.audit.ids()
    if size is None and not before:
        return
    new = store.audit.draw([item.id for item in pool], size or 0, _AUDIT_SEED)
    if new:
        logger.info("audit: drew %d of %d images, which are asked for first", len(new), len(pool))
    if len(store.audit.ids()) >= len(pool):
        logger.warning(
            "--audit: all %d images are of the audit, which only measures: a model will have none "
            "to learn from; name fewer, or add images",
            len(pool),
        )


def _are_next(store: LabelingStore, batch: int, waiting: Sequence[NewItem]) -> bool:
    """Return whether some images are the next ones to be asked for, without reason and guess.

    Asked of the stored order, so that a kill between the draw and the order leaves nothing behind.
    """
    answered, ids = store.items.answered(), {item.id for item in waiting}
    left = [item for item in store.items.items(batch) if item.id not in answered]
    return all(
        item.id in ids and item.reason is None and not item.guess for item in left[: len(waiting)]
    )


def _copies_of_audit(pool: Sequence[Instance], audit: Collection[str]) -> set[str]:
    """Return the images that would tell a model an image of the audit, which are not asked for."""
    from allencv_al.labels.audit_sample import copies_of_images

    copies = copies_of_images(pool, audit)
    if copies:
        logger.info("audit: %d byte-equal copies of its images are not asked for", len(copies))
    return set(copies)


def _blind(items: Sequence[Instance]) -> list[NewItem]:
    """Return items without reason and guess, in a random order."""
    from allencv_al.labels.sessions.items import NewItem

    # From one order, whatever that of the pool, so that a second call asks in the same one
    shuffled = sorted(items, key=lambda item: item.id)
    random.Random(_AUDIT_SEED).shuffle(shuffled)
    return [NewItem(item.id, _image(item)) for item in shuffled]


def _labeled(store: LabelingStore, batch: int, pool: Sequence[Instance]) -> list[Instance]:
    """Return the images that models may learn from, for strategies that keep away from them."""
    from allencv_al.tasks.base import label_task

    audit = store.audit.ids()
    labels = {final.id: final.label for final in store.agreed_labels(batch)}
    task = store.values.task or label_task()
    return [
        task.labeled(item, label)
        for item in pool
        if (label := labels.get(item.id)) is not None and item.id not in audit
    ]


def _order(args: argparse.Namespace, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the requested order; empty if none is requested."""
    if args.strategy is None and args.seed is None:
        return {}
    seed = before.get("seed", 0) if args.seed is None else args.seed
    order = {"strategy": args.strategy, "model": _model(args), "seed": seed}
    # Absent, not false: labelings from before this option have no such key, and the same order
    return order | ({"by_class": True} if args.by_class else {})


def _model(args: argparse.Namespace) -> str | None:
    """Return a fingerprint of the model that orders the images; a retrained model has another."""
    if args.archive is None:
        return None if args.embeddings is None else str(args.embeddings)
    path: Path = args.archive
    if path.is_dir() and (path / "model.tar.gz").is_file():
        path /= "model.tar.gz"
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    # Of an unpacked archive names, sizes and times are enough, and hashing gigabytes is slow
    files = sorted(file for file in path.iterdir() if file.is_file())
    text = "".join(
        f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}\n" for file in files
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _ordered(
    store: LabelingStore,
    args: argparse.Namespace,
    pool: Sequence[Instance],
    left: Sequence[Instance],
    labeled: Sequence[Instance],
    size: int,
    seed: int,
) -> list[NewItem]:
    """Return the next `size` images, in labeling order."""
    from allencv_al.labels.audit_sample import copies_of
    from allencv_al.labels.sessions.items import NewItem

    if args.query_size is not None or args.strategy is not None:
        items = _picked(store, args, left, labeled, size, seed)
    else:
        shuffled = list(left)
        random.Random(seed).shuffle(shuffled)
        items = [NewItem(item.id, _image(item)) for item in shuffled]
    # Of the whole pool: the original may be labeled already, and so not be among the items
    files = {item.id: image for item in pool if isinstance(image := _image(item), Path)}
    copies = copies_of(files)
    if copies:
        copy, original = next(iter(copies.items()))
        logger.warning(
            "images that are byte-equal to another one: %d (%s to %s); each will be labeled",
            *(len(copies), copy, original),
        )
    return [_with_original(item, copies.get(item.id)) for item in items]


def _with_original(item: NewItem, original: str | None) -> NewItem:
    if original is None:
        return item
    note = f"the same file as {original}"
    return replace(item, reason=note if item.reason is None else f"{item.reason}; {note}")


def _log_order(
    args: argparse.Namespace, known: Mapping[str, int], items: Sequence[NewItem], is_other: bool
) -> None:
    new = sum(item.id not in known for item in items)
    if is_other:
        by = "by chance" if args.strategy is None else f"by {args.strategy}"
        logger.info(
            "new order, %s: %d images come next (%d of them new), then those that waited before",
            *(by, len(items), new),
        )
    elif new:
        logger.info("added %d images to the %d of this labeling", new, len(known))
    elif args.query_size is not None and args.query_size < len(known):
        logger.warning(
            "this labeling has %d images already, which is more than --query-size %d; none is "
            "removed",
            *(len(known), args.query_size),
        )


def _warn_about_missing_files(store: LabelingStore, batch: int) -> None:
    images = {item.id: store.items.image(item) for item in store.items.items(batch) if item.image}
    gone = [id for id, image in images.items() if isinstance(image, Path) and not image.exists()]
    if gone:
        logger.warning(
            "images of this labeling whose files are gone: %d (%s); their labels stay",
            *(len(gone), ", ".join(gone[:_MOST_NAMED])),
        )


def _picked(
    store: LabelingStore,
    args: argparse.Namespace,
    pool: Sequence[Instance],
    labeled: Sequence[Instance],
    size: int,
    seed: int,
) -> list[NewItem]:
    """Return the picks of the strategy, in order, with their reasons.

    A labeling without classes gets those of the model.
    """
    from allencv_al.commands.select import read_strategy
    from allencv_al.commands.shared.select_results import picked_images
    from allencv_al.labels.sessions.items import NewItem
    from allencv_al.selection.pool.embedding_store import store_at
    from allencv_al.selection.pool.pool_scorer import ScoringOptions
    from allencv_al.selection.selector import SampleSelector

    strategy = read_strategy(args.strategy or "random", args.archive is None)
    # The page shows the guesses of an archive in any order
    predictors = _predictors(args, bool(strategy.needs or args.archive), labeled)
    options = ScoringOptions(store=store_at(args.embedding_cache))
    selector = SampleSelector(predictors, strategy, options)
    found = selector.select(pool, size, labeled, seed)
    for id, cause in list(found.unreadable.items())[:_MOST_NAMED]:
        logger.warning("%s: %s", id, cause)
    if len(found.unreadable) > _MOST_NAMED:
        logger.warning("skipped %d unreadable images", len(found.unreadable))
    if args.archive is not None and not store.classes.all():
        names = list(predictors[0].model.vocab.get_token_to_index_vocabulary())
        if store.values.names_by_place:
            names = list(predictors[0].model.class_names())[1:]  # the first one is the background
        store.classes.add(names, _OWNER)
    picks = picked_images(found, labeled, predictors if args.archive else (), options)
    if args.archive and predictors[0].model.label_task != store.values.task_name:
        # A model of labels of another kind orders the images, and has no guess at their labels
        picks = [replace(pick, predicted=None, probability=None, draft=None) for pick in picks]
    if args.by_class:
        picks.sort(key=lambda pick: (pick.predicted or "", -(pick.probability or 0.0)))
    return [NewItem.picked(pick, len(picks)) for pick in picks]


def _predictors(
    args: argparse.Namespace, is_needed: bool, labeled: Sequence[Instance]
) -> list[Predictor]:
    if not is_needed:
        return []
    if args.archive is None and args.embeddings is None:
        raise ConfigurationError(
            f"label: --strategy {args.strategy} needs a model; give --archive, or "
            "--embeddings offline"
        )
    if args.archive is None:
        from allencv_al.commands.select import cold_predictor

        return [cold_predictor(args, labeled)]
    from allencv_al.models.archive import load_archive
    from allencv_al.predictors.predictor import Predictor

    return [Predictor.from_archive(load_archive(args.archive, args.cuda_device))]


def _add_vectors(store: LabelingStore, args: argparse.Namespace, pool: Sequence[Instance]) -> None:
    """Store the embeddings of the images, by which the bulk view finds images that are alike."""
    model = _model(args)
    if model is None:
        return
    missing = set(store.vectors.missing(model))
    items = [item for item in pool if item.id in missing]
    if not items:
        return
    from allencv_al.selection.cold_start import text_source
    from allencv_al.selection.pool.embedding_store import store_at
    from allencv_al.selection.pool.pool_scorer import ScoringOptions
    from allencv_al.selection.pool.scoring import compute_outputs

    predictors = _predictors(args, True, ())
    if not predictors[0].model.takes_embeddings:
        return  # the strategy's outputs were no embeddings: a second pass would take as long again
    options = ScoringOptions(store=store_at(args.embedding_cache))
    outputs = compute_outputs(predictors, items, {"embeddings"}, None, options)
    assert outputs.embeddings is not None
    store.vectors.add(model, outputs.ids, outputs.embeddings)
    source = None if args.embeddings is None else text_source(args.embeddings)
    if source is not None:
        store.vectors.keep_text_model(model, source)


def _image(item: Instance) -> Path | bytes:
    return item.image if isinstance(item.image, bytes) else Path(str(item.image))
