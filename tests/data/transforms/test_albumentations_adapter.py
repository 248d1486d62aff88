"""What the adapter of Albumentations adds: threads, late imports, borders and flags of OpenCV."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from fixtures.transform_samples import ARGUMENTS, built, full_sample, outcome, picture

from allencv_al.data.instance import Sample
from allencv_al.data.transforms.cropping import RandomCrop


def test_threads_share_one_without_mixing_their_chances() -> None:
    barrier = threading.Barrier(2, timeout=60)

    class Meeting(RandomCrop):
        """Draws only when the other thread is about to draw as well."""

        def draw(self, transform: Any, sample: Sample) -> dict[str, Any]:
            barrier.wait()
            return super().draw(transform, sample)

    expected = [outcome(RandomCrop(30, 40), seed) for seed in range(2)]
    transform = Meeting(30, 40)
    found: dict[int, bytes] = {}

    def work(seed: int) -> None:
        found[seed] = outcome(transform, seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[seed] for seed in range(2)] == expected


def test_building_all_of_them_imports_neither_albumentations_nor_torch() -> None:
    program = (
        "import sys\n"
        "from allencv_al.data.transforms import ImageTransform, TransformPipeline\n"
        f"arguments = {ARGUMENTS!r}\n"
        "TransformPipeline([ImageTransform.from_params({'type': name, **arguments.get(name, {})})\n"
        "    for name in ImageTransform.list_available()\n"
        "    if name != 'pretrained' and 'normalize' not in name])\n"
        "ImageTransform.from_params('normalize')\n"
        "print([name for name in ('albumentations', 'cv2', 'torch') if name in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("number", range(5))
def test_numbers_of_opencv_are_taken_as_old_configs_have_them(number: int) -> None:
    interpolations = ("nearest", "linear", "cubic", "area", "lanczos")
    borders = ("constant", "replicate", "reflect", "wrap", "reflect_101")
    by_number = built("resize", interpolation=number)(picture(), 0)
    assert np.array_equal(
        by_number, built("resize", interpolation=interpolations[number])(picture())
    )
    by_number = built("pad_if_needed", border_mode=number)(picture(), 0)
    assert np.array_equal(by_number, built("pad_if_needed", border_mode=borders[number])(picture()))


@pytest.mark.parametrize("name", ["rotate", "affine", "pad_if_needed", "grid_distortion"])
def test_a_mirrored_border_repeats_no_box_and_no_point(name: str) -> None:
    result = built(name, p=1, border_mode="reflect_101").apply(
        full_sample(), np.random.default_rng(0)
    )
    assert result.boxes is not None
    assert len(result.boxes) == 1
    assert result.keypoints is not None
    assert len(result.keypoints) == 1
