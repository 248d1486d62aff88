"""RandAugment and TrivialAugment against those of torchvision, on the same Pillow images."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from fixtures.transform_samples import picture
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from allencv_al.data.instance import Sample
from allencv_al.data.transforms import augment_policies
from allencv_al.data.transforms.augment_policies import (
    OPERATIONS,
    RandAugment,
    TrivialAugment,
    apply_operation,
)

ORACLES = {"rand_augment": v2.RandAugment(), "trivial_augment": v2.TrivialAugmentWide()}
OURS = {"rand_augment": RandAugment(), "trivial_augment": TrivialAugment()}


def theirs(name: str) -> str:
    """Return torchvision's name of an operation: ShearX."""
    return "".join(part.capitalize() for part in name.split("_"))


def smooth_picture() -> np.ndarray:
    coarse = Image.fromarray(picture(6, 8))
    return np.array(coarse.resize((80, 60), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("policy", OURS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_has_the_strengths_of_torchvision(policy: str, name: str) -> None:
    oracle = ORACLES[policy]
    assert {theirs(one) for one in OPERATIONS} == set(oracle._AUGMENTATION_SPACE)
    magnitudes, signed = oracle._AUGMENTATION_SPACE[theirs(name)]
    expected = magnitudes(31, 60, 80)
    if expected is not None:
        found = [OURS[policy].strength(name, level / 30, 60, 80) for level in range(31)]
        assert found == pytest.approx(expected.tolist(), abs=1e-5)
        assert signed == (name in augment_policies._SIGNED)


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_gives_the_pixels_of_torchvision(name: str, interpolation: str) -> None:
    image = smooth_picture()
    oracle = ORACLES["trivial_augment"]
    mode = {"nearest": InterpolationMode.NEAREST, "linear": InterpolationMode.BILINEAR}
    for level in (0, 7, 21, 30):
        for sign in (1, -1):
            strength = sign * OURS["trivial_augment"].strength(name, level / 30, 60, 80)
            if sign < 0 and name not in augment_policies._SIGNED:
                continue
            expected = oracle._apply_image_or_video_transform(
                Image.fromarray(image),
                *(theirs(name), strength),
                interpolation=mode[interpolation],
                fill=oracle._fill,
            )
            found = apply_operation(name, strength, Sample(image), interpolation)  # type: ignore[arg-type]
            differing = (found.image != np.asarray(expected)).any(axis=2).mean()
            # Their matrix comes by way of an angle and its tangent
            most = 0.01 if name in ("rotate", "shear_x", "shear_y") else 0
            assert differing <= most, (strength, differing)


def test_the_operations_come_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """With half of the signed strengths negative, and the strengths of all bins."""
    drawn: list[tuple[str, float]] = []

    def record(name: str, strength: float, sample: Sample, interpolation: str) -> Sample:
        drawn.append((name, strength))
        return sample

    monkeypatch.setattr(augment_policies, "apply_operation", record)
    generator = np.random.default_rng(0)
    sample = Sample(picture())
    for _ in range(1400):
        RandAugment(num_ops=1).apply(sample, generator)
    counts = Counter(name for name, _ in drawn)
    assert set(counts) == set(OPERATIONS) and min(counts.values()) > 60  # 100 expected
    signs = [strength > 0 for name, strength in drawn if name == "rotate"]
    assert 0.3 < np.mean(signs) < 0.7
    drawn.clear()
    for _ in range(3000):
        TrivialAugment().apply(sample, generator)
    assert len({abs(strength) for name, strength in drawn if name == "rotate"}) == 31
    drawn.clear()
    RandAugment(num_ops=5).apply(sample, generator)
    assert len(drawn) == 5
