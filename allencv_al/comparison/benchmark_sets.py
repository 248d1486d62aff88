"""Data sets and encoders of `allencv-al benchmark`: from a name to the config of an experiment."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allencv_al.common.errors import ConfigurationError, DataError, is_machine_fault
from allencv_al.common.files.atomic_file import atomic_directory
from allencv_al.common.names import did_you_mean
from allencv_al.data.dataset_readers.unpacked_files import DAMAGED
from allencv_al.data.sample_data.cifar10 import FILE_NAME, download_cifar10
from allencv_al.data.sample_data.digits import UNSPLIT, write_digits
from allencv_al.data.sample_data.mnist import download_mnist
from allencv_al.data.sample_data.toy_sets import write_toy_set
from allencv_al.modules.pretrained_encoders import EncoderName


@dataclass(frozen=True)
class DataPaths:
    """Paths of a config.

    Args:
        train: The pool.
        test: The test images; None if half of the pool is held out for each seed.
    """

    train: str
    test: str | None = None


@dataclass(frozen=True)
class BenchmarkSet:
    """A data set of the benchmark.

    Args:
        reader: The registered name of its dataset reader.
        side: Height and width that an encoder gets the images at, pixels; 0 for vectors.
        own_side: Height and width of the images themselves; None if they vary.
        expected: Description of what `--data` names.
        find: Returns the paths in the data at a place, fetching them if it can. Its second argument
            is a folder for files that it makes.
        parts: For vectors: the reader, model and trainer of the config.
        held_out: Share of the images that measures where there are no test images.
        query_size: Number of labels in a query, where the user does not say it.
        rounds: Number of queries after the first, likewise.
        candidates: Images of the pool, drawn anew in each round, that a strategy chooses from, as
            in BoSS; None: all of them.
    """

    reader: str
    side: int
    own_side: int | None
    expected: str
    find: Callable[[Path, Path], DataPaths]
    parts: Mapping[str, Any] | None = None
    held_out: float = 0.5
    query_size: int = 10
    rounds: int = 20
    candidates: int | None = None


def _digits(place: Path, _: Path) -> DataPaths:
    return DataPaths(str(write_digits(place, split=False) / UNSPLIT))


def _cifar10(place: Path, _: Path) -> DataPaths:
    source = place
    # Anything that lies there is the user's, and is read or refused, but never written over
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        source = download_cifar10(place)
    elif (place / FILE_NAME).is_file():
        source = place / FILE_NAME
    return DataPaths(f"{source}::train", f"{source}::test")


def _mnist(place: Path, _: Path) -> DataPaths:
    if place.is_file():
        raise DataError(f"{place}: expected a folder, found a file")
    names = [path.name for path in place.iterdir()] if place.is_dir() else []
    if not names:
        download_mnist(place)
    elif not any(name.startswith("train-images") for name in names):
        return DataPaths(f"{place}::test")  # 10,000 images, of which half measure
    return DataPaths(f"{place}::train", f"{place}::test")


def _cats_dogs(place: Path, made: Path) -> DataPaths:
    root = _root(_unpacked(place, made) if place.is_file() else place)
    if root is None:
        raise DataError(f"{place}: it has no folder with train and test in it")
    return DataPaths(str(root / "train"), str(root / "test"))


def _unpacked(archive: Path, made: Path) -> Path:
    """Return the folder of a tar archive's content, unpacked once for each content."""
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    # By content: another archive in its place must not pass for the one before
    target = made / f"cats_dogs-{digest[:12]}"
    if target.exists():
        return target
    try:
        with atomic_directory(target) as folder, tarfile.open(archive) as content:
            content.extractall(folder, filter="data")
    except DAMAGED as error:
        if is_machine_fault(error):
            raise
        raise DataError(f"{archive}: it cannot be unpacked: {error}") from error
    return target


def _root(folder: Path) -> Path | None:
    """Return the first folder that has `train` and `test` in it, at any depth."""
    parents = (path.parent for path in sorted(folder.rglob("train")))
    return next((parent for parent in parents if (parent / "test").is_dir()), None)


def _toy_set(name: str) -> Callable[[Path, Path], DataPaths]:
    def find(place: Path, made: Path) -> DataPaths:
        return DataPaths(str(write_toy_set(name, made / f"{name}.npz")))

    return find


def _of_vectors(**model: Any) -> dict[str, Any]:
    """Return the parts of a config that learns from vectors of two numbers."""
    return {
        "dataset_reader": {"type": "vectors", "dimension": 2},
        "model": {"type": "basic_image_classifier", **model},
    }


_HONEYPOT = {
    **_of_vectors(im2vec_encoder={"type": "pool", "input_channels": 2}),
    "trainer": {"type": "logistic_regression", "inverse_regularization": 10.0},
}
# A network, as no line parts the waves; CDALBench trains 24-12 with early stopping
_WAVES = {
    **_of_vectors(
        im2im_encoder={
            "type": "feedforward",
            "input_channels": 2,
            "num_layers": 2,
            "hidden_channels": 24,
            "activations": "relu",
            "kernel_sizes": 1,
        },
        im2vec_encoder={"type": "pool", "input_channels": 24},
    ),
    "data_loader": {"type": "multiprocess", "batch_size": 32, "shuffle": True},
    "trainer": {
        "type": "gradient_descent",
        "num_epochs": 60,
        "optimizer": {"type": "adam", "lr": 0.02},
        "checkpointer": None,
    },
}

