"""`allencv-al test-install`: check that this installation can decode, train and predict."""

from __future__ import annotations

import argparse
import io
import platform
import sys
from collections.abc import Callable
from importlib import metadata

EXIT_FAILED = 1

PACKAGES = (
    "allencv-al",
    "torch",
    "torchvision",
    "albumentations",
    "opencv-python-headless",
    "numpy",
    "pillow",
    "jsonnet",
    "safetensors",
    "scikit-learn",
    "matplotlib",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: there are none."""


def run(args: argparse.Namespace) -> int:
    """Print the versions and the results of the checks; return 1 if a check fails."""
    _say(f"python {platform.python_version()} on {platform.platform()}")
    for package in PACKAGES:
        _say(f"{package} {_version(package)}")
    checks: list[tuple[str, Callable[[], str]]] = [
        ("read a config", _check_config),
        ("decode an image", _check_decoding),
        ("transform it", _check_transforms),
        ("train a step and predict", _check_training),
        ("find a GPU", _check_gpu),
    ]
    results = [_passes(name, check) for name, check in checks]
    _say("all checks passed" if all(results) else "some checks failed, see above")
    return 0 if all(results) else EXIT_FAILED


def _passes(name: str, check: Callable[[], str]) -> bool:
    try:
        _say(f"ok: {name}{check()}")
    except Exception as error:  # the other checks still run
        _say(f"FAILED: {name}: {type(error).__name__}: {error}")
        return False
    return True


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "is not installed"


def _require(is_right: bool, what: str) -> None:
    if not is_right:
        raise RuntimeError(f"wrong result: {what}")


def _check_config() -> str:
    from allencv_al.common.config.sources.jsonnet_file import evaluate_snippet

    _require('"a": 3' in evaluate_snippet("test", "{a: 1 + 2}", {}), "1 + 2 in jsonnet")
    return ""


def _check_decoding() -> str:
    import numpy as np
    from PIL import Image

    from allencv_al.data.image_io import load_image

    pixels = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    _require(np.array_equal(load_image(file.getvalue()), pixels), "a PNG file")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    # A JPEG has other pixels than what was saved, and their number is what counts here
    _require(load_image(file.getvalue()).shape == pixels.shape, "a JPEG file")
    return " (PNG, JPEG)"


def _check_transforms() -> str:
    import numpy as np

    from allencv_al.data.transforms.base import ImageTransform

    image = np.full((10, 12, 3), 100, dtype=np.uint8)
    resized = ImageTransform.from_params({"type": "resize", "height": 5, "width": 4})(image)
    _require(resized.shape == (5, 4, 3) and bool((resized == 100).all()), "resize")
    return ""


def _check_training() -> str:
    import torch

    from allencv_al.data.vocabulary import Vocabulary
    from allencv_al.models.model import Model

    torch.manual_seed(0)
    model = Model.from_params(
        {
            "type": "basic_image_classifier",
            "im2im_encoder": {
                "type": "feedforward",
                "input_channels": 3,
                "num_layers": 1,
                "hidden_channels": 4,
                "activations": "relu",
                "downsample": True,
            },
            "im2vec_encoder": {
                "type": "flatten",
                "input_channels": 4,
                "input_height": 4,
                "input_width": 4,
            },
        },
        vocab=Vocabulary({"labels": {"dark": 1, "light": 1}}),
    )
    image = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])
    label = torch.tensor([0, 1])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(20):  # enough to tell dark from light, in well under a second
        optimizer.zero_grad()
        loss = model(image=image, label=label)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    _require(losses[-1] < losses[0], f"the loss went from {losses[0]} to {losses[-1]}")
    with torch.no_grad():
        output = model.eval().make_output_human_readable(model(image=image))
    _require(len(output["class"]) == 2, "predictions")
    return f" (loss {losses[0]:.3f} to {losses[-1]:.3f} in {len(losses)} steps)"


def _check_gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return ": none, the CPU will be used"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    _require(bool((torch.ones(2, device="cuda") + 1 == 2).all().item()), "1 + 1 on the GPU")
    return f": {', '.join(names)}"
