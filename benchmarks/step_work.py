"""What the contenders of `step_overhead.py` share: data, initial weights, schedule and stopwatch.

The data are uint8 pixels and labels in memory. Every loop but ours fetches them by `Work.batches`,
the least that a training can do; ours has its own data loader, which gives the same batches.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

BATCH_SIZE = 8
CHANNELS, HEIGHT, WIDTH = 3, 4, 4
HIDDEN, CLASSES = 64, 10
LEARNING_RATE, MOMENTUM = 0.05, 0.9

MODEL = {
    "type": "basic_image_classifier",
    "im2vec_encoder": {
        "type": "flatten",
        "input_channels": CHANNELS,
        "input_height": HEIGHT,
        "input_width": WIDTH,
        "feedforward": {
            "input_dim": CHANNELS * HEIGHT * WIDTH,
            "num_layers": 1,
            "hidden_dims": HIDDEN,
            "activations": "relu",
        },
    },
}
TRAINER = {
    "num_epochs": 1,
    "cuda_device": -1,
    "precision": "fp32",  # "auto" is bf16 where the processor has it, which would be other work
    "optimizer": {"type": "sgd", "lr": LEARNING_RATE, "momentum": MOMENTUM},
    "learning_rate_scheduler": {"type": "linear_with_warmup", "warmup_steps": 0},
}

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Times:
    """Seconds of the processor, by all threads of the process, and on the clock."""

    cpu: float
    wall: float

    @classmethod
    def now(cls) -> Times:
        """Return the time since some moment."""
        return cls(time.process_time(), time.perf_counter())


class Stopwatch:
    """Measures from one batch of a stream, when it has been fetched, to the last one.

    Args:
        total: The batches of the stream.
        skip: The batches before the one where the measurement begins.
    """

    def __init__(self, total: int, skip: int) -> None:
        self._total, self._skip = total, skip
        self._start = self._stop = Times(0.0, 0.0)

    def __call__(self, batches: Iterable[Any]) -> Stream:
        """Return `batches`, measured."""
        return Stream(self._measured(batches), self._total)

    @property
    def per_step(self) -> Times:
        """The seconds per step."""
        steps = self._total - 1 - self._skip
        cpu, wall = self._stop.cpu - self._start.cpu, self._stop.wall - self._start.wall
        return Times(cpu / steps, wall / steps)

    def _measured(self, batches: Iterable[Any]) -> Iterator[Any]:
        for number, batch in enumerate(batches):
            if number == self._skip:
                self._start = Times.now()
            elif number == self._total - 1:  # some never ask for more, so its end is not seen
                self._stop = Times.now()
            yield batch


@dataclass(frozen=True)
class Stream:
    """Batches that say how many they are, which Ignite and Lightning ask for."""

    batches: Iterator[Any]
    length: int

    def __iter__(self) -> Iterator[Any]:
        return self.batches

    def __len__(self) -> int:
        return self.length


class Network(nn.Module):
    """The classifier of `MODEL` by hand, in the style of PyTorch's quickstart."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.layers = nn.Sequential(
            nn.Linear(CHANNELS * HEIGHT * WIDTH, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits `[B, classes]`."""
        logits: Tensor = self.layers(self.flatten(image))
        return logits


class Work:
    """The data and the initial weights that all contenders share.

    Args:
        steps: How many batches there are.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        generator = np.random.default_rng(0)
        labels = generator.integers(CLASSES, size=steps * BATCH_SIZE)
        shape = (len(labels), HEIGHT, WIDTH, CHANNELS)
        pixels = generator.integers(128, size=shape, dtype=np.uint8)
        pixels[..., 0] += (12 * labels).astype(np.uint8)[:, None, None]  # something to learn
        self._pixels = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        self._labels = torch.from_numpy(labels)
        names = [f"class {label}" for label in labels]
        ids = [f"train/{name}/{place:06d}.png" for place, name in enumerate(names)]
        self.vocab, self._dataset = _as_dataset(ids, pixels, names)
        place = {id: i for i, id in enumerate(ids)}
        shuffled = [id for batch in self.loader().batches(0) for id in batch.ids]
        self._order = torch.tensor([place[id] for id in shuffled])
        torch.manual_seed(0)
        self._weights = [parameter.detach().clone() for parameter in Network().parameters()]

    def batches(self) -> Iterator[Pair]:
        """Yield images and labels: a slice of a permutation, two row copies, pixels to 0..1."""
        for first in range(0, len(self._order), BATCH_SIZE):
            rows = self._order[first : first + BATCH_SIZE]
            image = self._pixels.index_select(0, rows).to(torch.float32).mul_(1 / 255)
            yield image, self._labels.index_select(0, rows)

    def loader(self) -> Any:
        """Return our data loader; its order is the one that all have."""
        from allencv_al.data.data_loaders import DataLoader

        options = {"batch_size": BATCH_SIZE}
        return DataLoader.from_params(options, dataset=self._dataset, vocab=self.vocab)

    def network(self) -> tuple[Network, torch.optim.SGD]:
        """Return a network with the initial weights, and its optimizer."""
        network = Network()
        self.start(network)
        return network, torch.optim.SGD(network.parameters(), LEARNING_RATE, MOMENTUM)

    def model(self) -> Any:
        """Return our model, likewise."""
        from allencv_al.models import Model

        model = Model.from_params(MODEL, vocab=self.vocab)
        self.start(model)
        return model

    def start(self, network: nn.Module) -> None:
        """Give a network the initial weights."""
        with torch.no_grad():
            for parameter, value in zip(network.parameters(), self._weights, strict=True):
                parameter.copy_(value)

    def factor(self, finished: int) -> float:
        """Return what the learning rate is times in the step after `finished` ones.

        A straight line to 0, which is reached in the last step, as in AllenNLP's schedules.
        """
        return max(0.0, 1 - (finished + 1) / self.steps)


def _as_dataset(ids: list[str], pixels: Any, names: list[str]) -> tuple[Any, Any]:
    from allencv_al.data import DatasetReader, Instance, Vocabulary
    from allencv_al.data.dataset_readers.base import Dataset

    instances = [
        Instance(id=id, image=image, label=name)
        for id, image, name in zip(ids, pixels, names, strict=True)
    ]
    counts = {f"class {label}": 1 for label in range(CLASSES)}
    return Vocabulary({"labels": counts}), Dataset(DatasetReader(), instances)
