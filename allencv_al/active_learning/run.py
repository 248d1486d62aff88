"""A run of active learning, from a config to a run directory with labels, report and model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from allencv_al.active_learning.active_learning_experiment import (
    LoopExperiment,
    experiment_class,
    without_secrets,
)
from allencv_al.active_learning.corrections import (
    check_no_labels_are_lost,
    correct_labels,
    drop_items,
)
from allencv_al.active_learning.learners.base import Learner
from allencv_al.active_learning.loop import ActiveLearningLoop, LoopHooks
from allencv_al.active_learning.rounds.round_record import RoundRecord
from allencv_al.active_learning.run_files import TEST_ITEMS_NAME, RunFiles, record_test_items
from allencv_al.common import Params
from allencv_al.common.seeding import seed_everything
from allencv_al.common.user_code import user_code
from allencv_al.labels.run_database import DATABASE_NAME, RoundStore, RunDatabase, State
from allencv_al.selection.pool.embedding_store import store_at
from allencv_al.training.experiment import check_experiment
from allencv_al.training.run_folder import check_run_folder, opened_run_folder
from allencv_al.training.run_records import write_environment
from allencv_al.training.training_run import WITHOUT_EFFECT

logger = logging.getLogger(__name__)

CACHE_NAME = "embeddings"

# Keys that may differ in a resumed run: none of them changes finished rounds
CHANGEABLE = (
    *WITHOUT_EFFECT,
    *(
        f"active_learning.annotator.{key}"
        for key in (
            *("port", "host", "labels_per_image", "token_file", "allowed_hosts"),
            "settle_seconds",
        )
    ),
    *(
        f"active_learning.learner.{key}"
        for key in (
            *("url", "listen_port", "listen_host", "token", "token_file"),
            *("patience_seconds", "records_per_request"),
        )
    ),
    "active_learning.audit",
    "active_learning.budget",
    "active_learning.classes",
    "active_learning.query_size",
    "active_learning.stop",
    "pool_data_path",
)


@dataclass(frozen=True)
class RunOptions:
    """Options of a run that do not change its results.

    Args:
        recover: Resume the run in the folder.
        force: Replace the run in the folder.
        source: The name of the config in messages.
        is_checked: Whether `check_experiment` has accepted the config; so it takes no time again.
        cache_folder: The folder of an `EmbeddingStore`, or "off": in the run directory. Default:
            the store of all commands, in the user's cache folder.
        files: Whether to write the report, the picture and the model, beside the database.
        relabel: Corrections: the right class by the id of an item that has a label.
        drop: Items to take out of the run, labeled or asked for.
        drop_missing: Whether to take out all of those whose images are no longer in the data.
        partial: Whether rounds continue with the labels given so far; items without a label
            return to the pool.
        on_round: Called with the record of each round.
        on_point: Called between any two writes; see `LoopHooks`.
    """

    recover: bool = False
    force: bool = False
    source: str = "the configuration"
    is_checked: bool = False
    cache_folder: str | Path | None = None
    files: bool = True
    relabel: Mapping[str, str] = field(default_factory=dict)
    drop: Collection[str] = ()
    drop_missing: bool = False
    partial: bool = False
    on_round: Callable[[RoundRecord], None] | None = None
    on_point: Callable[[str], None] | None = None


def active_learn(
    params: Params, serialization_dir: str | Path, options: RunOptions | None = None
) -> list[RoundRecord]:
    """Run active learning as a config describes it, or resume a run.

    Args:
        params: The config, with the block `active_learning`.
        serialization_dir: The folder. It ends with config.json, run.sqlite, labels.csv,
            learning_curve.png, report.html, environment.json and model.tar.gz.
        options: Options of the run.

    Returns:
        The rounds.

    Raises:
        WaitingForLabels: An annotator must label first; the same call continues afterwards.
        ConfigurationFaults: The config is wrong; nothing was read or written.
        AllenCVError: Any other error that a user can fix.
    """
    options = options or RunOptions()
    folder = Path(serialization_dir)
    described = experiment_class(params)
    if not options.is_checked:
        check_experiment(params, options.source, described)
    # A waiting run needs no --recover: the same command continues it
    recover = options.recover or (not options.force and is_waiting(folder))
    experiment = described.from_checked(params)
    written = without_secrets(params)
    check_run_folder(folder, written, recover, options.force, CHANGEABLE)
    if options.force:  # before the learner, whose construction may take minutes
        check_no_labels_are_lost(folder)
    learner = make_learner(experiment, cache_folder(options.cache_folder, folder))

    with _closed_at_the_end(learner):
        learner.check(experiment.settings.strategy.needs)
        with (
            opened_run_folder(folder, written, recover, options.force, CHANGEABLE) as run_folder,
            RunDatabase(folder / DATABASE_NAME) as database,
            closing(experiment.settings.annotator),
        ):
            run_folder.begin()
            if experiment.settings.draws_test_items():
                record_test_items(folder / TEST_ITEMS_NAME, learner.test_items(), learner.task)
            loop = ActiveLearningLoop(
                learner, experiment.settings, database, folder, experiment.seeds[0]
            )
            files = None
            # Comparisons write none: their cells are records only
            if options.files:
                write_environment(folder, code=user_code(written.as_dict()))
                files = RunFiles(folder, written, learner, experiment.settings)
            loop.hooks = _hooks(options, files, loop)
            allowed = experiment.settings.classes or learner.data_classes()
            correct_labels(loop.labels, options.relabel, allowed, learner.task)
            missing = loop.missing() if options.drop_missing else []
            drop_items(loop.labels, [*options.drop, *missing], loop.asked())
            loop.is_partial = options.partial
            return loop.run()


@contextmanager
def _closed_at_the_end(learner: Learner) -> Iterator[None]:
    """Close a learner; `is_done` is False if an exception interrupted the run."""
    try:
        yield
    except BaseException:
        learner.close(is_done=False)
        raise
    learner.close(is_done=True)


def cache_folder(place: str | Path | None, run_folder: Path) -> Path:
    """Return the folder of the embeddings of a run.

    Args:
        place: A folder, or "off", for a folder in the run directory. Default: as `store_at`.
        run_folder: The run directory.
    """
    store = store_at(None if place is None else str(place))
    return run_folder / CACHE_NAME if store is None else store.folder


def make_learner(experiment: LoopExperiment, cache_folder: Path) -> Learner:
    """Return the learner of an experiment, with its data read.

    Args:
        experiment: The experiment of the config.
        cache_folder: The folder of cached embeddings.

    Raises:
        DataError: Something is wrong with the data.
    """
    seed_everything(*experiment.seeds)
    learner: Learner = experiment.settings.learner.construct(
        experiment=experiment, cache_folder=cache_folder
    )
    return learner


def is_waiting(folder: Path) -> bool:
    """Return whether the run in a folder waits for labels."""
    path = folder / DATABASE_NAME
    if not path.is_file():
        return False
    with RunDatabase(path, create=False) as database:
        # Chosen and not answered; a later state means that the labels are there
        last = RoundStore(database).last()
    return last is not None and last[1] is State.SELECT


def _hooks(options: RunOptions, files: RunFiles | None, loop: ActiveLearningLoop) -> LoopHooks:
    def on_round(record: RoundRecord) -> None:
        if options.on_round is not None:
            options.on_round(record)
        if files is not None:
            files.update(loop)

    def on_pause() -> None:
        if files is not None:
            loop.have_last_model()
            files.write(loop, with_model=True)

    nothing = LoopHooks()
    return LoopHooks(on_round, options.on_point or nothing.on_point, on_pause)
