"""Time training and prediction on a GPU beside bare PyTorch loops, in one interleaved run.

    python benchmarks/gpu.py [--images N] [--rounds N] [--batch-size N] [--json FILE]

A ResNet-18 at 224 px, from random weights, channels last; training in bf16, prediction in fp32. The
images are uint8 pixels in memory, so that decoding, which is the processor's work and not the
GPU's, stays out. The bare loops copy whole batches from pinned memory while the GPU works, bring
the pixels to 0..1 there, and do nothing else: no metric, no schedule, no progress, no ids. Ours are
the trainer with its defaults (data loader, accuracy, callbacks, checkpoint) and the predictor, both
of which gather and collate ahead in threads. The network alone sees one batch, which lies on the
GPU, over and over. In each round every contender runs once, in turn, and its time is compared with
that of the bare loop in the same round.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SIDE, CLASSES = 224, 10
LEARNING_RATE = 0.01
TOLERANCE = 0.02  # of the mean loss; sums of bf16 products in another order differ by less
ENCODER = {"type": "torchvision", "model": "resnet18"}
MODEL = {
    "type": "basic_image_classifier",
    "im2im_encoder": ENCODER,
    "im2vec_encoder": {"type": "pool", "input_channels": 512},
}
CUDA = torch.device("cuda", 0)

Run = Callable[[], float]


class Work:
    """What all contenders share: pixels, labels, their order and the initial weights.

    Args:
        count: The images.
        batch_size: Images per step.
    """

    def __init__(self, count: int, batch_size: int) -> None:
        from allencv_al.data import DatasetReader, Instance, Vocabulary
        from allencv_al.data.dataset_readers.base import Dataset

        self.batch_size, self.count = batch_size, count
        generator = np.random.default_rng(0)
        labels = generator.integers(CLASSES, size=count)
        pixels = generator.integers(0, 128, (count, SIDE, SIDE, 3), dtype=np.uint8)
        pixels[..., 0] += (12 * labels).astype(np.uint8)[:, None, None]  # something to learn
        names = [f"class {label}" for label in labels]
        self.instances = [
            Instance(f"{place:06d}.png", image, name)
            for place, (image, name) in enumerate(zip(pixels, names, strict=True))
        ]
        self.reader = DatasetReader()
        self.dataset = Dataset(self.reader, self.instances)
        self.vocab = Vocabulary({"labels": {f"class {i}": 1 for i in range(CLASSES)}})
        self._pixels = torch.from_numpy(pixels.transpose(0, 3, 1, 2))  # channels last, as stored
        self._labels = torch.from_numpy(labels)
        ids = [id for batch in self.loader().batches(0) for id in batch.ids]
        self._order = torch.tensor([int(id[:6]) for id in ids])
        torch.manual_seed(0)
        self._weights = {k: v.clone() for k, v in self._new_model().state_dict().items()}

    def _new_model(self) -> Any:
        from allencv_al.models import Model

        return Model.from_params(MODEL, vocab=self.vocab)

    def model(self) -> Any:
        """Return the classifier with the initial weights, on the CPU."""
        model = self._new_model()
        model.load_state_dict(self._weights)
        return model

    def loader(self) -> Any:
        """Return our data loader."""
        from allencv_al.data.data_loaders import DataLoader

        options = {"batch_size": self.batch_size}
        return DataLoader.from_params(options, dataset=self.dataset, vocab=self.vocab)

    def batches(self, shuffled: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels on the GPU; the next batch is copied while one is used."""
        order = self._order if shuffled else torch.arange(self.count)
        stream = torch.cuda.Stream()
        ahead = None
        for first in range(0, self.count, self.batch_size):
            rows = order[first : first + self.batch_size]
            image = self._pixels.index_select(0, rows).contiguous(memory_format=torch.channels_last)
            label = self._labels.index_select(0, rows)
            with torch.cuda.stream(stream):
                copied = (
                    image.pin_memory().to(CUDA, non_blocking=True),
                    label.pin_memory().to(CUDA, non_blocking=True),
                )
            if ahead is not None:
                yield self._arrived(ahead, stream)
            ahead = copied
        assert ahead is not None
        yield self._arrived(ahead, stream)

    @staticmethod
    def _arrived(batch: tuple[Tensor, Tensor], stream: Any) -> tuple[Tensor, Tensor]:
        torch.cuda.current_stream().wait_stream(stream)
        for tensor in batch:
            tensor.record_stream(torch.cuda.current_stream())
        return batch[0].to(torch.float32).mul_(1 / 255), batch[1]


