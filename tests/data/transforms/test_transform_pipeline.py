from __future__ import annotations

import subprocess
import sys
from typing import Any

import albumentations
import numpy as np
import pytest
import torch

from allencv_al.common.errors import ConfigurationError
from allencv_al.data.instance import Sample
from allencv_al.data.transforms import ImageTransform, TransformPipeline

AUGMENTATION: list[dict[str, Any]] = [
    {"type": "random_resized_crop", "height": 24, "width": 24},
    {"type": "flip"},
    {"type": "rotate", "limit": 20},
    {"type": "color_jitter"},
    {"type": "gauss_noise"},
    {"type": "coarse_dropout", "max_holes": 3},
    {"type": "normalize"},
]


def pipeline(*configs: dict[str, Any] | str) -> TransformPipeline:
    return TransformPipeline([ImageTransform.from_params(config) for config in configs])


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def whole(pipe: TransformPipeline, image: np.ndarray, seed: int) -> np.ndarray:
    """What the model sees: the deferred part included."""
    result = pipe.apply(Sample(image), seed).image
    if pipe.deferred is None:
        return result
    assert result.dtype == np.uint8
    batch = torch.from_numpy(result.transpose(2, 0, 1)[None].copy())
    return pipe.deferred(batch)[0].permute(1, 2, 0).numpy()


