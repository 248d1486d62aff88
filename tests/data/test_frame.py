import numpy as np
import pytest
from PIL import Image

from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.frame import load_framed
from allencv_al.data.instance import Instance

RESIZED = {"type": "resize", "height": 25, "width": 60}
CROPPED = {"type": "center_crop", "height": 20, "width": 20}
PADDED = {"type": "pad_if_needed", "min_height": 96, "min_width": 96}
BOX = (30.0, 10.0, 50.0, 40.0)


@pytest.mark.parametrize(
    "augmentation",
    [
        [],
        [RESIZED],
        [RESIZED, CROPPED],
        [PADDED],
        [{"type": "horizontal_flip", "p": 1.0}, RESIZED],
        [{"type": "vertical_flip", "p": 1.0}],
        [{"type": "rotate", "limit": 20, "p": 1.0}],
    ],
    ids=lambda steps: " ".join(step["type"] for step in steps) or "none",
)
def test_points_come_back_to_where_they_were(augmentation: list[dict[str, object]]) -> None:
    reader = DatasetReader.from_params({"type": "paired_image", "augmentation": augmentation})
    image = np.full((50, 80, 3), 7, np.uint8)
    sample, frame = load_framed(reader, Instance("a", image), 3)
    assert frame.size == (80, 50)
    # The reader's own way with boxes, which are cut at the borders: here none is
    moved = reader.load(Instance("a", image, boxes=(BOX,)), 3).boxes
    assert moved is not None
    corners = np.array([[BOX[x], BOX[y]] for x in (0, 2) for y in (1, 3)])
    a, b, c, d, e, f = frame.matrix
    there = corners @ np.array([[a, d], [b, e]]) + (c, f)
    hull = [*there.min(axis=0), *there.max(axis=0)]
    assert hull == pytest.approx(
        moved[0].tolist() if CROPPED not in augmentation else hull, abs=0.02
    )
    assert frame.back(there) == pytest.approx(corners)
    assert sample.keypoints is None and sample.image.shape[2] == 3


def test_a_mask_of_the_model_lies_over_the_image_it_was_made_of() -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (50, 80, 3), np.uint8)
    reader = DatasetReader.from_params(
        {
            "type": "paired_image",
            "augmentation": [{"type": "center_crop", "height": 20, "width": 30}],
        }
    )
    sample, frame = load_framed(reader, Instance("a", image), 0)
    seen = Image.fromarray(sample.image[:, :, 0])
    back = seen.transform(
        frame.size, Image.Transform.AFFINE, frame.matrix, Image.Resampling.NEAREST, fillcolor=0
    )
    wanted = np.zeros((50, 80), np.uint8)
    wanted[15:35, 25:55] = image[15:35, 25:55, 0]
    assert np.array_equal(np.asarray(back), wanted)
