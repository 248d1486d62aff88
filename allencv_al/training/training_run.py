"""`allencv-al train`: from a config to a trained, evaluated and archived model in a folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from allencv_al.common import Params
from allencv_al.common.errors import ConfigurationError
from allencv_al.common.files import atomic_file
from allencv_al.common.seeding import seed_everything
from allencv_al.data.data_loaders import DataLoader
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.metrics.accuracy_interval import AccuracyEstimate, with_intervals
from allencv_al.models.archive import archive_model
from allencv_al.models.model import Model
from allencv_al.models.precision import Precision
from allencv_al.training.archive_samples import write_archive_samples
from allencv_al.training.checkpoints.checkpoint_files import write_weights
from allencv_al.training.checkpoints.checkpointer import BEST_WEIGHTS, has_checkpoints
from allencv_al.training.datasets import Datasets, texts_of
from allencv_al.training.evaluation import AuditHook, evaluate, fit_thresholds
from allencv_al.training.experiment import Experiment, check_experiment
from allencv_al.training.run_folder import (
    METRICS_NAME,
    MISTAKES_NAME,
    VOCABULARY_NAME,
    opened_run_folder,
    read_config,
)
from allencv_al.training.run_plots import write_confusion_matrix
from allencv_al.training.run_records import check_same_data, write_data_record
from allencv_al.training.trainers.base import Trainer
from allencv_al.training.trainers.training_loop import DEFAULT_EPOCHS
from allencv_al.training.unlabeled_images import TrainingPool

logger = logging.getLogger(__name__)

# Keys that may differ in a resumed run: none of them changes the result
WITHOUT_EFFECT = (
    *(
        f"{loader}.{key}"
        for loader in ("data_loader", "validation_data_loader")
        for key in (
            *("num_workers", "prefetch_factor", "pin_memory", "start_method", "track_epoch"),
            *("worker_timeout", "max_instances_in_memory", "cache_instances", "quiet"),
        )
    ),
    *("trainer.cuda_device", "trainer.checkpointer", "archive_samples"),
)
CHANGEABLE = (*WITHOUT_EFFECT, "evaluate_on_test", "test_data_path", "active_learning")

UNREADABLE_NAME = "unreadable_images.jsonl"


Encoded = Callable[[DataLoader, Model, Precision], DataLoader]


class Gallery(Protocol):
    """Sees the predictions for the test or validation images, and writes what is wrong."""

    def note(self, ids: list[str], outputs: dict[str, Any]) -> None:
        """See the output of a forward pass; a `BatchHook`."""

    def write(self, path: Path, name: str) -> object:
        """Write the page.

        Args:
            path: The file.
            name: The name of the data.
        """


def unchanged_loader(loader: DataLoader, model: Model, precision: Precision) -> DataLoader:
    """Return the loader: its images are encoded whenever they are needed."""
    return loader


def train(
    params: Params,
    serialization_dir: str | Path,
    recover: bool = False,
    force: bool = False,
    source: str = "the configuration",
    encoded: Encoded = unchanged_loader,
    gallery: Callable[[Model, Dataset], Gallery] | None = None,
) -> dict[str, Any]:
    """Train the model that a config describes, and write all results to a folder.

    Args:
        params: The config.
        serialization_dir: The folder; docs/reference/files.md lists what it holds afterwards.
        recover: Resume the interrupted run in the folder.
        force: Replace the run in the folder.
        source: The name of the config in messages.
        encoded: Returns a loader of embeddings, or the loader itself, for a loader, the model and a
            number format; for an encoder that does not train.
        gallery: Makes the page of mistakes, `mistakes.html`, of the test images, or else of the
            validation images, which are then predicted once more; None for no page.

    Returns:
        The metrics that metrics.json holds.

    Raises:
        ConfigurationFaults: The config is wrong; nothing was read or written.
        AllenCVError: Any other error that a user can fix.
    """
    check_experiment(params, source)
    folder = Path(serialization_dir)
    changeable = _changeable(folder, params) if recover else ()
    # Before any part is built or any image is read: parts may write into the folder
    with opened_run_folder(folder, params, recover, force, changeable) as run_folder:
        experiment = Experiment.from_checked(params)
        seed_everything(*experiment.seeds)
        datasets, vocabulary = experiment.prepare()
        loaders = _Loaders(experiment, datasets, vocabulary)
        learned = {"train": datasets.train, "validation": datasets.validation}
        if recover:
            check_same_data(folder, learned, vocabulary, folder / VOCABULARY_NAME)
        model = experiment.make_model(vocabulary, folder)
        trainer = _make_trainer(experiment, model, datasets, loaders, encoded, folder)
        # All that can fail early has not: only now the run that was there is removed
        run_folder.begin()
        # That of a recovered run is the same: `check_same_data` compared it
        if not (recover and has_checkpoints(folder)):
            vocabulary.save_to_files(folder / VOCABULARY_NAME)
        if trainer.goes_on:
            write_data_record(folder, learned)
        with loaders.closed_at_the_end(folder):
            validation = loaders.validation
            metrics = _train_and_archive(trainer, experiment, datasets, folder, recover, validation)
            test = loaders.test if experiment.evaluate_on_test else None
            found, seen = _measure(trainer, datasets, loaders, test, encoded, folder, gallery)
            metrics = with_intervals(metrics | found)
            atomic_file.write_json(folder / METRICS_NAME, metrics)
            if seen is not None:
                _write_mistakes(seen, trainer, validation if test is None else None, folder)
    return metrics


def _make_trainer(
    experiment: Experiment,
    model: Model,
    datasets: Datasets,
    loaders: _Loaders,
    encoded: Encoded,
    folder: Path,
) -> Trainer:
    pool = TrainingPool.of(
        loaders.pool, model, experiment.seeds[2], lambda loader: encoded(loader, model, "auto")
    )
    trainer = experiment.make_trainer(
        model, loaders.train, loaders.validation, folder, pool_embeddings=pool
    )
    trainer.check_data(datasets)
    trainer.replace_loaders(lambda loader, precision: encoded(loader, model, precision))
    return trainer


def _check_is_training(folder: Path) -> None:
    """Raise where a folder holds the run of another command."""
    for name, command in (("run.sqlite", "active-learn"), ("comparison.json", "compare")):
        if (folder / name).exists():
            raise ConfigurationError(
                f"{folder}: holds a run of {command}; {command} --recover resumes it"
            )


def _train_and_archive(
    trainer: Trainer,
    experiment: Experiment,
    datasets: Datasets,
    folder: Path,
    recover: bool,
    validation: DataLoader | None,
) -> dict[str, Any]:
    """Train, and archive the model before its evaluation.

    A callback that fails at the end, or an image that cannot be evaluated, must not cost a model.
    """
    try:
        metrics = trainer.train(recover=recover)
        if found := fit_thresholds(trainer.model, validation, trainer.device):
            metrics |= found
            state = trainer.model.state_dict()
            weights = {name: value.cpu().clone() for name, value in state.items()}
            write_weights(folder / BEST_WEIGHTS, weights)
    except Exception:
        # A callback failed at the end: the weights are final, so the archive is made all the same
        if trainer.has_result:
            _archive(experiment, datasets, folder)
        raise
    _archive(experiment, datasets, folder)
    return metrics


def _archive(experiment: Experiment, datasets: Datasets, folder: Path) -> None:
    write_archive_samples(
        folder, datasets.for_samples(), experiment.archive_samples, experiment.task
    )
    archive_model(folder)


def _changeable(folder: Path, params: Params) -> Collection[str]:
    """Return the keys that may differ in a resumed run; the number of epochs may only grow.

    Raises:
        ConfigurationError: The folder holds the run of another command.
    """
    _check_is_training(folder)
    more = _epochs(params.as_dict()) > _epochs(read_config(folder) or {})
    return (*CHANGEABLE, "trainer.num_epochs") if more else CHANGEABLE


def _epochs(config: Mapping[str, Any]) -> int:
    trainer = config.get("trainer")
    value = trainer.get("num_epochs") if isinstance(trainer, Mapping) else None
    return value if isinstance(value, int) else DEFAULT_EPOCHS


class _Loaders:
    """The data loaders of a run, one for each of its datasets."""

    def __init__(self, experiment: Experiment, datasets: Datasets, vocabulary: Vocabulary) -> None:
        self.train = experiment.make_loader(datasets.train, vocabulary, training=True)
        self.validation, self.test = (
            None if dataset is None else experiment.make_loader(dataset, vocabulary, training=False)
            for dataset in (datasets.validation, datasets.test)
        )
        self.pool = experiment.make_pool_loader(datasets, vocabulary)
        self.audit = None
        if datasets.audit is not None:
            # Without labels: one of a class that the model does not know is wrong, not an error
            images = [item.unlabeled() for item in datasets.audit]
            dataset = Dataset(datasets.audit.reader, images)
            self.audit = experiment.make_loader(dataset, vocabulary, training=False)

    @contextmanager
    def closed_at_the_end(self, folder: Path) -> Iterator[None]:
        """Close all loaders, also after an error, and write the list of unreadable images.

        Args:
            folder: The folder of the run.
        """
        every = (self.train, self.validation, self.test, self.pool, self.audit)
        loaders = [loader for loader in every if loader is not None]
        try:
            yield
        finally:
            for loader in loaders:
                loader.close()
            # Only now: workers report what they could not read until they end
            _list_unreadable(folder, loaders)


def _measure(
    trainer: Trainer,
    datasets: Datasets,
    loaders: _Loaders,
    test: DataLoader | None,
    encoded: Encoded,
    folder: Path,
    gallery: Callable[[Model, Dataset], Gallery] | None,
) -> tuple[dict[str, Any], Gallery | None]:
    """Return the figures of the test and of the audit, and the page of mistakes so far."""
    model = trainer.model
    # Embeddings of a network that has been trained are of no use to the next training
    last = encoded if model.embedding_is_fixed() else unchanged_loader
    measured = datasets.validation if test is None else datasets.test
    seen = None if gallery is None or measured is None else gallery(model, measured)
    metrics: dict[str, Any] = {}
    if test is not None:
        metrics |= _test(trainer, last(test, model, "fp32"), model.vocab, folder, seen)
    if datasets.audit is not None and loaders.audit is not None:
        metrics |= _audit(trainer, last(loaders.audit, model, "fp32"), datasets.audit)
    return metrics, seen


def _write_mistakes(
    seen: Gallery, trainer: Trainer, validation: DataLoader | None, folder: Path
) -> None:
    """Write the page of mistakes, of the validation images unless it has those of the test."""
    if validation is not None and trainer.model.task.names_image:
        # The trainer's own loader, which may have kept embeddings
        own = getattr(trainer, "validation_data_loader", validation)
        if own is not None:
            evaluate(trainer.model, own, trainer.device, on_batch=seen.note)
    seen.write(folder / MISTAKES_NAME, folder.name)


def _test(
    trainer: Trainer,
    loader: DataLoader,
    vocabulary: Vocabulary,
    folder: Path,
    seen: Gallery | None,
) -> dict[str, Any]:
    hook = None if seen is None else seen.note
    found = evaluate(trainer.model, loader, trainer.device, on_batch=hook, description="testing")
    confusion = found.get("confusion_matrix")
    if confusion is not None:
        write_confusion_matrix(folder / "confusion_matrix.png", confusion, vocabulary, "test")
    return {f"test_{name}": value for name, value in found.items()}


def _audit(trainer: Trainer, loader: DataLoader, audit: Dataset) -> dict[str, Any]:
    hook = AuditHook(trainer.model, texts_of(audit, trainer.model.task))
    evaluate(trainer.model, loader, trainer.device, on_batch=hook, description="auditing")
    found = hook.figures()
    if found:
        value, low, high = (found[f"audit_{name}"] for name in ("accuracy", "low", "high"))
        estimate = AccuracyEstimate(value, low, high, int(found["audit_labels"]))
        logger.info("accuracy %s by %d audited images", estimate, estimate.labels)
    return found


def _list_unreadable(folder: Path, loaders: Iterable[DataLoader]) -> None:
    """Write one line for each image that could not be read, if there are any."""
    lines = [
        json.dumps({"id": bad.id, "path": bad.path, "cause": bad.cause}, ensure_ascii=False)
        for loader in loaders
        for bad in loader.unreadable.values()
    ]
    if lines:
        lines = list(dict.fromkeys(lines))  # a labeled image is in the pool, too
        atomic_file.write_text(folder / UNREADABLE_NAME, "\n".join(lines) + "\n")
        logger.warning("%d unreadable images: see %s", len(lines), folder / UNREADABLE_NAME)
