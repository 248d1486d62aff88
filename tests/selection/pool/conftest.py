"""Models with a few classes, and pictures for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.instance import Instance, Sample
from allencv_al.models import load_archive
from allencv_al.models.model import Model
from allencv_al.predictors import Predictor

Make = Callable[..., Predictor]


@pytest.fixture
def make(tiny_run: Path) -> Make:
    def predictor(overrides: dict[str, Any] | None = None, seed: int = 0) -> Predictor:
        made = Predictor.from_archive(load_archive(tiny_run, overrides=overrides or {}))
        if seed:
            torch_noise(made.model, seed)
        return made

    return predictor


def torch_noise(model: Model, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


@pytest.fixture
def dataset(make: Make, pictures: Path) -> Dataset:
    return make().dataset_reader.read(pictures)


class Decoded:
    """Counts what is decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ids: list[str] = []
        lock, decode = threading.Lock(), DatasetReader.decode

        def counted(reader: DatasetReader, instance: Instance) -> Sample:
            with lock:
                self.ids.append(instance.id)
            return decode(reader, instance)

        monkeypatch.setattr(DatasetReader, "decode", counted)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Decoded:
    return Decoded(monkeypatch)
