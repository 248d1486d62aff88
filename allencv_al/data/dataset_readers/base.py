"""The base of all dataset readers: a path in, instances out, and how an instance is decoded."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, overload

from annotated_types import Ge, Interval
from overrides import overrides

from allencv_al.common.config.config_check import ConfigView
from allencv_al.common.config.registrable import Registrable
from allencv_al.common.errors import (
    DataError,
    Fault,
    ImageDecodeError,
    is_machine_fault,
)
from allencv_al.common.files.paths import absence_hint, shown_path, split_path, written_path
from allencv_al.common.names import warn_about_similar_names
from allencv_al.common.user_mistakes import UserCodeError, wrong_result
from allencv_al.data.dataset_readers.image_files import Skipped, SkippedCount
from allencv_al.data.image_io import DEFAULT_MAX_PIXELS, ImageInput
from allencv_al.data.instance import (
    UNNAMED,
    Instance,
    Reading,
    Sample,
    check_ids_are_unique,
    decode_all,
    decode_instance,
    path_id,
    with_stable_id,
)
from allencv_al.data.transforms import ImageTransform
from allencv_al.data.transforms.transform_pipeline import TransformPipeline, order_problem

if TYPE_CHECKING:
    from allencv_al.data.transforms.base import Normalization

logger = logging.getLogger(__name__)

_HERE = "allencv_al.data.dataset_readers"

# Up to here a file and its pixels as an array give the same to the last bit. Larger photographs
# would take half a gigabyte each.
DEFAULT_REDUCE_ABOVE = 40_000_000
_SIDE_KEPT = 2  # times what is needed: the transform's own scaling still has what to choose from


class Dataset(Sequence[Instance]):
    """The instances that a reader found, in its order, and a count of what it left out.

    A slice is a dataset of the same reader.

    Args:
        reader: Decodes and transforms the instances: `dataset.reader.load(dataset[0], seed)`.
        instances: The items; their ids are unique.
        skipped: Number of files and folders that the reader left out, by reason (`hidden` ...).
        unreadable: With `lazy: false` and `on_error: "skip"`, the images that could not be decoded,
            by id; they are not among the instances.
    """

    def __init__(
        self,
        reader: DatasetReader,
        instances: Sequence[Instance],
        skipped: Mapping[str, int] | None = None,
        unreadable: Mapping[str, ImageDecodeError] | None = None,
    ) -> None:
        self.reader = reader
        self.instances = instances
        self.skipped: dict[str, int] = dict(skipped or {})
        self.unreadable: dict[str, ImageDecodeError] = dict(unreadable or {})

    @overrides
    def __len__(self) -> int:
        return len(self.instances)

    @overload
    def __getitem__(self, index: int) -> Instance: ...

    @overload
    def __getitem__(self, index: slice) -> Dataset: ...

    def __getitem__(self, index: int | slice) -> Instance | Dataset:
        if isinstance(index, slice):
            return Dataset(self.reader, self.instances[index])
        return self.instances[index]

    def labels(self) -> list[str | None]:
        """Return the class name of each instance, None where it has none."""
        return [instance.label for instance in self.instances]

    def __repr__(self) -> str:
        names = set(self.labels()) - {None}
        names.update(name for instance in self.instances for name in instance.box_labels or ())
        return f"Dataset({len(self)} images, {len(names)} classes)"


class DatasetReader(Registrable):
    """Find the images of a data set, and decode and transform one when it is needed.

    A custom reader yields the instances; the base class decodes and transforms them, handles
    unreadable files and completes ids::

        @DatasetReader.register("my_reader")
        class MyReader(DatasetReader):
            def _read(self, path):
                for file in sorted(path.glob("*.jpg")):
                    yield self.make_instance(file, label=file.stem.split("_")[0])

    Options of its own are constructor parameters; with `**kwargs: Any`, passed on to
    `super().__init__(**kwargs)`, it takes those below too. AllenCV's name for this class,
    `ImageDatasetReader`, is an alias.

    Args:
        augmentation: Transforms, applied to each image (and to its mask, boxes and keypoints) in
            the order given. Default: none.
        lazy: If true, an image is decoded each time it is needed; if false, all are decoded when
            the data is read and held in memory as uint8 (3 bytes a pixel).
        on_error: Treatment of images that cannot be decoded: "skip" leaves them out, counts and
            lists them; "raise" ends the run.
        max_unreadable: With "skip", the largest fraction of a data set that may be unreadable; more
            of them end the run.
        max_pixels: An image of more pixels is refused by its header, before it is decoded: such a
            file can take all memory. A refused image counts as unreadable. A JPEG that is decoded
            at a part of its size may have four times as many in the file.
        raw_colors: If true, the values in a file are taken as they are; if false, an ICC profile,
            or what a PNG says of its colors, is followed, so that all images are sRGB, as
            browsers show them.
        reduce_above: A JPEG of more pixels is decoded at a half, a quarter or an eighth of its size
            where the first transform scales every image, and both sides stay at least twice as
            long as what that makes of them. Images with masks, boxes or keypoints never are. With
            0 all photographs that are large enough are decoded so: several times as fast, and not
            to the last bit what their pixels would give as an array.
    """

    builtin: ClassVar[dict[str, str]] = {
        "cifar_binary": f"{_HERE}.cifar_binary",
        "cifar_python": f"{_HERE}.cifar_python",
        "coco": f"{_HERE}.objects.coco",
        "cvat": f"{_HERE}.objects.cvat_xml",
        "idx": f"{_HERE}.idx",
        "image_annotation": f"{_HERE}.objects.image_annotation",
        "image_classification_directory": f"{_HERE}.image_classification_directory",
        "label_studio": f"{_HERE}.objects.label_studio_tasks",
        "labelme": f"{_HERE}.objects.labelme",
        "manifest": f"{_HERE}.manifest",
        "paired_image": f"{_HERE}.paired_image",
        "pascal_voc": f"{_HERE}.objects.pascal_voc",
        "vectors": f"{_HERE}.vectors",
        "yolo": f"{_HERE}.objects.yolo",
    }

    layout: ClassVar[str] = "images in the layout that its `_read` describes"
    """The files that the reader looks for, named in the error when it finds none."""

    source_size: ClassVar[tuple[int | None, int | None]] = (None, None)
    """Height and width of every image before the transforms, None where they vary."""

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        lazy: bool = True,
        on_error: Literal["raise", "skip"] = "skip",
        max_unreadable: Annotated[float, Interval(ge=0, le=1)] = 0.01,
        max_pixels: Annotated[int, Ge(1)] = DEFAULT_MAX_PIXELS,
        raw_colors: bool = False,
        reduce_above: Annotated[int, Ge(0)] = DEFAULT_REDUCE_ABOVE,
    ) -> None:
        self.augmentation = list(augmentation or [])
        self.pipeline = TransformPipeline(self.augmentation)
        self.lazy = lazy
        self.on_error: Literal["raise", "skip"] = on_error
        self.max_unreadable = max_unreadable
        self.max_pixels = max_pixels
        self.raw_colors = raw_colors
        self.reduce_above = reduce_above

    @classmethod
    @overrides
    def config_faults(cls, config: ConfigView) -> Iterator[Fault]:
        if config.sound("augmentation"):
            problem = order_problem(config.build("augmentation") or ())
            if problem is not None:
                index, message = problem
                yield config.fault(f"augmentation.{index}", message)

    @classmethod
    def path_fault(cls, path: str | Path) -> str | None:
        """Return what is wrong with `path`, as far as can be seen without reading; None if nothing.

        Readers whose paths are not plain files or folders override it.
        """
        location, _ = split_path(path)
        if location.exists():
            return None
        hint = absence_hint(str(path))
        return f"expected a file or a folder, found none at {shown_path(path)}{hint}"

    def read(self, path: str | Path) -> Dataset:
        """Find the images at `path`; with `lazy` (the default) none is decoded.

        Args:
            path: Input of the reader: for most a folder, for some a file.

        Raises:
            DataError: Nothing is there, no image is found, or ids occur twice. With `lazy: false`
                also when too many images are unreadable.
            ImageDecodeError: With `lazy: false` and `on_error: "raise"`.
        """
        if path == "":  # an unset variable of a config must not read the current folder
            raise DataError(f'{type(self).__name__}: expected a path, found ""')
        location = written_path(str(path))
        instances, skipped = self._collect(location)
        if not instances:
            raise DataError(f"{path}: found no images; {self._looked_for(skipped)}")
        check_ids_are_unique(path, instances)
        _log_found(path, instances, skipped)
        if self.lazy:
            return Dataset(self, instances, skipped.counts)
        readable, unreadable = decode_all(
            instances, self.decode, self.on_error == "skip", self.max_unreadable
        )
        return Dataset(self, readable, skipped.counts, unreadable)

    @abstractmethod
    def _read(self, path: Path) -> Iterable[Instance | Skipped]:
        """Yield the instances at `path`; a custom reader implements this method.

        Nothing should be decoded here: `self.make_instance(file, label)` is enough. An instance
        without an id of its own gets one: its path relative to `path`, or, for an image that is no
        file, the name of `path` and a running number.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method _read(self, path)")

    def make_instance(
        self, image: ImageInput, label: str | None = None, id: str | None = None, **fields: Any
    ) -> Instance:
        """Make an instance of an image.

        Args:
            image: A path, the bytes of a file, a PIL image, or a uint8 array `[H, W, 3]`.
            label: Its class name, if it has one.
            id: A name that stays the same from run to run; by default the path.
            fields: Further fields of `Instance`: `mask`, `boxes`, `metadata` ...
        """
        if id is None:
            id = path_id(image) if isinstance(image, str | Path) else UNNAMED
        return Instance(id=id, image=image, label=label, **fields)

    def text_to_instance(
        self, image: ImageInput, label: str | None = None, id: str | None = None
    ) -> Instance:
        """Make an instance of one image, under the name AllenNLP gave this method.

        A reader that treats single images in its own way overrides this.
        """
        return self.make_instance(image, label, id)

    def image_to_instance(
        self, image: ImageInput, label: str | None = None, id: str | None = None
    ) -> Instance:
        """Make an instance of one image; predictors call this.

        Args:
            image: A path, the bytes of a file, a PIL image, or a uint8 array `[H, W, 3]`.
            label: Its class name, if it is known.
            id: Its name in the results; by default the path.
        """
        # An override may have AllenCV's shorter signature, text_to_instance(image, label=None).
        labels = () if label is None else (label,)
        instance = self.text_to_instance(image, *labels)
        return instance if id is None else replace(instance, id=id)

    def load(self, instance: Instance, seed: int) -> Sample:
        """Decode an instance and apply the transforms, all but the deferred one.

        Args:
            instance: One of this reader's.
            seed: Decides all randomness of the transforms.

        Raises:
            ImageDecodeError: The image or its mask cannot be read.
            DataError: Its mask or boxes do not fit it.
            OSError: The machine cannot read any file.
        """
        return self.pipeline.apply(self.decode(instance), seed)

    def decode(self, instance: Instance) -> Sample:
        """Decode an instance, without transforms: uint8 RGB, mask, boxes and keypoints."""
        return decode_instance(instance, self.reading())

    def reading(self) -> Reading:
        """Return the options of decoding."""
        scaled = self.pipeline.scales_to
        side = 0 if scaled is None else _SIDE_KEPT * scaled
        return Reading(self.max_pixels, self.raw_colors, side, self.reduce_above)

    def image_shape(self) -> tuple[int, int | None, int | None]:
        """Return channels, height and width after the transforms; None where they vary."""
        return (3, *self.pipeline.output_size(*self.source_size))

    @property
    def deferred(self) -> Normalization | None:
        """The normalization that is left to be done for a whole batch, on the device."""
        return self.pipeline.deferred

    def _collect(self, location: Path) -> tuple[list[Instance], SkippedCount]:
        instances: list[Instance] = []
        skipped = SkippedCount()
        try:
            found: object = self._read(location)
            if not isinstance(found, Iterable):
                hint = "instances (is a `yield` missing?)"
                raise wrong_result(self, "_read", hint, found)
            for item in found:
                if isinstance(item, Skipped):
                    skipped.add(item)
                elif isinstance(item, Instance):
                    instances.append(with_stable_id(item, location, len(instances)))
                else:
                    raise DataError(
                        f"{type(self).__name__}._read: expected it to yield Instance objects "
                        f"(self.make_instance(image, label)), found {type(item).__name__}"
                    )
        # Its message names the user's class already
        except UserCodeError:
            raise
        except OSError as error:
            if is_machine_fault(error):
                raise
            where = error.filename or location
            raise DataError(f"{where}: {error.strerror or error}") from error
        return instances, skipped

    def _looked_for(self, skipped: SkippedCount) -> str:
        return f"{type(self).__name__} looks for {self.layout}; skipped: {skipped}"


ImageDatasetReader = DatasetReader


def _log_found(path: str | Path, instances: list[Instance], skipped: SkippedCount) -> None:
    names = [instance.label for instance in instances if instance.label is not None]
    names.extend(name for instance in instances for name in instance.box_labels or ())
    warn_about_similar_names(path, Counter(names))
    logger.info(
        "%s: %d images, %d of them labeled, %d classes; skipped: %s",
        path,
        len(instances),
        sum(map(_is_labeled, instances)),
        len(set(names)),
        skipped,
    )


def _is_labeled(instance: Instance) -> bool:
    parts = (instance.label, instance.mask, instance.boxes, instance.keypoints)
    return any(part is not None for part in parts)
