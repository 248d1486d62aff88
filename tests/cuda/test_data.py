"""Batches on their way to the GPU: pinned, from threads and from processes, unchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from allencv_al.data.data_loaders import DataLoader
from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.instance import Instance
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.metrics.base import Metric
from allencv_al.models.model import Model

Make = Callable[..., Any]

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
NORMALIZE = {"type": "normalize"}
FLIP = {"type": "horizontal_flip", "p": 0.5}


def dataset(augmentation: list[Any], count: int = 200, side: int = 64) -> Dataset:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    reader = DatasetReader.from_params(
        {"type": "image_classification_directory", "augmentation": augmentation}
    )
    return Dataset(reader, [Instance(f"{i}.png", pixels[i], str(i % 10)) for i in range(count)])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("pin", [None, True, False])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("augmentation", [[NORMALIZE], [FLIP, NORMALIZE], [FLIP]], ids=len)
def test_every_batch_arrives_unchanged(
    vocab: Vocabulary,
    workers: int,
    pin: bool | None,
    memory_format: torch.memory_format,
    augmentation: list[Any],
) -> None:
    torch.cuda.init()
    options = {"batch_size": 32, "num_workers": workers, "pin_memory": pin}
    loader = DataLoader.from_params(options, dataset=dataset(augmentation), vocab=vocab)
    busy = torch.rand(4096, 4096, device=CUDA)
    sent, kept = [], []
    try:
        for epoch in range(2):
            for batch in loader.batches(epoch):
                if pin:
                    assert batch.tensors["image"].is_pinned()
                for _ in range(4):  # so that the copies wait while later batches are made
                    busy = (busy @ busy).clamp_(0, 1)
                sent.append(loader.to_device(batch, CUDA, memory_format=memory_format))
                kept.append(loader.to_device(batch, CPU, memory_format=memory_format))
                del batch
    finally:
        loader.close()
    assert len(sent) == 14
    for there, here in zip(sent, kept, strict=True):
        assert torch.equal(there["label"].cpu(), here["label"])
        # one rounding: a GPU multiplies and adds in one instruction
        assert torch.allclose(there["image"].cpu(), here["image"], rtol=1e-6, atol=1e-6)
        assert there["image"].is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("name", Metric.list_available())
def test_every_metric_counts_the_same_and_without_chance(name: str) -> None:
    from allencv_al.models.precision import deterministic_algorithms

    generator = torch.Generator().manual_seed(0)
    on_cpu, on_gpu = Metric.from_params(name), Metric.from_params(name)
    with deterministic_algorithms(True):
        for _ in range(5):
            logits = torch.randn(400, 10, generator=generator)
            gold = torch.randint(10, (400,), generator=generator)
            on_cpu(logits, gold)
            on_gpu(logits.cuda(), gold.cuda())
    assert np.allclose(np.array(on_gpu.get_metric()), np.array(on_cpu.get_metric()), atol=1e-6)
    moved = Metric.from_params(name)
    moved.load_state(on_gpu.state())
    moved(logits.cuda(), gold.cuda())
    on_cpu(logits, gold)
    assert np.allclose(np.array(moved.get_metric()), np.array(on_cpu.get_metric()), atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": "multi_margin"},
        {"label_smoothing": 0.1},
        {"class_weights": [1.0, 2.0] * 5},
        {"im2vec_encoder": {"type": "pool", "input_channels": 32, "mode": "max"}},
        {"im2vec_encoder": {"type": "pool", "input_channels": 32, "mode": "generalized_mean"}},
        {
            "im2im_encoder": {"type": "torchvision", "model": "squeezenet1_1"},
            "im2vec_encoder": {"type": "pool", "input_channels": 512},
        },
        {
            "im2im_encoder": {"type": "torchvision", "model": "resnet18"},
            "im2vec_encoder": {"type": "pool", "input_channels": 512},
        },
        {
            "im2im_encoder": {"type": "conv_levels", "conv": "custom", "base_channels": 32},
            "im2vec_encoder": {"type": "pool", "input_channels": 0},
        },
    ],
    ids=lambda options: "-".join(str(value) for value in options.values())[:60] or "plain",
)
def test_gradients_are_those_of_the_cpu_and_without_chance(
    make_model: Make, options: dict[str, Any]
) -> None:
    from allencv_al.models.precision import deterministic_algorithms
    from allencv_al.modules.im2im_encoders import Im2ImEncoder

    if options.get("im2vec_encoder", {}).get("input_channels") == 0:
        encoder: Any = Im2ImEncoder.from_params(options["im2im_encoder"])
        channels = encoder.get_output_channels()
        options = {**options, "im2vec_encoder": {"type": "pool", "input_channels": channels}}
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(8, 3, 64, 64, generator=generator)
    label = torch.randint(10, (8,), generator=generator)
    found = []
    tf32 = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        for device in ("cpu", "cuda", "cuda"):
            model: Model = make_model(dropout=0.0, **options).to(device)
            for module in model.modules():
                # A ResNet-18 ends in 2 x 2 pixels, whose batch norms in training turn the last bits
                # of float32 into the third digit
                if isinstance(module, torch.nn.Dropout) or "resnet18" in str(options):
                    module.eval()
            with deterministic_algorithms(True):
                model(image.to(device), label.to(device))["loss"].backward()
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            found.append(torch.cat([gradient.flatten().cpu() for gradient in gradients]))
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
    assert torch.equal(found[1], found[2])
    assert (found[1] - found[0]).norm() / found[0].norm() < 1e-3


def test_images_on_disk_reach_the_gpu_as_the_reader_gives_them(
    digits: Path, vocab: Vocabulary
) -> None:
    reader = DatasetReader.from_params({"type": "image_classification_directory"})
    read = reader.read(digits / "test")
    options = {"batch_size": 50, "shuffle": False}
    loader = DataLoader.from_params(options, dataset=read, vocab=vocab)
    rows = [loader.to_device(batch, CUDA)["image"].cpu() for batch in loader.batches(0)]
    direct = [torch.from_numpy(reader.load(instance, 0).image) for instance in read]
    expected = torch.stack(direct).permute(0, 3, 1, 2).float() * (1 / 255)
    assert torch.equal(torch.cat(rows), expected)
