"""Predicted masks as PNG files beside the JSON lines of `allencv-al predict`."""

from __future__ import annotations

import base64
from pathlib import Path, PurePosixPath
from typing import Any

from allencv_al.common.files.atomic_file import make_folder


class MaskFiles:
    """A folder of masks, made with the first one: `out_masks` beside `out.jsonl`.

    A file is named as its image, as the reader `paired_image` pairs them; where names of several
    folders meet, with a number. Masks of an earlier call of the same names are replaced.

    Args:
        output_file: The file of the JSON lines.
    """

    def __init__(self, output_file: Path) -> None:
        self.folder = output_file.with_name(f"{output_file.stem}_masks")
        self._names: set[str] = set()

    def written(self, prediction: dict[str, Any], id: str) -> dict[str, Any]:
        """Return a prediction whose mask, if it has one, is a file: `{"png": path, "size": ...}`.

        Args:
            prediction: One image's prediction, as JSON.
            id: Id of the image.
        """
        mask = prediction.get("mask")
        if not isinstance(mask, dict) or not isinstance(mask.get("png"), str):
            return prediction
        if not self._names:
            make_folder(self.folder)
        name = self._name(PurePosixPath(id).stem or "image")
        # Not flushed one by one: they can be made again, and the lines that name them come last
        (self.folder / name).write_bytes(base64.b64decode(mask["png"]))
        return {**prediction, "mask": {**mask, "png": f"{self.folder.name}/{name}"}}

    def _name(self, stem: str) -> str:
        name, number = f"{stem}.png", 2
        # Some file systems do not tell upper from lower case
        while name.casefold() in self._names:
            name, number = f"{stem}-{number}.png", number + 1
        self._names.add(name.casefold())
        return name
