"""Sample images inside an archive, shown on the page of `allencv-al serve`."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from allencv_al.common.errors import ImageDecodeError
from allencv_al.common.files import atomic_file
from allencv_al.data.dataset_readers.base import Dataset, DatasetReader
from allencv_al.data.image_io import load_reduced
from allencv_al.data.instance import Instance
from allencv_al.models.archive_format import SAMPLES_FOLDER
from allencv_al.tasks.base import LabelTask

MAX_SAMPLES = 100  # NN.jpg
MAX_SIDE = 512
_SMALL = 64 * 64  # pixels; JPEG artifacts would dominate smaller images, so they become PNG
_QUALITY = 90

logger = logging.getLogger(__name__)


def write_archive_samples(
    folder: Path, dataset: Dataset | None, count: int, task: LabelTask
) -> None:
    """Write sample images to where `archive_model` finds them.

    Classes alternate. Metadata of the files (place, camera) is not copied.

    Args:
        folder: The folder of the run.
        dataset: The images to choose from, in its order.
        count: Number of images; fewer if the data set has fewer readable ones.
        task: The kind of labels.
    """
    if count == 0 or dataset is None:
        return
    target = folder / SAMPLES_FOLDER
    atomic_file.make_folder(target)
    readable = _readable(_in_turn(dataset, task), dataset.reader)
    for number, pixels in enumerate(islice(readable, count)):
        suffix, content = _encoded(pixels)
        atomic_file.write_bytes(target / f"{number:02d}.{suffix}", content)


def _in_turn(dataset: Dataset, task: LabelTask) -> Iterator[Instance]:
    by_label: dict[str, list[Instance]] = {}
    for instance in dataset:
        label = ", ".join(sorted(set(task.classes_in(instance))))
        by_label.setdefault(label, []).append(instance)
    # By turns: the first few samples show as many classes as possible
    for row in zip_longest(*(by_label[label] for label in sorted(by_label))):
        yield from (instance for instance in row if instance is not None)


def _readable(instances: Iterator[Instance], reader: DatasetReader) -> Iterator[NDArray[np.uint8]]:
    for instance in instances:
        try:
            # In the colors that the model sees: the sample stores no ICC profile
            yield load_reduced(instance.image, MAX_SIDE, reader.max_pixels, reader.raw_colors)
        except (ImageDecodeError, OSError) as error:
            logger.debug("no sample: %s", error)


def _encoded(pixels: NDArray[np.uint8]) -> tuple[str, bytes]:
    image = Image.fromarray(pixels)
    stream = io.BytesIO()
    if image.width * image.height <= _SMALL:
        image.save(stream, "PNG", optimize=True)
        return "png", stream.getvalue()
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    image.save(stream, "JPEG", quality=_QUALITY)
    return "jpg", stream.getvalue()
