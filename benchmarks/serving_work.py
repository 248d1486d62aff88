"""The model and the images of `serving.py`."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from allencv_al.data.vocabulary import Vocabulary
from allencv_al.models import archive_model
from allencv_al.models.model import Model

SIDE = 224
IMAGES = 48
CLASSES = 10


def write_archive(folder: Path) -> Path:
    """Write a ResNet-18 with random weights, and the transforms of its images."""
    resize = {"type": "resize", "height": SIDE, "width": SIDE}
    vector = {"type": "flatten", "input_channels": 512, "input_height": 1, "input_width": 1}
    config: dict[str, Any] = {
        "dataset_reader": {
            "type": "image_classification_directory",
            "augmentation": [resize, {"type": "normalize"}],
        },
        "train_data_path": "nowhere",
        "model": {
            "type": "basic_image_classifier",
            "im2im_encoder": {
                "type": "pretrained_resnet",
                "resnet_model": "resnet18",
                "pretrained": False,
                "requires_grad": True,
            },
            "im2vec_encoder": vector,
        },
        "trainer": {},
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    vocabulary = Vocabulary({"labels": {f"class {number}": 1 for number in range(CLASSES)}})
    vocabulary.save_to_files(folder / "vocabulary")
    torch.manual_seed(0)
    model = Model.from_params(config["model"], vocab=vocabulary)
    save_file(model.state_dict(), folder / "best.safetensors")
    return archive_model(folder)


def write_images(folder: Path, data: Path | None) -> list[bytes]:
    """Write the images that are sent, and return their bytes.

    Args:
        folder: Where they are written.
        data: The folder of the test data, for photographs; without it images are made.
    """
    folder.mkdir()
    found = _made_images() if data is None else _photographs(data / "cats_dogs.tar")
    contents = list(islice(found, IMAGES))
    for number, content in enumerate(contents):
        (folder / f"{number:03d}.jpg").write_bytes(content)
    return contents


def _photographs(path: Path) -> Iterator[bytes]:
    with tarfile.open(path) as tar:
        for member in tar:
            if "/test/" in member.name and member.name.endswith(".jpg"):
                file = tar.extractfile(member)
                assert file is not None
                yield file.read()


def _made_images() -> Iterator[bytes]:
    generator = np.random.default_rng(0)
    while True:
        coarse = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=90)
        yield stream.getvalue()
