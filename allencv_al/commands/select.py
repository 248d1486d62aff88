"""`allencv-al select`: choose the images to label next."""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from allencv_al.commands.shared.output_files import output_faults
from allencv_al.commands.shared.select_arguments import (
    DEFAULT_FIRST_STRATEGY,
    DEFAULT_STRATEGY,
    add_arguments,
)
from allencv_al.common.errors import ArchiveError, ConfigurationFaults, DataError, Fault
from allencv_al.common.files.paths import absent

if TYPE_CHECKING:
    from allencv_al.data.instance import Instance
    from allencv_al.predictors.predictor import Predictor
    from allencv_al.selection.pool.pool_scorer import ScoringOptions
    from allencv_al.selection.strategies import QueryStrategy

__all__ = ["add_arguments", "run"]


JSON_LINES = (".jsonl", ".ndjson", ".json")
_MOST_NAMED = 3

logger = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> int:
    """Choose images; unreadable ones are reported and skipped."""
    from allencv_al.commands.shared.select_results import (
        Results,
        log_summary,
        picked_images,
        write_results,
    )
    from allencv_al.labels.audit_sample import is_audit
    from allencv_al.selection.select_inputs import separate
    from allencv_al.selection.selector import SampleSelector
    from allencv_al.tasks import label_task

    _complete(args)
    _check_options(args)
    strategy = read_strategy(args.strategy, args.embeddings is not None)
    # Before the model is loaded, which takes seconds; its task says how labels are read
    images = None if args.use_dataset_reader else _pool(args, None)
    if images is not None and args.embeddings is not None:
        pool, labeled = separate(images, args.labeled)
        predictors = [cold_predictor(args, labeled)] if strategy.needs else []
    else:
        predictors = _trained_predictors(args)
        images = _pool(args, predictors[0]) if images is None else images
        pool, labeled = _separated(args, images, predictors[0])
    # Audited images measure models: no strategy may count them as labeled
    known = [item for item in labeled if not is_audit(item)]
    started = time.monotonic()
    options = _options(args)
    selection = SampleSelector(predictors, strategy, options).select(
        pool,
        args.query_size,
        labeled=known,
        seed=args.seed,
        folder=args.scores_dir,
        target=_target(args, predictors),
    )
    seconds = time.monotonic() - started - selection.seconds  # without the strategy: the model
    if not len(selection):
        id, cause = next(iter(selection.unreadable.items()))
        raise DataError(f"none of the {len(pool)} images can be read; {id}: {cause}")
    classifiers = predictors if args.embeddings is None else ()
    results = Results(
        picks=picked_images(selection, known, classifiers, options),
        pool=pool,
        labeled=labeled,
        unreadable=selection.unreadable,
        title=f"{len(selection)} of {len(pool)} images, by {args.strategy}",
        task=label_task(classifiers[0].model.task if classifiers else None),
    )
    write_results(results, args.output, args.contact_sheet)
    # With a store the log has said how many were encoded, and in which time
    all_scored = bool(strategy.needs) and args.scores_dir is None and options.store is None
    log_summary(results, args.output, seconds, selection.seconds, all_scored)
    return 0


def _complete(args: argparse.Namespace) -> None:
    """Set the defaults that depend on whether a model is given."""
    if args.strategy is None:
        without_model = args.embeddings is not None
        args.strategy = DEFAULT_FIRST_STRATEGY if without_model else DEFAULT_STRATEGY
    if args.pool is None:  # with --embeddings the one positional argument is POOL, not ARCHIVE
        args.pool, args.archive_file = str(args.archive_file), None


def _check_options(args: argparse.Namespace) -> None:
    from allencv_al.common.files.paths import split_path
    from allencv_al.labels.label_table import check_replaceable

    outputs = {"--output": args.output, "--contact-sheet": args.contact_sheet}
    inputs = [args.pool, *filter(None, (args.archive_file, *args.ensemble))]
    faults = [*_cold_start_faults(args), *_result_faults(args), *output_faults(outputs, inputs)]
    if faults:
        raise ConfigurationFaults(faults, "the options of select")
    for archive in (args.archive_file, *args.ensemble):
        if archive is not None and not archive.exists():
            raise ArchiveError(absent(archive, "archive"))
    if args.output is not None and args.output.suffix.lower() == ".csv":
        source, part = (None, None) if args.labeled is None else split_path(args.labeled)
        same = source is not None and args.output.exists() and source.exists()
        # --labeled t.csv --output t.csv adds picks to a table: its labels are read and kept
        is_source = same and source is not None and source.samefile(args.output)
        check_replaceable(args.output, labels_are_kept=is_source and part is None)


def _cold_start_faults(args: argparse.Namespace) -> list[Fault]:
    from allencv_al.data.vector_files import is_vector_file

    if args.embeddings is None:
        needless = {"--image-size": args.image_size}
        reason = "is for --embeddings; an archive knows its own transforms"
    else:
        needless = {
            "ARCHIVE": args.archive_file,
            "--ensemble": args.ensemble,
            "--overrides": args.overrides,
            "--use-dataset-reader": args.use_dataset_reader,
            "--target": args.target,
        }
        reason = "has no place beside --embeddings, which takes the place of ARCHIVE"
    faults = [Fault(name, reason) for name, value in needless.items() if value]
    if args.embeddings is not None and args.image_size and is_vector_file(args.embeddings):
        faults.append(Fault("--image-size", "a file of vectors has been made of images already"))
    if args.embeddings is not None and args.weights_file is not None and _has_weights(args):
        faults.append(Fault("--weights-file", "the weights are behind the colon of --embeddings"))
    return faults


