"""The learner with the model and trainer of a config."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from overrides import overrides

from allencv_al.active_learning.active_learning_experiment import ActiveLearningExperiment
from allencv_al.active_learning.learners.base import Learner, TestFigures, TestOutputs
from allencv_al.active_learning.learners.cached_embeddings import CachedEmbeddings
from allencv_al.active_learning.learners.model_state import (
    set_state,
    shrink_and_perturb,
    trained_state,
    write_state,
)
from allencv_al.active_learning.loop_data import LoopData, read_loop_data
from allencv_al.active_learning.rounds.round_metrics import finite_numbers
from allencv_al.common.errors import ConfigurationError, DataError, ImageDecodeError
from allencv_al.common.files.atomic_file import make_folder
from allencv_al.common.progress import log_level
from allencv_al.common.seeding import seed_everything
from allencv_al.data.batch import TargetTable, label_indices
from allencv_al.data.data_loaders import DataLoader
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.instance import LABEL_NAMESPACE, Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.labels.annotators.base import TO_ADD_A_CLASS
from allencv_al.models.archive import archive_model
from allencv_al.models.model import Model, scaling_names
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.selection.pool.embedding_loader import EmbeddingLoader
from allencv_al.selection.pool.embedding_store import store_at
from allencv_al.selection.pool.mc_dropout import dropouts
from allencv_al.selection.pool.pool_outputs import EncodingCost, PoolOutputs
from allencv_al.selection.pool.pool_scorer import ScoringOptions
from allencv_al.selection.pool.scoring import compute_outputs
from allencv_al.selection.pool.stored_outputs import outputs_of_embeddings, scaled_embeddings
from allencv_al.tasks.base import LabelTask
from allencv_al.training.archive_samples import write_archive_samples
from allencv_al.training.checkpoints.checkpoint_files import read_weights, write_weights
from allencv_al.training.checkpoints.checkpointer import BEST_WEIGHTS
from allencv_al.training.checkpoints.checkpointer import FOLDER as CHECKPOINTS
from allencv_al.training.datasets import Datasets, check_files
from allencv_al.training.evaluation import evaluate, fit_thresholds
from allencv_al.training.heads.label_spreading import PoolEmbeddings
from allencv_al.training.run_folder import VOCABULARY_NAME

logger = logging.getLogger(__name__)

WEIGHTS_NAME = "weights.safetensors"
TRAINING_FOLDER = "training"
_NO_CLASS_YET = "no class yet"


@Learner.register("experiment")
class ExperimentLearner(Learner):
    """Trains the config's model with its trainer.

    With an encoder that does not train (and `cache_embeddings`), each image is encoded once per
    experiment; a round then trains, tests and infers on embeddings. The training images go through
    the transforms of `dataset_reader`; test images, and the pool where it is encoded anew in each
    round, through those of `validation_dataset_reader`.

    Args:
        experiment: The experiment of the config.
        cache_folder: The folder of an `EmbeddingStore`; any runs may share it.
    """

    def __init__(self, experiment: ActiveLearningExperiment, cache_folder: Path) -> None:
        self._experiment = experiment
        self._settings = experiment.settings
        self._cache_folder = cache_folder
        self._data: LoopData = read_loop_data(experiment)
        self.items = self._data.items()
        self._by_id = {item.id: item for item in self.items}
        self._shown_classes: set[str] = set()
        self._vocabulary = self._make_vocabulary()
        self._data = self._data.known_to(self._vocabulary)
        self._data_classes = self.class_names()
        self._model: Model | None = None
        self._initial: dict[str, torch.Tensor] = {}
        self._cached: CachedEmbeddings | None = None
        self._pool: PoolEmbeddings | None = None  # of a fixed encoder, for trainers

    # -- Model and data ------------------------------------------------------------------------

    @property
    @overrides
    def task(self) -> LabelTask:
        return self._experiment.task

    @property
    def model(self) -> Model:
        """The current model; it is built on first use."""
        if self._model is None:
            self._build()
        assert self._model is not None
        return self._model

    @overrides
    def rehearse(self) -> None:
        check_files(
            {
                "train_data_path": self._data.sources[0],
                "pool_data_path": dict(enumerate(self._data.sources)).get(1),
                "validation_data_path": self._data.validation,
                "test_data_path": None if self._data.test_is_validation else self._data.test,
            }
        )
        self.check(self._settings.strategy.needs)

    @overrides
    def prepare(self) -> None:
        self._cached_embeddings()

    @overrides
    def class_names(self) -> list[str]:
        return _names_in(self._vocabulary)

    @overrides
    def data_classes(self) -> list[str]:
        return self._data_classes

    @overrides
    def set_classes(self, names: Collection[str]) -> bool:
        new = set(names) - set(self.class_names())
        if not new:
            return False
        if self._settings.classes is not None:
            raise DataError(
                f"labels of no class of active_learning.classes: {', '.join(sorted(new))}; known: "
                f"{', '.join(self.class_names())}; {TO_ADD_A_CLASS}"
            )
        vocabulary = self._make_vocabulary(*new)
        unknown = new - set(_names_in(vocabulary))
        if unknown:
            raise DataError(
                f"labels of no class of the vocabulary: {', '.join(sorted(unknown))}; known: "
                f"{', '.join(self.class_names())}; the config's vocabulary says which there can be"
            )
        self._shown_classes |= new
        self._vocabulary = vocabulary
        # Built anew with a wider last layer; embeddings come from the store again
        self._model, self._cached = None, None
        return True

    @overrides
    def check(self, needs: Collection[str]) -> None:
        if "embeddings" in needs and type(self.model).embed is Model.embed:
            raise ConfigurationError(
                "active_learning.strategy: needs embeddings, and this model has no method embed"
            )
        members = {"mc_logits", "target_mc_logits"} & set(needs)
        if members and not dropouts(self.model):
            raise ConfigurationError(
                "active_learning.strategy: needs an ensemble, which dropout gives, and this model "
                "has none; set model.dropout, to 0.5 for example"
            )

    @overrides
    def unreadable(self, ids: Sequence[str]) -> dict[str, str]:
        if self._cached_embeddings() is not None:
            return {}  # unreadable images have no embedding, so they are not in the pool
        reader = self._experiment.validation_dataset_reader
        found: dict[str, str] = {}
        for id in ids:
            try:
                reader.decode(self._by_id[id])
            except ImageDecodeError as error:
                found[id] = error.cause
        return found

    @overrides
    def embeddings_stay(self) -> bool:
        return self.model.embedding_is_fixed()

    @overrides
    def predicts_untrained(self) -> bool:
        return bool(self.class_names()) and self.model.predicts_untrained

    @overrides
    def encoding_cost(self) -> EncodingCost | None:
        return None if self._cached is None else self._cached.cost

    @overrides
    def offers(self, output: str) -> bool:
        if output == "embeddings":
            return self.model.takes_embeddings
        return super().offers(output)

    # -- The three calls ----------------------------------------------------------------------

    @overrides
    def train(self, round: int, labels: Mapping[str, str], folder: Path) -> dict[str, Any]:
        model = self.model
        self._start(round, folder)
        # Seeds of the round alone, so that a resumed training draws what a whole one does
        seeds = [seed + round for seed in self._experiment.seeds]
        seed_everything(seeds[0], seeds[1] % 2**32, seeds[2])
        dataset = self._labeled(labels)
        if (folder / WEIGHTS_NAME).exists():  # a kill may have interrupted the removal below
            _sweep(folder / TRAINING_FOLDER)
        if self._cached_embeddings() is not None:
            # Many trainings of about a second each: their logs would hide the rounds
            with log_level("allencv_al.training", logging.WARNING):
                metrics = self._train(model, dataset, None, enable_default_callbacks=False)
        else:
            metrics = self._train(model, dataset, folder / TRAINING_FOLDER)
        # Weights first: until they exist, the checkpoints let a killed training resume
        write_state(folder / WEIGHTS_NAME, model)
        _sweep(folder / TRAINING_FOLDER)
        return metrics

    @overrides
    def restore(self, round: int, labels: Mapping[str, str], folder: Path) -> None:
        set_state(self.model, read_weights(folder / WEIGHTS_NAME))

    @overrides
    def measures(self) -> bool:
        return self._data.test is not None

    @overrides
    def test_items(self) -> Sequence[Instance]:
        return () if self._data.test is None else list(self._data.test)

    @overrides
    def test(self) -> TestOutputs | TestFigures | None:
        dataset = self._data.test
        if dataset is None:
            return None
        if "logits" not in self.task.outputs:
            return self._figures(dataset)
        cached = self._cached_embeddings()
        if cached is not None:
            assert cached.test is not None
            scaled = cached.scaled(cached.test)
            outputs = outputs_of_embeddings(self.model, scaled, {"logits"}, is_scaled=True)
        else:
            predictor = ImagePredictor(self.model, dataset.reader)
            # What the archive will give: `evaluate` is fp32 too
            options = replace(self._options("testing"), precision="fp32")
            outputs = compute_outputs(predictor, dataset, {"logits"}, options=options)
        by_id = {instance.id: instance for instance in dataset}
        found = [by_id[id] for id in outputs.ids]
        # Images without a label, or that cannot be read, measure nothing
        labeled = [place for place, item in enumerate(found) if self.task.is_labeled(item)]
        assert outputs.logits is not None
        labels = np.asarray(label_indices([found[i] for i in labeled], self._vocabulary), np.int64)
        return TestOutputs(outputs.logits[labeled], labels, outputs.unreadable)

    @overrides
    def infer(self, ids: Sequence[str], needs: Collection[str], folder: Path | None) -> PoolOutputs:
        cached = self._cached_embeddings()
        if cached is not None:
            samples, seed = self._settings.mc_samples, self._experiment.seeds[2]
            rows = cached.rows(ids)
            return outputs_of_embeddings(self.model, rows, needs, samples, seed, is_scaled=True)
        if not needs:
            return PoolOutputs(list(ids))
        reader = self._experiment.validation_dataset_reader
        items = [self._by_id[id] for id in ids]
        predictor = ImagePredictor(self.model, reader)
        return compute_outputs(predictor, items, needs, folder, self._options("scoring the pool"))

    @overrides
    def drafts(self, ids: Sequence[str]) -> dict[str, tuple[str, float]]:
        if "logits" in self.task.outputs:
            return {}  # a class, which `infer` tells
        predictor = ImagePredictor(self.model, self._experiment.validation_dataset_reader)
        predicted = predictor.outcomes([self._by_id[id] for id in ids], self._options().batch_size)
        found = {
            id: None if outcome.value is None else self.task.draft(outcome.value)
            for id, outcome in zip(ids, predicted, strict=True)
        }
        return {id: draft for id, draft in found.items() if draft is not None}

    @overrides
    def write_archive(self, folder: Path) -> Path:
        self._vocabulary.save_to_files(folder / VOCABULARY_NAME)
        state = self.model.state_dict()
        # Clones, because safetensors refuses tensors that share memory
        weights = {name: value.detach().cpu().clone() for name, value in state.items()}
        write_weights(folder / BEST_WEIGHTS, weights)
        shown = self._data.test if self._data.validation is None else self._data.validation
        write_archive_samples(folder, shown, self._experiment.archive_samples, self.task)
        return archive_model(folder)

    # -- Its parts ----------------------------------------------------------------------------

    def _make_vocabulary(self, *more: str) -> Vocabulary:
        """Return the vocabulary of the known classes, without those that the annotator hides."""
        chosen = self._settings.classes
        known = [self.items, self._data.test or (), self._data.validation or ()]
        shown = {name for items in known for item in items for name in self.task.classes_in(item)}
        if chosen is not None and shown - set(chosen):
            raise DataError(
                "active_learning.classes: the data has labels that are none of them: "
                f"{', '.join(sorted(shown - set(chosen)))}; {TO_ADD_A_CLASS}"
            )
        named = [*(chosen or ()), *sorted(self._shown_classes), *more]
        if not self._settings.annotator.needs_known_labels:
            named += sorted(shown)  # annotators may use these classes, too
        datasets = Datasets(
            Dataset(self._experiment.dataset_reader, self.items),
            self._data.validation,
            self._data.test,
        )
        return self._experiment.make_vocabulary(datasets, named)

    def _build(self) -> None:
        vocabulary = self._vocabulary
        if not self.class_names():  # no class is named yet, but a layer needs a width
            vocabulary = self._make_vocabulary(_NO_CLASS_YET)
        # The same initial weights in every run of the seed, whenever the model is built
        seed_everything(*self._experiment.seeds)
        self._model = self._experiment.make_model(vocabulary).to(self._experiment.device)
        self._model.eval()
        self._initial = trained_state(self._model)

    def _start(self, round: int, folder: Path) -> None:
        """Load the weights that this round starts from."""
        model, settings = self.model, self._settings
        before = folder.parent / f"{round - 1:04d}" / WEIGHTS_NAME
        if settings.retrain == "cold" or not before.exists():
            set_state(model, self._initial)
            return
        state = read_weights(before)
        fits = {name: value.shape for name, value in state.items()} == {
            name: value.shape for name, value in self._initial.items()
        }
        if not fits:  # a class has come since
            logger.info("round %d starts anew: there are other classes than before", round)
            set_state(model, self._initial)
            return
        if settings.retrain == "shrink_perturb":
            seed = self._experiment.seeds[2] + round
            state = shrink_and_perturb(state, model, settings.shrink, settings.perturb, seed)
        set_state(model, state)

    def _train(
        self, model: Model, dataset: Dataset, folder: Path | None, **defaults: Any
    ) -> dict[str, Any]:
        if folder is not None:
            make_folder(folder)
        experiment = self._experiment
        loader = self._loader(dataset, training=True)
        validation = self._data.validation
        validation_loader = None if validation is None else self._loader(validation, training=False)
        try:
            defaults = {**defaults, "pool_embeddings": self._pool_embeddings()}
            trainer = experiment.make_trainer(model, loader, validation_loader, folder, **defaults)
            # What a killed training has left there: checkpoints, or nothing
            recover = folder is not None and any(folder.iterdir())
            metrics = trainer.train(recover=recover)
            return metrics | fit_thresholds(model, validation_loader, trainer.device)
        finally:
            loader.close()
            if validation_loader is not None:
                validation_loader.close()

    def _labeled(self, labels: Mapping[str, str]) -> Dataset:
        instances = [self.task.labeled(self._by_id[id], text) for id, text in labels.items()]
        cached = self._cached_embeddings()
        if cached is not None:
            # An image that was labeled and can no longer be read has no embedding to learn from
            instances = [instance for instance in instances if cached.has(instance.id)]
        return self._data.dataset_of(instances)

    def _figures(self, dataset: Dataset) -> TestFigures:
        """Return the metrics that the model itself has of labeled images."""
        labeled = [item for item in dataset if self.task.is_labeled(item)]
        loader = self._loader(Dataset(dataset.reader, labeled), training=False, is_test=True)
        try:
            metrics = evaluate(self.model, loader, self._experiment.device, description=None)
        finally:
            loader.close()
        causes = {id: image.cause for id, image in loader.unreadable.items()}
        names = self.task.record_names
        figures = {names.get(name, name): value for name, value in metrics.items()}
        return TestFigures(finite_numbers(figures), unreadable=causes)

    def _loader(self, dataset: Dataset, training: bool, is_test: bool = False) -> DataLoader:
        cached = self._cached_embeddings()
        measured = None
        if cached is not None and not training:
            measured = cached.test if is_test else cached.validation
            assert measured is not None
            known = set(measured.ids)
            dataset = Dataset(dataset.reader, [item for item in dataset if item.id in known])
        loader = self._experiment.make_loader(dataset, self._vocabulary, training)
        if cached is None:
            return loader
        ids = [instance.id for instance in dataset]
        outputs = cached.rows(ids) if measured is None else cached.scaled(measured.rows(ids))
        assert outputs.embeddings is not None
        targets = TargetTable(dataset, self._vocabulary, self.task.target)
        embeddings = np.array(outputs.embeddings)
        return EmbeddingLoader(loader, torch.from_numpy(embeddings), targets)

    def _cached_embeddings(self) -> CachedEmbeddings | None:
        """Return the cached embeddings; None if images are encoded in every round."""
        model = self.model
        if not (self._settings.cache_embeddings and model.embedding_is_fixed()):
            return None
        if self._cached is None:
            store = store_at(str(self._cache_folder))
            assert store is not None
            self._cached = CachedEmbeddings(
                model, self._data, self._experiment, store, self._options()
            )
            self._use_pool(model, self._cached.pool())
        return self._cached

    def _use_pool(self, model: Model, pool: PoolOutputs) -> None:
        """Fit the model's scaling to the pool, and give the pool to the trainers."""
        assert pool.embeddings is not None
        scale = partial(scaled_embeddings, model)
        self._pool = PoolEmbeddings(pool.ids, pool.embeddings, scale, self._experiment.seeds[2])
        if model.embedding_scaling is None:
            return
        # A model that was restored keeps the statistics that its last layer was trained with
        before, was_fitted = trained_state(model), bool(model.embedding_scaling.fitted)
        model.embedding_scaling.fit(pool.embeddings)
        fitted = trained_state(model)
        self._initial.update({name: fitted[name] for name in scaling_names(model)})
        if was_fitted:
            set_state(model, before)

    def _pool_embeddings(self) -> Callable[[], PoolEmbeddings] | None:
        pool = self._pool
        return None if pool is None else lambda: pool

    def _options(self, description: str | None = None) -> ScoringOptions:
        samples, seed = self._settings.mc_samples, self._experiment.seeds[2]
        return ScoringOptions(
            mc_samples=samples,
            seed=seed,
            description=description,
            precision=self._settings.precision,
        )


def _names_in(vocabulary: Vocabulary) -> list[str]:
    names = vocabulary.get_index_to_token_vocabulary(LABEL_NAMESPACE)
    return [names[index] for index in range(len(names))]


def _sweep(folder: Path) -> None:
    """Remove the checkpoints and weights of a finished training; files of callbacks stay."""
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    (folder / BEST_WEIGHTS).unlink(missing_ok=True)
