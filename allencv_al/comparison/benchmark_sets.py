"""Data sets and encoders of `allencv-al benchmark`: from a name to the config of an experiment."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.common.files.atomic_file import atomic_directory
from allencv_al.common.names import did_you_mean
from allencv_al.data.sample_data.cifar10 import FILE_NAME, download_cifar10
from allencv_al.data.sample_data.digits import UNSPLIT, write_digits
from allencv_al.data.sample_data.mnist import download_mnist


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
        side: Height and width that an encoder gets the images at, pixels.
        own_side: Height and width of the images themselves; None if they vary.
        expected: Description of what `--data` names.
        find: Returns the paths in the data at a place, fetching them if it can. Its second argument
            is a folder for files that it makes.
    """

    reader: str
    side: int
    own_side: int | None
    expected: str
    find: Callable[[Path, Path], DataPaths]


def _digits(place: Path, _: Path) -> DataPaths:
    return DataPaths(str(write_digits(place, split=False) / UNSPLIT))


def _cifar10(place: Path, _: Path) -> DataPaths:
    source = place
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        source = download_cifar10(place)
    elif (place / FILE_NAME).is_file():
        source = place / FILE_NAME
    return DataPaths(f"{source}::train", f"{source}::test")


def _mnist(place: Path, _: Path) -> DataPaths:
    names = [path.name for path in place.iterdir()] if place.is_dir() else []
    if not names:
        download_mnist(place)
    elif not any(name.startswith("train-images") for name in names):
        return DataPaths(f"{place}::test")  # 10,000 images, of which half measure
    return DataPaths(f"{place}::train", f"{place}::test")


def _cats_dogs(place: Path, made: Path) -> DataPaths:
    if place.is_file():
        target = made / "images"
        if not target.exists():
            with atomic_directory(target) as folder, tarfile.open(place) as archive:
                archive.extractall(folder, filter="data")
        place = target
    roots = [
        path.parent for path in sorted(place.rglob("train")) if (path.parent / "test").is_dir()
    ]
    if not roots:
        raise DataError(f"{place}: expected {SETS['cats_dogs'].expected}")
    return DataPaths(str(roots[0] / "train"), str(roots[0] / "test"))


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
    ),
    "cifar10": BenchmarkSet(
        "cifar_binary",
        128,
        32,
        "cifar-10-binary.tar.gz, or a folder with it or with data_batch_1.bin ... and "
        "test_batch.bin (also .gz, .xz); an absent or empty one gets the archive from the web "
        "(170 MB)",
        _cifar10,
    ),
    "cats_dogs": BenchmarkSet(
        "image_classification_directory",
        224,
        None,
        "a folder, or a tar archive of one, with train/CLASS/*.jpg and test/CLASS/*.jpg; nothing "
        "is fetched",
        _cats_dogs,
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
        place: What `--data` names; see `expected` of the set.
        made: A folder for files that are made from it.

    Raises:
        DataError: They are not there and cannot be fetched.
    """
    try:
        return SETS[name].find(place, made)
    except (DataError, tarfile.TarError) as error:
        raise DataError(f"{name}: {error}\n--data: expected {SETS[name].expected}") from error


def benchmark_config(
    name: str,
    paths: DataPaths,
    encoder: str,
    query_size: int,
    rounds: int,
    image_size: int | None = None,
) -> dict[str, Any]:
    """Return the config of a set's experiment: frozen features and a linear classifier.

    Args:
        name: The name of the set.
        paths: Its images.
        encoder: See `encoder_config`.
        query_size: Number of labels in the first query, and in each of the others.
        rounds: Number of queries after the first.
        image_size: Height and width that the encoder gets, pixels. Default: those of the set.
    """
    found = SETS[name]
    side = found.side if image_size is None else image_size
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
    config: dict[str, Any] = {
        "dataset_reader": {"type": found.reader, "augmentation": augmentation},
        "train_data_path": paths.train,
        "model": {"type": "basic_image_classifier", "im2vec_encoder": vector},
        "trainer": {
            "type": "logistic_regression",
            "standardize": True,
            "inverse_regularization": 0.01,
        },
        "active_learning": {
            "initial": {"size": query_size, "strategy": "random"},
            "query_size": query_size,
            "budget": query_size * (rounds + 1),
            "evaluate_pool": False,
        },
    }
    if paths.test is None:
        config["active_learning"]["test_fraction"] = 0.5
    else:
        config["test_data_path"] = paths.test
    return config


def encoder_config(text: str) -> dict[str, Any] | None:
    """Return the frozen encoder of a model's config; None for `pixels`.

    Args:
        text: `offline`, the ImageNet weights that the extra `[offline]` installs; `timm:NAME` or a
            torchvision name, each with `:WEIGHTS` behind it or with the published weights;
            `pixels` for none.
    """
    if text == "pixels":
        return None
    if text == "offline":
        text = "timm:tf_efficientnet_lite0:package:efficientnet_lite0"
    kind, _, rest = text.partition(":")
    if kind == "timm":
        model, _, weights = rest.partition(":")
        start: dict[str, Any] = {"weights_file": weights} if weights else {"pretrained": True}
        return {"type": "timm", "model": model, **start, "requires_grad": False}
    weights = rest or "DEFAULT"
    return {"type": "torchvision", "model": kind, "weights": weights, "requires_grad": False}
