"""What a labeling config of Label Studio asks for."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from allencv_al.common.errors import DataError

_MOST_CHARACTERS = 200_000


@dataclass(frozen=True)
class LabelingConfig:
    """The names that predictions have to carry.

    Args:
        control: The `name` of the `Choices` tag.
        target: The `name` of the `Image` tag that it belongs to.
        key: The key of a task's data that holds the image.
        choices: The class names as they stand in the config.
    """

    control: str
    target: str
    key: str
    choices: tuple[str, ...]


def parse_config(text: str) -> LabelingConfig:
    """Return what a labeling config asks for.

    Raises:
        DataError: It is no XML, declares entities, or has no choices of an image.
    """
    if len(text) > _MOST_CHARACTERS or "<!" in text.replace("<!--", ""):
        raise DataError("label_config: expected the tags of a labeling config, and no declarations")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  no declarations, so no entities
    except ElementTree.ParseError as error:
        raise DataError(f"label_config: expected XML: {error}") from None
    images = {tag.get("name"): tag.get("value", "") for tag in root.iter("Image")}
    for control in root.iter("Choices"):
        name, target = control.get("name"), control.get("toName")
        if name and target in images and target is not None:
            values = (
                choice.get("value") or choice.get("alias") for choice in control.iter("Choice")
            )
            key = images[target].lstrip("$")
            return LabelingConfig(name, target, key, tuple(filter(None, values)))
    raise DataError('label_config: expected <Choices toName="..."> of an <Image name="...">')