def _has_weights(args: argparse.Namespace) -> bool:
    from allencv_al.modules.pretrained_encoders import EncoderName

    return EncoderName.parse(args.embeddings).weights is not None


def _result_faults(args: argparse.Namespace) -> list[Fault]:
    faults = []
    for option, path, suffixes in (
        ("--output", args.output, (".csv", *JSON_LINES)),
        ("--contact-sheet", args.contact_sheet, (".png",)),
    ):
        if path is not None and path.suffix.lower() not in suffixes:
            known = " or ".join(suffixes[:2])
            faults.append(Fault(option, f"expected a name that ends in {known}, found {path}"))
    return faults


def read_strategy(text: str, without_model: bool) -> QueryStrategy:
    """Return the strategy that `--strategy` names.

    Args:
        text: A registered name, or a jsonnet object.
        without_model: Whether there is no trained model, but at most embeddings.

    Raises:
        ConfigurationFaults: The strategy is unknown, or its options are invalid.
        ConfigurationError: The strategy needs a trained model.
    """
    from allencv_al.common.config.config_check import check
    from allencv_al.common.config.sources.jsonnet_file import (
        environment_variables,
        evaluate_snippet,
    )
    from allencv_al.selection.cold_start import check_needs_no_model
    from allencv_al.selection.strategies import QueryStrategy

    config: dict[str, Any] = {"type": text}
    if text.lstrip().startswith("{"):
        config = json.loads(evaluate_snippet("--strategy", text, environment_variables()))
    faults = check(QueryStrategy, config)
    if faults:
        raise ConfigurationFaults(faults, "--strategy")
    strategy: QueryStrategy = QueryStrategy.from_params(config)
    if without_model:
        strategy = strategy.before_labels()
        check_needs_no_model(strategy, f"--strategy {text}")
    return strategy


def _separated(
    args: argparse.Namespace, images: Sequence[Instance], predictor: Predictor
) -> tuple[list[Instance], list[Instance]]:
    """Return the images to choose from and those with labels, which must be the model's classes."""
    from allencv_al.selection.known_labels import check_known_labels
    from allencv_al.selection.select_inputs import separate

    model = predictor.model
    pool, labeled = separate(images, args.labeled, model.task, predictor.dataset_reader)
    check_known_labels(labeled, model.vocab, args.labeled or args.pool, model.task)
    return pool, labeled


def _pool(args: argparse.Namespace, predictor: Predictor | None) -> list[Instance]:
    images = _images(args.pool, predictor)
    is_table = args.output is not None and args.output.suffix.lower() == ".csv"
    return _with_place_in_table(images) if is_table else images


def _images(text: str, predictor: Predictor | None) -> list[Instance]:
    """Read images, by the dataset reader of the predictor if one is given."""
    from allencv_al.selection.select_inputs import read_pool

    if predictor is None:
        return read_pool(text)
    dataset = predictor.dataset_reader.read(text)
    return [instance.unlabeled() for instance in dataset]


def _with_place_in_table(pool: list[Instance]) -> list[Instance]:
    from allencv_al.labels.label_table import has_place_in_table

    kept = [instance for instance in pool if has_place_in_table(instance)]
    if len(kept) < len(pool):
        left_out = [instance.id for instance in pool if not has_place_in_table(instance)]
        logger.warning(
            "%d images have names that no CSV table can hold, and are left out (%s); "
            "--output picks.jsonl can hold them",
            len(left_out),
            ", ".join(left_out[:_MOST_NAMED]),
        )
    if not kept:
        raise DataError("no image of the pool has a name that a CSV table can hold")
    return kept


def _trained_predictors(args: argparse.Namespace) -> list[Predictor]:
    from allencv_al.models.archive import load_archive
    from allencv_al.predictors.predictor import Predictor

    first = load_archive(args.archive_file, args.cuda_device, args.overrides, args.weights_file)
    others = [load_archive(path, args.cuda_device) for path in args.ensemble]
    choice = args.dataset_reader_choice
    return [Predictor.from_archive(archive, None, choice) for archive in (first, *others)]


def cold_predictor(args: argparse.Namespace, labeled: Sequence[Instance]) -> Predictor:
    """Return a predictor that only embeds images, for use without a trained model.

    Args:
        args: Arguments with `embeddings`, `weights_file`, `image_size` and `cuda_device`.
        labeled: Labeled images; their labels are the classes.
    """
    from allencv_al.selection.cold_start import embedding_predictor

    weights = "" if args.weights_file is None else f":{args.weights_file}"
    return embedding_predictor(
        f"{args.embeddings}{weights}",
        args.image_size,
        classes=[str(instance.label) for instance in labeled],
        cuda_device=args.cuda_device,
    )


def _options(args: argparse.Namespace) -> ScoringOptions:
    from allencv_al.selection.pool.embedding_store import store_at
    from allencv_al.selection.pool.pool_scorer import ScoringOptions

    return ScoringOptions(
        batch_size=args.batch_size,
        mc_samples=args.mc_samples,
        seed=args.seed,
        precision=args.precision,
        store=store_at(args.embedding_cache),
    )


def _target(args: argparse.Namespace, predictors: Sequence[Predictor]) -> list[Instance] | None:
    if args.target is None:
        return None
    return _images(args.target, predictors[0] if args.use_dataset_reader else None)