def step_by_step(configs: list[dict[str, Any] | str], image: np.ndarray, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    sample = Sample(image)
    for config in configs:
        sample = ImageTransform.from_params(config).apply(sample, generator)
    return sample.image


def test_no_transforms_change_nothing() -> None:
    sample = Sample(picture())
    assert TransformPipeline().apply(sample, 0) is sample
    assert TransformPipeline().deferred is None
    assert TransformPipeline().output_size(3, None) == (3, None)


def test_the_order_is_the_one_listed() -> None:
    crop = {"type": "center_crop", "height": 20, "width": 20}
    resize = {"type": "resize", "height": 30, "width": 30}
    assert pipeline(crop, resize).apply(Sample(picture()), 0).image.shape == (30, 30, 3)
    assert pipeline(resize, crop).apply(Sample(picture()), 0).image.shape == (20, 20, 3)


def test_one_seed_gives_one_result_whatever_ran_before() -> None:
    pipe = pipeline(*AUGMENTATION)
    first = [pipe.apply(Sample(picture(seed)), seed).image for seed in range(8)]
    for seed in (5, 0, 7):
        assert np.array_equal(pipe.apply(Sample(picture(seed)), seed).image, first[seed])
    fresh = pipeline(*AUGMENTATION)
    for seed in reversed(range(8)):
        assert np.array_equal(fresh.apply(Sample(picture(seed)), seed).image, first[seed])
    assert len({image.tobytes() for image in first}) == 8


def test_another_process_gives_the_same_result() -> None:
    program = (
        "import numpy as np, hashlib\n"
        "from allencv_al.data.instance import Sample\n"
        "from allencv_al.data.transforms import ImageTransform, TransformPipeline\n"
        f"steps = [ImageTransform.from_params(config) for config in {AUGMENTATION!r}]\n"
        "image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)\n"
        "result = TransformPipeline(steps).apply(Sample(image), 2**64 - 5).image\n"
        "print(hashlib.sha256(result.tobytes()).hexdigest())\n"
    )
    import hashlib

    here = pipeline(*AUGMENTATION).apply(Sample(picture()), 2**64 - 5).image
    there = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == hashlib.sha256(here.tobytes()).hexdigest()


@pytest.mark.parametrize(
    "configs",
    [
        ["normalize"],
        ["bgr_normalize"],
        [{"type": "resize", "height": 20, "width": 30}, "normalize"],
        ["normalize", "flip"],
        ["normalize", "horizontal_flip", "vertical_flip"],
        ["flip", "normalize", {"type": "random_crop", "height": 9, "width": 9}, "flip"],
        ["color_jitter", {"type": "normalize", "mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3]}],
    ],
)
def test_a_normalization_that_can_wait_is_deferred_and_gives_the_same(
    configs: list[dict[str, Any] | str],
) -> None:
    pipe = pipeline(*configs)
    assert pipe.deferred is not None
    for seed in range(6):
        expected = step_by_step(configs, picture(seed), seed)
        assert expected.dtype == np.float32
        assert np.allclose(whole(pipe, picture(seed), seed), expected, rtol=1e-6, atol=1e-5)


def test_deferred_normalization_equals_albumentations() -> None:
    pipe = pipeline({"type": "resize", "height": 20, "width": 30}, "normalize")
    reference = albumentations.Compose([albumentations.Resize(20, 30), albumentations.Normalize()])
    expected = reference(image=picture())["image"]
    assert np.allclose(whole(pipe, picture(), 0), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "configs",
    [
        ["flip"],
        ["normalize", "channel_shuffle"],
        ["normalize", {"type": "resize", "height": 20, "width": 30}],
        ["normalize", {"type": "random_crop", "height": 60, "width": 60, "pad_if_needed": True}],
        ["normalize", "flip", "gaussian_blur"],
    ],
)
def test_a_normalization_that_cannot_wait_is_done_in_its_place(
    configs: list[dict[str, Any] | str],
) -> None:
    pipe = pipeline(*configs)
    assert pipe.deferred is None
    for seed in range(4):
        expected = step_by_step(configs, picture(), seed)
        assert np.array_equal(pipe.apply(Sample(picture()), seed).image, expected)


def test_the_tutorials_augmentation_shuffles_normalized_channels() -> None:
    pipe = pipeline(
        {"type": "resize", "height": 512, "width": 512},
        {"type": "normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        {"type": "flip", "p": 0.5},
        {"type": "channel_shuffle", "p": 0.5},
    )
    assert pipe.output_size(None, None) == (512, 512)
    image = np.zeros((6, 6, 3), np.uint8)
    black = np.array([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    seen = {tuple(pipe.apply(Sample(image), seed).image[0, 0].round(4)) for seed in range(40)}
    assert len(seen) > 1
    for found in seen:
        assert np.allclose(sorted(found), sorted(black), atol=1e-4)


@pytest.mark.parametrize(
    "late",
    [
        "color_jitter",
        "random_brightness_contrast",
        "hue_saturation_value",
        "gauss_noise",
        "to_gray",
        "normalize",
    ],
)
def test_what_needs_brightness_is_refused_after_normalize(late: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^transform 2: .* works on brightness 0\.\.255"):
        pipeline("normalize", "flip", late)


@pytest.mark.parametrize(
    ("configs", "size", "expected"),
    [
        ([{"type": "resize", "height": 20, "width": 30}, "normalize"], (None, None), (20, 30)),
        (
            [
                {"type": "smallest_max_size", "max_size": 256},
                {"type": "center_crop", "height": 224, "width": 224},
            ],
            (None, None),
            (224, 224),
        ),
        ([{"type": "smallest_max_size", "max_size": 32}], (None, None), (None, None)),
        ([{"type": "smallest_max_size", "max_size": 32}, "flip"], (64, 96), (32, 48)),
        ([{"type": "pad_if_needed", "min_height": 40, "min_width": 40}], (32, 64), (40, 64)),
        ([{"type": "resize", "height": 8, "width": 8, "p": 0.5}], (32, 8), (None, 8)),
        (["flip", "rotate", "color_jitter"], (32, None), (32, None)),
    ],
)
def test_sizes_are_chained(
    configs: list[dict[str, Any] | str],
    size: tuple[int | None, int | None],
    expected: tuple[int | None, int | None],
) -> None:
    assert pipeline(*configs).output_size(*size) == expected


def test_a_crop_that_cannot_fit_is_found_without_a_picture() -> None:
    pipe = pipeline(
        {"type": "resize", "height": 200, "width": 200},
        {"type": "center_crop", "height": 224, "width": 224},
    )
    with pytest.raises(ConfigurationError, match=r"crop of 224x224 .* image of 200x200"):
        pipe.output_size(None, None)
