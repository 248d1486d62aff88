"""Images as instances with distinct ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from allencv_al.active_learning import PoolOutputs, ScoringOptions, compute_outputs
from allencv_al.common.errors import ConfigurationError, DataError
from allencv_al.data.dataset_readers.base import Dataset
from allencv_al.predictors import Predictor

QUIET = ScoringOptions(batch_size=3, block_size=4, mc_samples=5, description=None)


Make = Callable[..., Predictor]


def same(one: PoolOutputs, other: PoolOutputs) -> None:
    """Fail unless two outputs are the same, but for rounding."""
    assert list(one.ids) == list(other.ids)
    assert dict(one.unreadable) == dict(other.unreadable)
    for name in ("logits", "mc_logits", "embeddings"):
        mine, yours = getattr(one, name), getattr(other, name)
        assert (mine is None) == (yours is None)
        if mine is not None:
            assert mine.dtype == np.float32
            assert np.allclose(mine, yours, atol=1e-5)


def test_every_form_of_an_image_has_an_id(make: Make, pictures: Path) -> None:
    file = sorted(pictures.rglob("*.png"))[0]
    array = np.array(Image.open(file))
    images: list[Any] = [array, str(file), file.read_bytes(), Image.open(file)]
    outputs = compute_outputs(make(), images, {"logits"}, options=QUIET)
    assert list(outputs.ids) == ["image:0", str(file), "image:2", "image:3"]
    assert np.allclose(outputs.logits, outputs.logits[:1], atol=1e-5)  # type: ignore[index]


def test_images_may_come_from_an_iterator(make: Make, dataset: Dataset, tmp_path: Path) -> None:
    expected = compute_outputs(make(), dataset, {"logits"}, options=QUIET)
    same(compute_outputs(make(), iter(dataset), {"logits"}, options=QUIET), expected)
    for _ in range(2):
        same(compute_outputs(make(), iter(dataset), {"logits"}, tmp_path, QUIET), expected)


@pytest.mark.parametrize("given", [list, iter])
def test_an_id_that_occurs_twice_is_an_error(make: Make, dataset: Dataset, given: Any) -> None:
    images = given([dataset[0], dataset[1], dataset[0]])
    with pytest.raises(DataError, match=f"duplicate ids: {dataset[0].id}"):
        compute_outputs(make(), images, {"logits"}, options=QUIET)


@pytest.mark.parametrize("images", ["photos", Path("photos"), b"123", {"image_path": "a.png"}])
def test_one_image_or_a_folder_is_an_error(make: Make, images: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a sequence of them"):
        compute_outputs(make(), images, {"logits"})
