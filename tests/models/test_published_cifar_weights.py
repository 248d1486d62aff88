"""Published CIFAR-10 weights give the accuracy they are published with, to the image."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from allencv_al.common import Params
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import Model

BATCH_SIZE = 125  # activations of 8 MB stay in the cache

READER = {
    "type": "cifar_binary",
    "augmentation": [
        {"type": "normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    ],
}


@pytest.mark.slow
@pytest.mark.timeout(900)  # half a minute on two idle cores
@pytest.mark.parametrize(
    ("file", "depth", "correct"),
    [("resnet20-12fca82f.th", 20, 9173), ("resnet56-4bfd9763.th", 56, 9339)],
)
def test_accuracy_on_the_test_batch(shared_data: Path, file: str, depth: int, correct: int) -> None:
    reader = DatasetReader.from_params(Params(READER))
    dataset = reader.read(shared_data / "cifar10" / "test_batch.bin.xz")
    vocab = Vocabulary.from_instances(dataset)
    config = {
        "type": "basic_image_classifier",
        "im2im_encoder": {"type": "cifar_resnet", "depth": depth},
        "im2vec_encoder": {"type": "pool", "input_channels": 64},
        "weights_file": str(shared_data / "weights" / file),
    }
    model = Model.from_params(Params(config), vocab=vocab).eval()
    normalize = reader.deferred
    assert normalize is not None
    for begin in range(0, len(dataset), BATCH_SIZE):
        instances = [dataset[i] for i in range(begin, begin + BATCH_SIZE)]
        arrays = [torch.from_numpy(reader.load(i, seed=0).image) for i in instances]
        images = normalize(torch.stack(arrays).permute(0, 3, 1, 2).contiguous())
        labels = [vocab.get_token_index(str(i.label), "labels") for i in instances]
        with torch.no_grad():
            model(images, torch.tensor(labels))
    metrics = model.get_metrics()
    assert len(dataset) == 10_000
    assert metrics["accuracy"] == correct / 10_000