def train_bare(work: Work) -> float:
    """Train one epoch by hand; return the mean loss."""
    model = work.model().to(CUDA, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
    total, steps = torch.zeros((), device=CUDA), 0
    for image, label in work.batches(shuffled=True):
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16):
            logits = model(image=image)["logits"]
            loss = F.cross_entropy(logits, label)
        loss.backward()
        optimizer.step()
        total += loss.detach()
        steps += 1
    return total.item() / steps


def train_ours(work: Work) -> float:
    """Train one epoch by the trainer with its defaults; return the mean loss."""
    from allencv_al.training.trainers.base import Trainer

    options = {
        "num_epochs": 1,
        "cuda_device": 0,
        "precision": "bf16",
        "channels_last": True,
        "optimizer": {"type": "sgd", "lr": LEARNING_RATE},
    }
    with tempfile.TemporaryDirectory() as folder:
        parts = {"data_loader": work.loader(), "serialization_dir": folder}
        metrics = Trainer.from_params(options, model=work.model(), **parts).train()
    return float(metrics["training_loss"])


def train_alone(work: Work) -> float:
    """Train on one batch that lies on the GPU, over and over: what no loop can be faster than."""
    model = work.model().to(CUDA, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
    image, label = next(work.batches(shuffled=True))
    for _ in range(work.count // work.batch_size):
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16):
            loss = F.cross_entropy(model(image=image)["logits"], label)
        loss.backward()
        optimizer.step()
    return math.nan


def predictors(work: Work) -> tuple[Run, Run, Run]:
    """Return what predicts all images: one batch over and over, the bare loop, the predictor."""
    from allencv_al.predictors import ImagePredictor

    model = work.model().to(CUDA, memory_format=torch.channels_last).eval()
    predictor = ImagePredictor(model, work.reader)

    def alone() -> float:
        image, _ = next(work.batches(shuffled=False))
        with torch.inference_mode():
            for _ in range(work.count // work.batch_size):
                model(image=image)
        return math.nan

    def bare() -> float:
        with torch.inference_mode():
            batches = work.batches(shuffled=False)
            logits = [model(image=image)["logits"] for image, _ in batches]
            return float(torch.cat(logits).cpu().double().abs().sum())

    def ours() -> float:
        logits = predictor.predict_logits(work.instances, work.batch_size)
        return float(np.abs(logits.astype(np.float64)).sum())

    return alone, bare, ours


def seconds_of(run: Run, expected: list[float]) -> float:
    """Run once; check that what comes out is what the others found."""
    gc.collect()
    torch.cuda.synchronize()
    began = time.perf_counter()
    found = run()
    torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    if math.isnan(found):
        return seconds
    if expected and abs(found - expected[0]) > TOLERANCE * abs(expected[0]):
        sys.exit(f"unequal work: {found:g} where the first contender found {expected[0]:g}")
    expected.append(found)
    return seconds


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=8192, help="images (default: 8192)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--batch-size", type=int, default=128, help="per step (default: 128)")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch finds no GPU")
    work = Work(arguments.images, arguments.batch_size)
    contenders: dict[str, tuple[Run, Run, Run]] = {
        "training": (
            lambda: train_alone(work),
            lambda: train_bare(work),
            lambda: train_ours(work),
        ),
        "prediction": predictors(work),
    }
    result: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(0),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "images": arguments.images,
        "batch_size": arguments.batch_size,
        "rounds": arguments.rounds,
    }
    print(json.dumps(result))
    print("| ResNet-18, 224 px, images/s | the network alone | bare loop | ours | ours / bare |")
    print("|---|---:|---:|---:|---:|")
    for name, runs in contenders.items():
        found: list[float] = []
        for run in runs:
            seconds_of(run, found)  # kernels are chosen and memory is taken in the first run
        times = [[seconds_of(run, found) for run in runs] for _ in range(arguments.rounds)]
        rates = [
            arguments.images / statistics.median(column) for column in zip(*times, strict=True)
        ]
        ratio = statistics.median(bare / ours for _, bare, ours in times)
        result[name] = {**dict(zip(("alone", "bare", "ours"), rates, strict=True)), "ratio": ratio}
        cells = " | ".join(f"{rate:,.0f}" for rate in rates)
        print(f"| {name} | {cells} | {ratio:.2f} |", flush=True)
    result["peak_gpu_mb"] = torch.cuda.max_memory_allocated() / 2**20
    print(f"most memory on the GPU: {result['peak_gpu_mb']:.0f} MB")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
