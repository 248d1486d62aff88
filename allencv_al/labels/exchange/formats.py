"""The exchange formats by name, and their detection."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from allencv_al.common.errors import DataError
from allencv_al.common.files.json_values import parse_json, repr_json
from allencv_al.common.files.tables import (
    CSV_SUFFIXES,
    JSON_SUFFIXES,
    Table,
    is_json_text,
    parse_table,
)
from allencv_al.common.files.text_files import decode_text
from allencv_al.labels.exchange import FORMATS
from allencv_al.labels.exchange.annotation_entries import from_coco, from_cvat
from allencv_al.labels.exchange.annotation_writers import to_coco, to_cvat
from allencv_al.labels.exchange.class_folders import ENTRIES_NAME, read_class_folders
from allencv_al.labels.exchange.label_entry import LabelEntry
from allencv_al.labels.exchange.label_studio import (
    CONTROL,
    OURS,
    from_label_studio,
    to_label_studio,
)
from allencv_al.labels.exchange.label_studio_min import (
    from_label_studio_min,
    is_min,
    to_label_studio_min,
)
from allencv_al.labels.exchange.object_folders import FOLDER_FORMATS
from allencv_al.labels.exchange.programs.class_tables import (
    from_kaggle,
    from_roboflow,
    table_format,
    to_kaggle,
    to_roboflow,
)
from allencv_al.labels.exchange.programs.fiftyone import LABELS_FILE, SAMPLES_FILE
from allencv_al.labels.exchange.programs.image_folder import has_metadata
from allencv_al.labels.exchange.programs.labelbox import (
    EXPORTED,
    IMPORTED,
    from_labelbox,
    to_labelbox,
)
from allencv_al.labels.exchange.programs.mask_folder import is_mask_folder
from allencv_al.labels.exchange.programs.sagemaker import ADDRESS as SAGEMAKER_ADDRESS
from allencv_al.labels.exchange.programs.sagemaker import from_sagemaker, to_sagemaker
from allencv_al.labels.exchange.programs.supervisely import ANNOTATIONS, META_NAME
from allencv_al.labels.exchange.programs.vertex_ai import ADDRESS as VERTEX_ADDRESS
from allencv_al.labels.exchange.programs.vertex_ai import from_vertex, to_vertex
from allencv_al.labels.exchange.row_formats import (
    IMAGE_COLUMNS,
    SAYING,
    SEVERAL,
    from_csv,
    from_json_lines,
    to_csv,
    to_json_lines,
)

FOLDERS = "folders"

_BY_KEYS = (
    ({"_via_img_metadata"}, "a project of the VGG Image Annotator"),
    ({"items", "categories"}, "a data set of Datumaro"),
    ({"assets", "tags"}, "a project of VoTT"),
    ({"image", "annotations"}, "an annotation file of Create ML"),
)
_BY_LINE = (
    (VERTEX_ADDRESS, "vertex"),
    (SAGEMAKER_ADDRESS, "sagemaker"),
    (IMPORTED, "labelbox"),
    (EXPORTED, "labelbox"),
)
_COCO = {"images", "categories"}
_LABELME = {"shapes", "imagePath"}
_FIFTYONE = (("labels", dict), ("samples", list))
_XML = ((r"<annotations\b", "cvat"), (r"<annotation\b", "pascal-voc"))
_YOLO = ("data.yaml", "dataset.yaml", "classes.txt", "obj.names")

_SUPPORTED = (
    "what export-labels writes; tables (CSV, TSV) with id, image or path and label; JSON lines "
    "with the same keys, also Prodigy's; JSON, JSON_MIN, CSV and TSV of Label Studio; COCO "
    "instances; CVAT for images 1.1; JSON lines of Labelbox, Vertex AI and SageMaker; tables of "
    "Kaggle and Roboflow; folders of Pascal VOC, YOLO, LabelMe, FiftyOne, Supervisely, Hugging "
    "Face or masks; and class folders"
)


class TextFormat(NamedTuple):
    """A format of one text file.

    Args:
        write: Converts entries to text.
        read: Parses text into entries; the second argument is the file's name for messages.
    """

    write: Callable[[Sequence[LabelEntry]], str]
    read: Callable[[str, str], list[LabelEntry]]


TEXT_FORMATS = {
    "csv": TextFormat(to_csv, from_csv),
    "jsonl": TextFormat(to_json_lines, from_json_lines),
    "label-studio": TextFormat(to_label_studio, from_label_studio),
    "label-studio-min": TextFormat(to_label_studio_min, from_label_studio_min),
    "coco": TextFormat(to_coco, from_coco),
    "cvat": TextFormat(to_cvat, from_cvat),
    "labelbox": TextFormat(to_labelbox, from_labelbox),
    "vertex": TextFormat(to_vertex, from_vertex),
    "sagemaker": TextFormat(to_sagemaker, from_sagemaker),
    "roboflow": TextFormat(to_roboflow, from_roboflow),
    "kaggle": TextFormat(to_kaggle, from_kaggle),
}


def format_of(path: Path) -> str:
    """Detect the format of a file or folder by its content; return its name.

    Raises:
        DataError: The format is unknown, or of a program whose files cannot be read.
    """
    if path.is_dir():
        return _folder_format(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return "yolo"
    text = _text_of(path)
    suffix = path.suffix.lower()
    if suffix not in CSV_SUFFIXES and (suffix in JSON_SUFFIXES or is_json_text(text)):
        return _json_format(path, text)
    head = _first_tag(text)
    known = next((name for pattern, name in _XML if re.match(pattern, head)), None)
    if known is not None:
        return known
    if head.startswith("<"):
        raise _not_read(path, "XML")
    if _is_vertex_csv(text):
        return "vertex"
    table = _table(path, text)
    if table is not None and not set(table.columns) & {*SAYING, SEVERAL, "annotation_id"}:
        known = table_format(table)
        if known is not None and (known != "kaggle" or suffix in CSV_SUFFIXES):
            return known
    columns = () if table is None else table.columns
    if suffix in CSV_SUFFIXES or set(columns) & {*IMAGE_COLUMNS, "id"}:
        return "csv"
    raise DataError(
        f"{path}: unknown format; name it by --format ({', '.join(FORMATS)}); supported: "
        f"{_SUPPORTED}"
    )


def read_file(path: Path, name: str) -> list[LabelEntry]:
    """Return the entries of a file or folder.

    Args:
        path: The file or folder.
        name: The name of its format.

    Raises:
        DataError: It is not of this format, or entries are invalid.
    """
    if name == FOLDERS:
        return read_class_folders(path)
    if name in FOLDER_FORMATS:
        return FOLDER_FORMATS[name].read(path)
    return TEXT_FORMATS[name].read(_text_of(path), str(path))


def _json_format(path: Path, text: str) -> str:
    try:
        value = parse_json(text)
    except ValueError as error:
        # A broken line must not decide the format: the first sound one does
        rows = parse_table(text, str(path), (), is_json=True).rows  # one object a line?
        sound = next((row for row in rows if row.problem is None), None)
        if sound is None and path.suffix.lower() == ".json":
            raise DataError(f"{path}: expected JSON: {error}") from None
        value = None if sound is None else sound.values
    keys = set(value) if isinstance(value, dict) else set()
    if keys >= _COCO or keys >= _LABELME:
        return "coco" if keys >= _COCO else "labelme"
    if isinstance(value, dict):
        if any(isinstance(value.get(key), kind) for key, kind in _FIFTYONE):
            return "fiftyone"
        known = next((name for key, name in _BY_LINE if key in keys), None)
        if known is not None:
            return known
    is_list = isinstance(value, list)
    if is_list and not is_min(value):
        return "label-studio"
    foreign = _foreign_json(value)
    if foreign is not None:
        raise _not_read(path, foreign)
    if is_list:
        return "jsonl" if value and all(map(_is_entry, value)) else "label-studio-min"
    return "jsonl" if value is None or _is_entry(value) else _unknown(path, value)


def _is_entry(value: Any) -> bool:
    """Return whether an object is an entry of our JSON lines or of Prodigy, not of JSON_MIN."""
    keys = set(value) if isinstance(value, dict) else set()
    is_other = keys & {"annotation_id", "lead_time", "created_at", OURS, CONTROL}
    is_said = keys.intersection((*SAYING, SEVERAL))
    return bool(keys & {*IMAGE_COLUMNS, "id"}) and bool(is_said) and not is_other


def _unknown(path: Path, value: Any) -> str:
    keys = ", ".join(map(str, list(value)[:10])) if isinstance(value, dict) else repr_json(value)
    if isinstance(value, dict) and isinstance(value.get("data"), dict):
        raise DataError(
            f"{path}: expected a JSON list, as Label Studio exports it, found one task alone or "
            "one a line"
        )
    if isinstance(value, dict) and set(value) & {*IMAGE_COLUMNS, "id"}:
        return "jsonl"
    raise DataError(
        f"{path}: expected a JSON list of Label Studio, or one object a line with id or image and "
        f"label, found {keys or 'nothing'}; supported: {_SUPPORTED}"
    )


def _not_read(path: Path, foreign: str) -> DataError:
    return DataError(
        f"{path}: this looks like {foreign}, and cannot be read; supported: {_SUPPORTED}"
    )


def _table(path: Path, text: str) -> Table | None:
    try:
        return parse_table(text, str(path), (*IMAGE_COLUMNS, "id", *SAYING, SEVERAL))
    except DataError:
        return None


def _is_vertex_csv(text: str) -> bool:
    first = next((line for line in text.splitlines() if line.strip()), "")
    return re.match(r'\ufeff?"?(\w*"?[,;\t]"?)?gs://', first) is not None


def _text_of(path: Path) -> str:
    try:
        # read_text() would change line ends, also those within names
        return decode_text(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _foreign_json(value: Any) -> str | None:
    """Return the name of a known but unsupported JSON format, or None."""
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, Mapping):
        return None
    return next((name for keys, name in _BY_KEYS if keys <= set(first)), None)


def _first_tag(text: str) -> str:
    """Return what follows the declarations and comments of XML; the text itself if it is none."""
    return re.sub(r"^\s*(<\?xml[^>]*\?>|<!--.*?-->|\s)*", "", text[:4096], flags=re.DOTALL)


def _folder_format(folder: Path) -> str:
    if (folder / ENTRIES_NAME).is_file():
        return FOLDERS
    if has_metadata(folder):
        return "huggingface"
    if any((folder / name).is_file() for name in (LABELS_FILE, SAMPLES_FILE)):
        return "fiftyone"
    if (folder / META_NAME).is_file() and any(folder.rglob(f"{ANNOTATIONS}/*.json")):
        return "supervisely"
    if is_mask_folder(folder):
        return "masks"
    if any((folder / name).is_file() for name in _YOLO):
        return "yolo"
    if next(folder.rglob("*.xml"), None) is not None:
        return "pascal-voc"
    files = (file for file in folder.rglob("*.json") if not file.name.startswith("."))
    first = next(files, None)
    if first is not None and '"shapes"' in _text_of(first):
        return "labelme"
    return FOLDERS
