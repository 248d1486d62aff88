"""CIFAR-10, or handwritten digits of the same shape."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin")  # what the archives unpack to
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Part(NamedTuple):
    """Images, uint8 `[N, 32, 32, 3]`, and the number of the class of each, int64 `[N]`."""

    images: np.ndarray
    labels: np.ndarray


class Data(NamedTuple):
    """What is learned from, what measures, and what the classes are called."""

    train: Part
    test: Part
    names: tuple[str, ...]


@lru_cache
def load(folder: str) -> Data:
    """Return the digits, if that is what is asked for, else the batches in a folder."""
    return digits() if folder == "digits" else cifar(Path(folder))


def cifar(folder: Path) -> Data:
    """Read CIFAR-10's batches, Python's or the binary ones, by the readers of the package."""
    from allencv_al.data.dataset_readers import DatasetReader
    from allencv_al.data.dataset_readers.cifar_python import holds_python_batches

    if not folder.exists():
        raise FileNotFoundError(f'DATA_DIR: expected "digits" or a folder, found no {folder}')
    folder = next((folder / name for name in FOLDERS if (folder / name).is_dir()), folder)
    layout = "cifar_python" if holds_python_batches(folder) else "cifar_binary"
    reader = DatasetReader.from_params(layout)
    train, test = (list(reader.read(f"{folder}::{split}")) for split in ("train", "test"))
    names = tuple(sorted({instance.label for instance in train}))
    numbers = {name: number for number, name in enumerate(names)}

    def part(instances: list) -> Part:
        labels = np.array([numbers[instance.label] for instance in instances])
        return Part(np.stack([np.asarray(instance.image) for instance in instances]), labels)

    return Data(part(train), part(test), names)


def digits() -> Data:
    """Return scikit-learn's 1,797 digits, each of their 8x8 pixels drawn as 4x4."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    pixels = np.kron(found.images[order] * (255 / 16), np.ones((4, 4))).astype(np.uint8)
    images = np.repeat(pixels[..., None], 3, axis=3)
    labels = found.target[order].astype(np.int64)
    return Data(Part(images[:1500], labels[:1500]), Part(images[1500:], labels[1500:]), WORDS)
