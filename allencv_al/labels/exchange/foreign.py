"""Files of other programs that are known by their looks and not read, so that they can be named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_BY_KEYS = (
    ({"images", "categories"}, "COCO annotations"),
    ({"source-ref"}, "a manifest of SageMaker Ground Truth"),
    ({"classes", "labels"}, "the labels.json of FiftyOne"),
    ({"samples"}, "a data set of FiftyOne"),
    ({"shapes", "imagePath"}, "an annotation of Labelme"),
    ({"_via_img_metadata"}, "a project of the VGG Image Annotator"),
    ({"items", "categories"}, "a data set of Datumaro"),
    ({"imageGcsUri"}, "an import file of Vertex AI"),
    ({"data_row"}, "an export of Labelbox"),
)
_XML = (
    (r"<annotations\b", "annotations of CVAT"),
    (r"<annotation\b", "an annotation of Pascal VOC"),
    (r"<", "XML"),
)

TAKEN = (
    "what export-labels writes; tables (CSV, TSV) with id, image or path and label; JSON lines "
    "with the same keys, also Prodigy's; JSON, JSON_MIN, CSV and TSV of Label Studio; and class "
    "folders"
)


def foreign_json(value: Any) -> str | None:
    """Return what program's file a JSON value is; None where that cannot be told."""
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, Mapping):
        return None
    return next((name for keys, name in _BY_KEYS if keys <= set(first)), None)


def foreign_text(text: str) -> str | None:
    """Return what program's file a text is that is no JSON; None where that cannot be told."""
    head = re.sub(r"^\s*(<\?xml[^>]*\?>|<!--.*?-->|\s)*", "", text[:4096], flags=re.DOTALL)
    return next((name for pattern, name in _XML if re.match(pattern, head)), None)