SETS: Mapping[str, BenchmarkSet] = {
    "digits": BenchmarkSet(
        "image_classification_directory",
        64,
        8,
        "a folder for the 1,797 digits, which are written there",
        _digits,
    ),
    "mnist": BenchmarkSet(
        "idx",
        64,
        28,
        "a folder with MNIST's IDX files, or of its test images alone; an absent or empty one gets "
        "them from the web (12 MB)",
        _mnist,
        candidates=1000,
    ),
    "cifar10": BenchmarkSet(
        "cifar_binary",
        128,
        32,
        "cifar-10-binary.tar.gz, or a folder with it or with data_batch_1.bin ... and "
        "test_batch.bin (also .gz, .xz); an absent or empty one gets the archive from the web "
        "(170 MB)",
        _cifar10,
        candidates=1000,
    ),
    "cats_dogs": BenchmarkSet(
        "image_classification_directory",
        224,
        None,
        "a folder, or a tar archive of one, with train/CLASS/*.jpg and test/CLASS/*.jpg; nothing "
        "is fetched",
        _cats_dogs,
    ),
    "honeypot": BenchmarkSet(
        "vectors",
        0,
        None,
        "nothing: its points are drawn",
        _toy_set("honeypot"),
        parts=_HONEYPOT,
        held_out=0.2,
        query_size=4,
        rounds=14,
    ),
    "diverging_sine": BenchmarkSet(
        "vectors",
        0,
        None,
        "nothing: its points are drawn",
        _toy_set("diverging_sine"),
        parts=_WAVES,
        held_out=0.2,
        query_size=4,
        rounds=19,
    ),
}
"""The data sets, by name."""


def parse_sets(text: str) -> list[str]:
    """Return the names in a text with commas.

    Raises:
        ConfigurationError: A name is unknown, or there are none.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in SETS:
            hint = did_you_mean(name, SETS) or f"; expected some of {', '.join(SETS)}"
            raise ConfigurationError(f'benchmark: there is no set "{name}"{hint}')
    if not names:
        raise ConfigurationError(f"benchmark: expected some of {', '.join(SETS)}, found none")
    return names


def find_data(name: str, place: Path, made: Path) -> DataPaths:
    """Return the paths of a set's images, fetching them where that is possible.

    Args:
        name: The name of the set.
        place: The value of `--data`; see `expected` of the set.
        made: A folder for files that are made from it.

    Raises:
        DataError: They are not there and cannot be fetched.
    """
    try:
        return SETS[name].find(place, made)
    except DataError as error:
        raise DataError(f"{name}: {error}\n--data: expected {SETS[name].expected}") from error


def among_candidates(
    strategies: Mapping[str, Any], name: str, candidates: int | None = None
) -> dict[str, Any]:
    """Return strategies that choose from some images of the pool, drawn anew in each round.

    Args:
        strategies: The config of each strategy by name.
        name: The name of the set.
        candidates: Number of images. Default: that of the set.
    """
    size = candidates or SETS[name].candidates
    if size is None:
        return dict(strategies)
    return {
        # A random choice among randomly drawn images is one among all
        label: config
        if config == {"type": "random"}
        else {"type": "subsample", "size": size, "strategy": config}
        for label, config in strategies.items()
    }


def benchmark_config(
    name: str,
    paths: DataPaths,
    encoder: str,
    query_size: int | None = None,
    rounds: int | None = None,
    image_size: int | None = None,
) -> dict[str, Any]:
    """Return the config of a set's experiment: frozen features and a linear classifier.

    Args:
        name: The name of the set.
        paths: Its images.
        encoder: See `encoder_config`.
        query_size: Number of labels in the first query, and in each of the others. Default: that
            of the set.
        rounds: Number of queries after the first. Default: that of the set.
        image_size: Height and width that the encoder gets, pixels. Default: those of the set.
    """
    found = SETS[name]
    query_size = query_size or found.query_size
    # With those of the first, random query
    labels = query_size * (1 + (rounds or found.rounds))
    parts = found.parts or _parts_of_images(name, found, encoder, image_size)
    config: dict[str, Any] = {
        **parts,
        "train_data_path": paths.train,
        "active_learning": {
            "initial": {"size": query_size, "strategy": "random"},
            "query_size": query_size,
            "budget": labels,
            "evaluate_pool": False,
        },
    }
    if paths.test is None:
        config["active_learning"]["test_fraction"] = found.held_out
    else:
        config["test_data_path"] = paths.test
    return config


def _parts_of_images(
    name: str, found: BenchmarkSet, encoder: str, image_size: int | None
) -> dict[str, Any]:
    side = image_size or found.side
    augmentation = [{"type": "pretrained", "height": side, "width": side}]
    vector = encoder_config(encoder)
    if vector is None:
        if found.own_side is None:
            raise ConfigurationError(
                f"--encoder pixels: the images of {name} have many sizes; choose another encoder"
            )
        augmentation = []
        sides = {"input_height": found.own_side, "input_width": found.own_side}
        vector = {"type": "flatten", "input_channels": 3, **sides}
    return {
        "dataset_reader": {"type": found.reader, "augmentation": augmentation},
        "model": {
            "type": "basic_image_classifier",
            "im2vec_encoder": vector,
            # Norms of features vary, and say little of the class
            "embedding_scaling": "center_l2",
        },
        "trainer": {"type": "logistic_regression", "inverse_regularization": 10.0},
    }


def encoder_config(text: str) -> dict[str, Any] | None:
    """Return the frozen encoder of a model's config; None for `pixels`.

    Args:
        text: A name that `EncoderName.parse` reads, or `pixels` for none.
    """
    if text == "pixels":
        return None
    return EncoderName.parse(text).config()
