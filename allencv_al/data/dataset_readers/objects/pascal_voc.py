"""Images with boxes in the XML files of Pascal VOC, which many labeling programs write."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from overrides import overrides

from allencv_al.common.errors import DataError
from allencv_al.common.files.paths import absent
from allencv_al.common.files.text_files import decode_text
from allencv_al.common.names import class_name, listed
from allencv_al.data.dataset_readers.base import DatasetReader
from allencv_al.data.dataset_readers.image_files import Skipped, check_names_below, scan_images
from allencv_al.data.dataset_readers.objects.annotated_images import (
    AnnotatedImageReader,
    Parser,
    Unannotated,
)
from allencv_al.data.dataset_readers.objects.image_objects import (
    AnnotatedObject,
    Annotation,
    Box,
    Coordinates,
    ObjectInstances,
    numbers_of,
)
from allencv_al.data.image_io import ImageFrame
from allencv_al.data.instance import Instance
from allencv_al.data.transforms import ImageTransform

logger = logging.getLogger(__name__)

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@DatasetReader.register("pascal_voc")
class PascalVocReader(AnnotatedImageReader):
    """Read images with the boxes of their Pascal VOC files.

        PATH/JPEGImages/0001.jpg
        PATH/Annotations/0001.xml
        PATH/ImageSets/Main/train.txt

    `PATH::train` reads the images whose names stand in `ImageSets/Main/train.txt`, PATH all of
    them. An XML file may lie beside its image, too, as LabelImg and Roboflow write it, and PATH may
    hold the images itself. Of an `object`, `name` and `bndbox` are read; a `difficult` one is
    neither learned nor judged, and comes into `ignored` of the instance. Faults are errors that
    name the file and the object, all at once. A box over the border is cut there; one without area
    is left out. Files that declare a document type are refused, because entities can read other
    files and fill the memory. An image's id is its path below PATH (`JPEGImages/0001.jpg`).

    Args:
        augmentation: Transforms, applied to each image with its boxes in the order given. Default:
            none.
        image_dir: Name of the folder in PATH with the images, at any depth. If there is no such
            folder, PATH itself.
        annotation_dir: Name of the folder in PATH with the XML files, under the images' names.
        split_dir: Name of the folder in PATH with the lists of images of each split.
        one_based: Whether the first pixel is 1 and `xmax` belongs to the box, as VOC defines it;
            false for programs that write corners counted from 0.
        difficult: Treatment of objects marked `difficult`: "ignore" or "keep".
        coordinates: Pixels that boxes refer to where an image has an EXIF orientation: "upright",
            "stored" (the orientation ignored), or "auto" for those whose size the file names; if
            both have it, an error.
        unannotated: Treatment of images without an XML file: "empty" takes them as images without
            objects, "unlabeled" as images without a label, which share no batch with others;
            "error" ends the run.
        kwargs: The parameters that all readers have.
    """

    layout: ClassVar[str] = "a folder of images and a folder of XML files under the same names"

    def __init__(
        self,
        augmentation: list[ImageTransform] | None = None,
        image_dir: str = "JPEGImages",
        annotation_dir: str = "Annotations",
        split_dir: str = "ImageSets/Main",
        one_based: bool = True,
        difficult: Literal["ignore", "keep"] = "ignore",
        coordinates: Coordinates = "auto",
        unannotated: Unannotated = "empty",
        **kwargs: Any,
    ) -> None:
        super().__init__(augmentation, image_dir, annotation_dir, ".xml", unannotated, **kwargs)
        check_names_below(split_dir=split_dir)
        self.split_dir = split_dir
        self.one_based = one_based
        self.difficult = difficult
        self.coordinates: Coordinates = coordinates

    @overrides
    def _objects(self) -> ObjectInstances:
        return ObjectInstances(self.coordinates)

    @overrides
    def _names(self, path: Path, prefix: str, split: str | None) -> Iterable[str | Skipped]:
        found = scan_images(path / prefix)
        return found if split is None else self._of_split(path, split, found)

    def _of_split(
        self, path: Path, split: str, found: Iterable[str | Skipped]
    ) -> Iterator[str | Skipped]:
        file = path / self.split_dir / f"{split}.txt"
        if not file.is_file():
            splits = sorted(other.stem for other in file.parent.glob("*.txt"))
            raise DataError(f"{absent(file, 'list of images')}; splits here: {listed(splits)}")
        # Lists of one class have a second column: 1, 0 or -1
        lines = decode_text(file.read_bytes(), str(file), "save it as UTF-8").splitlines()
        stems = dict.fromkeys(class_name(line.split()[0]) for line in lines if line.split())
        for name in found:
            if isinstance(name, Skipped):
                yield name
            elif (stem := class_name(name.rpartition(".")[0])) in stems:
                # So that what is left over has no image, and a second image of that stem is not
                # read
                del stems[stem]
                yield name
        if stems:
            raise DataError(f"{file}: no images in {path} of the names {listed(list(stems))}")

    @overrides
    def _read(self, path: Path) -> Iterable[Instance | Skipped]:
        items = list(super()._read(path))
        zero = [
            item.id
            for item in items
            if isinstance(item, Instance) and any(min(box) < 0 for box in item.boxes or ())
        ]
        if zero and self.one_based:
            logger.warning(
                "%s: boxes of %d images begin at 0, where VOC counts from 1, the first of them in "
                "%s; if the program counts from 0, set one_based to false",
                *(path, len(zero), zero[0]),
            )
        return items

    @overrides
    def parser(self, path: Path) -> Parser:
        return self._annotation

    def _annotation(
        self, file: Path, frame: ImageFrame | None, problems: list[str]
    ) -> Annotation | None:
        try:
            root = parse_xml(file.read_bytes())
            size = _size(root)
        except ValueError as error:
            problems.append(f"{file}: {error}")
            return None
        objects = []
        for index, element in enumerate(root.findall("object")):
            try:
                objects.append(self._object(f"object {index + 1}", element))
            except ValueError as error:
                problems.append(f"{file}: object {index + 1}: {error}")
        return Annotation(str(file), objects, size)

    def _object(self, place: str, element: Element) -> AnnotatedObject:
        name = class_name(element.findtext("name") or "")
        if not name:
            raise ValueError("expected a name, found none")
        return AnnotatedObject(
            place=f"{place} ({name})",
            box=self._box(element),
            name=name,
            ignored=self.difficult == "ignore"
            and (element.findtext("difficult") or "0").strip() not in ("0", "Unspecified", "false"),
        )

    def _box(self, element: Element) -> Box:
        bounds = element.find("bndbox")  # of the object itself: its parts have their own
        texts = [None if bounds is None else bounds.findtext(name) for name in _CORNERS]
        try:
            numbers = [float(text or "") for text in texts]
        except ValueError:
            numbers = []
        if not numbers_of(numbers, 4):
            raise ValueError(f"expected a bndbox with {', '.join(_CORNERS)}, found {_shown(texts)}")
        x_min, y_min, x_max, y_max = numbers
        if x_max < x_min or y_max < y_min:
            raise ValueError(f"expected xmin <= xmax and ymin <= ymax, found {_shown(texts)}")
        first = 1 if self.one_based else 0
        # The last pixel belongs to a VOC box: counted from 0, its far edge is x_max itself
        return x_min - first, y_min - first, x_max, y_max


def parse_xml(content: bytes) -> Element:
    """Return the root element of an XML file that declares no document type.

    Args:
        content: The bytes of the file.

    Raises:
        ValueError: It is no such file.
    """
    builder = TreeBuilder()
    # ElementTree's own parser expands entities, and has no hook for a document type
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise ValueError(f"expected XML: {error}") from None
    root: Element = builder.close()
    return root


def _refuse_doctype(name: str, *_: object) -> None:
    raise ValueError(f"expected no document type, found <!DOCTYPE {name[:40]} ...>; remove it")


def _size(root: Element) -> tuple[int, int] | None:
    if root.tag != "annotation":
        raise ValueError(f"expected <annotation>, found <{root.tag[:40]}>")
    texts = [(root.findtext(f"size/{side}") or "0").strip() for side in ("width", "height")]
    if not all(text.isdecimal() for text in texts):
        raise ValueError(f"size: expected width and height, found {_shown(texts)}")
    width, height = map(int, texts)
    # Some programs write 0 where they do not know it
    return (width, height) if width and height else None


def _shown(texts: Iterable[str | None]) -> str:
    return ", ".join("nothing" if text is None else text.strip()[:40] for text in texts)
