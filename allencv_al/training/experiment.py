"""`Experiment`: the parts that one config file describes, from the images to the trainer."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from annotated_types import Ge, Interval
from overrides import overrides

from allencv_al.common import Lazy, Params
from allencv_al.common.config.config_check import ConfigView, check
from allencv_al.common.config.registrable import FromParams
from allencv_al.common.config.specs.object_specs import ObjectSpec, view_of
from allencv_al.common.config.specs.type_specs import Scope
from allencv_al.common.config.targets import subclass_of
from allencv_al.common.errors import ConfigurationError, ConfigurationFaults, Fault
from allencv_al.common.seeding import seeded_globals
from allencv_al.data.data_loaders import DataLoader
from allencv_al.data.dataset_readers import DatasetReader
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.data.instance import LABEL_NAMESPACE, Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models.model import Model
from allencv_al.modules.pretrained_encoders import without_consequences
from allencv_al.modules.weights import without_downloads
from allencv_al.tasks.base import LabelTask, label_task
from allencv_al.training.archive_samples import MAX_SAMPLES
from allencv_al.training.checks.experiment_rules import (
    image_shape_in,
    sample_faults,
    sampling_faults,
    shape_faults,
    split_faults,
    validation_faults,
)
from allencv_al.training.checks.model_check import build_on_meta, unused_key_faults
from allencv_al.training.datasets import (
    SPLITS,
    Datasets,
    Split,
    check_files,
    check_labels,
    check_learnable,
    only_known,
    only_labeled,
    warn_about_copies,
    without_audit,
)
from allencv_al.training.trainers.base import Trainer
from allencv_al.training.unlabeled_images import (
    TrainingPool,
    pool_images,
    read_pool,
    unlabeled_images,
)
from allencv_al.training.validation_split import with_validation

logger = logging.getLogger(__name__)

# A dry run leaves these out of the trainer: callbacks may open files; their configs were checked
_NOT_REHEARSED = ("callbacks", "checkpointer")


class Experiment(FromParams):
    """One config file: the data, the model, how batches are made, and how the model is trained.

    Args:
        dataset_reader: Dataset reader of the training images, with decoding and transforms.
        model: The network.
        train_data_path: The training images: a folder or file that `dataset_reader` takes. Images
            that its table marks with `audit` in the column `use` are not learned; they measure the
            finished model, which writes `audit_*` into metrics.json.
        trainer: The trainer.
        pool_data_path: Further images to learn from without a label: a folder with images at any
            depth, or what `dataset_reader` reads, such as all images of which a table at
            `train_data_path` lists the labeled ones. With an encoder that does not train, `train`
            takes statistics of embeddings from them, and spreads labels over them; unlabeled rows
            at `train_data_path` count without it. `active-learn` chooses from them what to label.
            Labels that they have are not looked at, unless the annotator is `ground_truth`.
        validation_dataset_reader: The reader of validation and test images, usually without random
            transforms; predictions use it too. Default: `dataset_reader`.
        validation_data_path: Images that choose the best epoch and stop training early.
        validation_fraction: Instead of `validation_data_path`, this share of the labeled training
            images, by class, and drawn by `random_seed`.
        validation_fold: Number of the part of that share, from 0, so that the same split serves
            cross-validation; `train --folds` sets it. Default: one part that leaves the classes
            with few images to the training.
        group_by: A regular expression with one group in brackets, such as `"^(.*)_frame"`, found in
            ids: images with the same text there are all in one part of the split. Default: every
            image by itself, or by the column `group` of a table.
        test_data_path: Images that measure the finished model, with `evaluate_on_test`.
        evaluate_on_test: Whether to evaluate the best weights on `test_data_path` at the end, which
            writes `test_*` into metrics.json.
        vocabulary: The vocabulary of class names. Default: from the labels of the data sets.
        datasets_for_vocab_creation: The data sets whose labels make the vocabulary. Default:
            `["train"]`. Validation and test images of classes that are not in the vocabulary are
            left out, with a warning that counts them; `allencv-al evaluate` does the same.
        data_loader: Data loader of the training images.
        validation_data_loader: The same for validation and test images. Default: `data_loader`,
            without shuffling, dropping or cutting off anything.
        random_seed: Seed of Python's generator, of the order of images and of their transforms.
        numpy_seed: Seed of NumPy's global generator.
        pytorch_seed: Seed of torch's generators: initial weights and dropout.
        archive_samples: Number of validation images (or test images, if there are none) in the
            archive, at most 512 pixels a side, for people who try the model on the page of
            `allencv-al serve`. None by default: everyone with the archive can see them.
        active_learning: Settings of the loop, for `allencv-al active-learn`; `train` ignores them.
    """

    def __init__(
        self,
        dataset_reader: DatasetReader,
        model: Lazy[Model],
        train_data_path: str,
        trainer: Lazy[Trainer],
        pool_data_path: str | None = None,
        validation_dataset_reader: DatasetReader | None = None,
        validation_data_path: str | None = None,
        validation_fraction: Annotated[float, Interval(gt=0, lt=1)] | None = None,
        validation_fold: Annotated[int, Ge(0)] | None = None,
        group_by: str | None = None,
        test_data_path: str | None = None,
        evaluate_on_test: bool = False,
        vocabulary: Lazy[Vocabulary] | None = None,
        datasets_for_vocab_creation: list[Split] | None = None,
        data_loader: Lazy[DataLoader] | None = None,
        validation_data_loader: Lazy[DataLoader] | None = None,
        random_seed: int = 13370,
        numpy_seed: int = 1337,
        pytorch_seed: int = 133,
        archive_samples: Annotated[int, Interval(ge=0, le=MAX_SAMPLES)] = 0,
        active_learning: dict[str, Any] | None = None,
    ) -> None:
        self.dataset_reader = dataset_reader
        self.validation_dataset_reader = validation_dataset_reader or dataset_reader
        self.paths: dict[Split, str | None] = {
            "train": train_data_path,
            "validation": validation_data_path,
            "test": test_data_path,
        }
        self.pool_data_path = pool_data_path
        self.validation_split = (validation_fraction, validation_fold, group_by)
        self.evaluate_on_test = evaluate_on_test
        self.vocabulary_names: list[Split] = datasets_for_vocab_creation or ["train"]
        self.seeds = (random_seed, numpy_seed, pytorch_seed)
        self.archive_samples = archive_samples
        self.task = _task_of(model)
        self._model = model
        self._trainer = trainer
        self._vocabulary = vocabulary or Lazy(Vocabulary.from_params)
        self._data_loader = data_loader or Lazy(DataLoader.from_params)
        self._validation_data_loader = validation_data_loader

    instead = {  # noqa: RUF012
        "distributed": "one process trains on one device; compare runs several experiments at once",
    }

    @classmethod
    def from_file(
        cls,
        config: str | Path,
        overrides: str | dict[str, Any] = "",
        ext_vars: dict[str, str] | None = None,
    ) -> Self:
        """Read a jsonnet file, check all of it, and build the parts that need no data.

        Raises:
            ConfigurationFaults: All faults of the config.
        """
        params = Params.from_file(config, overrides, ext_vars)
        check_experiment(params, str(config), cls)
        return cls.from_checked(params)

    @classmethod
    def from_checked(cls, params: Params) -> Self:
        """Build the parts that need no data, from a config that `check_experiment` accepted."""
        # Not `from_params`, which would check all of it a second time
        built: Self = ObjectSpec(cls).build(params.as_dict(), "", Scope())
        return built

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        if config.get("evaluate_on_test") is True and config.get("test_data_path") is None:
            yield config.fault("evaluate_on_test", "needs test_data_path, found none")
        yield from split_faults(config)
        yield from sample_faults(config)
        yield from validation_faults(config)
        yield from shape_faults(config)
        yield from unused_key_faults(config)
        yield from sampling_faults(config)

    def read(self) -> Datasets:
        """List the images of every data set; with lazy readers none is decoded.

        Raises:
            DataError: A data set is empty.
        """
        train = self.paths["train"]
        assert train is not None
        self._warn_of_what_measures_wrongly()
        others = {
            name: self.validation_dataset_reader.read(path) if path is not None else None
            for name, path in self.paths.items()
            if name != "train"
        }
        return Datasets(self.dataset_reader.read(train), others["validation"], others["test"])

    def _warn_of_what_measures_wrongly(self) -> None:
        for name, path in self.paths.items():
            if name != "train" and path == self.paths["train"]:
                logger.warning(
                    "%s_data_path is train_data_path: it measures on training images", name
                )
        reader = self.validation_dataset_reader
        chance = [type(step).__name__ for step in reader.augmentation if step.is_random]
        if chance:
            logger.warning(
                "validation images and predictions go through random transforms too (%s): give a "
                "validation_dataset_reader without them",
                ", ".join(chance),
            )

    def prepare(self) -> tuple[Datasets, Vocabulary]:
        """Return the data sets with their labeled images, and the vocabulary of their labels.

        Without any label the training images stay as they are, if the config names the classes: a
        trainer that learns nothing needs no more.

        Raises:
            DataError: A data set is empty, its labels are meaningless, or no class has a name.
        """
        found, reader = self.read(), self.validation_dataset_reader
        check_labels(found, self.task)
        apart = without_audit(found, reader, self.task)
        datasets = self._split(only_labeled(apart, self.task))
        vocabulary = self.make_vocabulary(datasets)
        if not vocabulary.get_vocab_size(LABEL_NAMESPACE):
            check_learnable(datasets, self.task)
        validation, test = (
            None if data is None else only_known(data, vocabulary, name, self.task)
            for name, data in (
                (self._place_of_validation, datasets.validation),
                ("test_data_path", datasets.test),
            )
        )
        pool = read_pool(self.dataset_reader, self.pool_data_path) if self.pool_data_path else None
        unlabeled = unlabeled_images(found, pool, reader)
        datasets = replace(datasets, validation=validation, test=test, unlabeled=unlabeled)
        present = {f"{name}_data_path": getattr(datasets, name) for name in SPLITS}
        warn_about_copies({name: data for name, data in present.items() if data is not None})
        return datasets, vocabulary

    @property
    def _place_of_validation(self) -> str:
        is_path = self.validation_split[0] is None
        return "validation_data_path" if is_path else "validation_fraction"

    def _split(self, datasets: Datasets) -> Datasets:
        fraction, fold, group_by = self.validation_split
        if fraction is None:
            return datasets
        check_learnable(datasets, self.task)  # else there is nothing to validate by
        reader, seed = self.validation_dataset_reader, self.seeds[0]
        train, validation = with_validation(
            datasets.train, self.task, reader, fraction, fold, group_by, seed
        )
        logger.info("%d training and %d validation images", len(train), len(validation))
        return replace(datasets, train=train, validation=validation)

    def rehearse(self) -> None:
        """Do all that training does before it decodes the first image; write and download nothing.

        Raises:
            AllenCVError: Any error that training would raise.
        """
        datasets, vocabulary = self.prepare()
        names = [f"{name}_data_path" for name in SPLITS]
        sets = (datasets.train, datasets.validation, datasets.test)
        check_files({**dict(zip(names, sets, strict=True)), "pool_data_path": datasets.unlabeled})
        with without_downloads():
            model = self.make_model(vocabulary)
        train, *others = (
            None if data is None else self.make_loader(data, vocabulary, training=data is sets[0])
            for data in sets
        )
        assert train is not None
        pool = TrainingPool.of(self.make_pool_loader(datasets, vocabulary), model, self.seeds[2])
        trainer = self.make_trainer(model, train, others[0], None, pool_embeddings=pool)
        trainer.check_data(datasets)

    def make_vocabulary(self, datasets: Datasets, classes: Iterable[str] = ()) -> Vocabulary:
        """Number the labels of the data sets; no image is decoded.

        Args:
            datasets: The data sets; the config names those that count.
            classes: Names of classes that none of their images may show.
        """
        chosen = datasets.present(self.vocabulary_names)
        task = self.task
        # A label that has text and no class in it, such as a number, is no name either
        instances = [
            instance
            for dataset in chosen
            for instance in dataset
            if task.classes_in(instance) or not task.is_labeled(instance)
        ]
        # Images of classes that only they show are left out, where they are of one class as a whole
        others = [dataset for dataset in datasets.present() if dataset not in chosen]
        instances += [
            item
            for dataset in others
            for item in dataset
            if not (task.names_image and task.is_labeled(item))
        ]
        # An image may have a label of another kind, too
        instances = [
            replace(item, label=None)
            if item.label is not None and item.label not in task.classes_in(item)
            else item
            for item in instances
        ]
        # A vocabulary is made of instances: these stand for classes that have none yet
        named = [Instance(id=f"class {name}", image=b"", label=name) for name in classes]
        return self._vocabulary.construct(instances=[*instances, *named])

    def make_model(self, vocabulary: Vocabulary, serialization_dir: Path | None = None) -> Model:
        """Build the model, with its initial weights."""
        return self._model.construct(
            vocab=vocabulary,
            serialization_dir=serialization_dir,
            image_shape=self.dataset_reader.image_shape(),
        )

    def make_loader(self, dataset: Dataset, vocabulary: Vocabulary, training: bool) -> DataLoader:
        """Build the loader of a data set.

        Args:
            dataset: The images.
            vocabulary: The numbers of the labels.
            training: Whether batches are for training: shuffled and cut as configured. Otherwise
                every image occurs once, in order.
        """
        loader = self._data_loader
        if not training and self._validation_data_loader is not None:
            loader = self._validation_data_loader
        return loader.construct(
            dataset=dataset,
            vocab=vocabulary,
            seed=self.seeds[0],
            evaluating=not training,
            targets=self.task.target,
        )

    def make_pool_loader(self, datasets: Datasets, vocabulary: Vocabulary) -> DataLoader | None:
        """Build the loader of all images to learn from; None if all of them are labeled."""
        images = pool_images(datasets, self.validation_dataset_reader)
        return None if images is None else self.make_loader(images, vocabulary, training=False)

    def make_trainer(
        self,
        model: Model,
        data_loader: DataLoader,
        validation_data_loader: DataLoader | None,
        serialization_dir: Path | None,
        **defaults: Any,
    ) -> Trainer:
        """Build the trainer.

        Args:
            model: The model.
            data_loader: The training data.
            validation_data_loader: The data that chooses the best epoch.
            serialization_dir: The run directory; None writes nothing.
            **defaults: Its arguments where the config does not give them.
        """
        return self._trainer.construct(
            model=model,
            data_loader=data_loader,
            validation_data_loader=validation_data_loader,
            serialization_dir=serialization_dir,
            **defaults,
        )


def _task_of(model: Lazy[Model]) -> LabelTask:
    view = view_of(model)
    model_class = None if view is None else subclass_of(view.cls, Model)
    return label_task(model_class.task_in(view) if model_class and view else None)


def check_experiment(params: Params, source: str, experiment: type[Any] = Experiment) -> None:
    """Raise with all faults of a config, including its data paths.

    Only the model is built, on the `meta` device; no image is read.

    Args:
        params: The config.
        source: Its name in the message.
        experiment: The experiment that it describes.

    Raises:
        ConfigurationFaults: One line for each fault.
    """
    config = params.as_dict()
    faults = [*check(experiment, config), *_path_faults(config)]
    if faults:
        raise ConfigurationFaults(without_consequences(config, faults), source)


def model_on_meta(params: Params, source: str) -> Model:
    """Return the model of a config on the `meta` device, without weights and for made-up labels.

    What the trainer's `no_grad` names does not train. Faults outside of model and reader do not
    matter.

    Args:
        params: The config.
        source: Its name in the message.

    Raises:
        ConfigurationFaults: The faults of model and reader.
    """
    config = params.as_dict()
    faults = [
        fault
        for fault in check(Experiment, config)
        if fault.path.partition(".")[0] in ("", "dataset_reader", "model")
    ]
    if faults:
        raise ConfigurationFaults(faults, source)
    view = ObjectSpec(Experiment).view(config, "", Scope(assume_injected=True))
    model = None if view is None else view.child("model")
    assert view is not None and model is not None, "it has no faults"
    built = build_on_meta(view, model, image_shape_in(view))
    trainer = view.child("trainer")
    patterns = (trainer.get("no_grad") or ()) if trainer and trainer.sound("no_grad") else ()
    for name, parameter in built.named_parameters():
        if any(re.search(pattern, name) for pattern in patterns):
            parameter.requires_grad_(False)
    return built


def dry_run(params: Params, source: str, experiment: type[Any]) -> None:
    """Check a config, its data and the parts that it builds, without training.

    Args:
        params: The config.
        source: Its name in messages.
        experiment: The experiment that it describes.

    Raises:
        AllenCVError: The first fault of data or parts, or all faults of the config at once.
    """
    check_experiment(params, source, experiment)
    config = params.duplicate().as_dict()
    if isinstance(config.get("trainer"), dict):
        for name in _NOT_REHEARSED:
            config["trainer"].pop(name, None)
    # Building draws random weights: the caller's generators must not move
    with seeded_globals(0):
        experiment.from_checked(Params(config)).rehearse()


def _path_faults(config: dict[str, Any]) -> Iterator[Fault]:
    for name in (*SPLITS, "pool"):
        key = f"{name}_data_path"
        path = config.get(key)
        if not isinstance(path, str):
            continue
        reader = config.get("dataset_reader")
        if name in ("validation", "test") and config.get("validation_dataset_reader") is not None:
            reader = config["validation_dataset_reader"]
        message = _reader_class(reader).path_fault(path) if path else 'expected a path, found ""'
        if message is not None:
            yield Fault(key, message if name == "train" else f"{message}; null does without")


def _reader_class(config: Any) -> type[DatasetReader]:
    name = config.get("type") if isinstance(config, dict) else config
    try:
        found: object = DatasetReader.resolve(name)[0] if isinstance(name, str) else None
    except ConfigurationError:
        return DatasetReader  # the check of the reader itself reports its name
    return subclass_of(found, DatasetReader) or DatasetReader
