"""Parse the labeling config of a Label Studio project.

Tags: https://labelstud.io/tags/choices and https://labelstud.io/tags/choice.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
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
        choices: How each choice is written in a result, by its value and by its alias; None where
            each task brings its own.
    """

    control: str
    target: str
    key: str
    choices: Mapping[str, str] | None

    def written(self, name: str) -> str | None:
        """Return how a class is written in a result, or None if it cannot be chosen."""
        return name if self.choices is None else self.choices.get(name)


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
            return LabelingConfig(name, target, images[target].lstrip("$"), _choices(control))
    raise DataError('label_config: expected <Choices toName="..."> of an <Image name="...">')


def _choices(control: ElementTree.Element) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for choice in control.iter("Choice"):
        value, alias = choice.get("value", ""), choice.get("alias", "")
        if value or alias:  # an alias takes the place of the value in results
            found[alias or value] = found[value or alias] = alias or value
    return None if not found and control.get("value", "").startswith("$") else found
