"""Parse requests to the demo server into inputs of a predictor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from allencv_al.common.errors import AllenCVError, DataError
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.predictors.predictor import Predictor
from allencv_al.service.demo.data_url import decode_data_url, is_data_url
from allencv_al.service.demo.image_root import ImageRoot

NO_PATHS = (
    "this server opens no files: send the image itself (its bytes, a form with a file, a data URL, "
    'or {"image": numbers, "image_shape": [height, width, channels]}), or start the server with '
    "--image-root DIR"
)

_SHOWN = 80  # characters of a hostile key that an error repeats


class ImageRequest(BaseModel):
    """One image in JSON: as numbers or as a data URL; or by path, where the server allows that."""

    model_config = ConfigDict(extra="forbid")

    image: str | list[Any] | None = Field(
        None,
        description="A data URL; or integers from 0 to 255, nested as [height][width][channel] or "
        "flat beside image_shape.",
    )
    image_shape: list[int] | None = Field(None, description="[height, width, channels].")
    image_path: str | None = Field(
        None, description="A path below the folder that the server was started with, if any."
    )


class RequestInputs:
    """Turns what was sent into inputs of a predictor; paths only below the one folder.

    Args:
        predictor: What will predict. `ImagePredictor` takes images, and so only what
            `ImageRequest` describes is let through; the JSON of any other is its own business,
            but for `image_path`.
        image_root: The folder that paths may name images of.
    """

    def __init__(self, predictor: Predictor, image_root: ImageRoot | None = None) -> None:
        is_default = type(predictor)._json_to_instance is ImagePredictor._json_to_instance
        self._of_json: Callable[[Any], object] = self._image if is_default else self._own
        self._image_root = image_root

    def of_json(self, value: object) -> object:
        """Return the input for one JSON value: an object, or a data URL as a string.

        Raises:
            DataError: It is anything else, or names a path that may not be read.
        """
        if isinstance(value, str):
            return _content(value)
        return self._of_json(value)

    def of_json_list(self, values: Sequence[object]) -> list[object]:
        """Return the inputs for several values, with an error instead of a wrong one."""
        inputs: list[object] = []
        for value in values:
            try:
                inputs.append(self.of_json(value))
            except AllenCVError as error:
                inputs.append(error)
        return inputs

    def _image(self, value: object) -> object:
        if not isinstance(value, Mapping):
            raise DataError(f"expected an object with image, found {_kind(value)}")
        request = _validated(value)
        if request.image_path is not None:
            if request.image is not None:
                raise DataError("expected either image_path or image, found both")
            return self._file(request.image_path)
        if isinstance(request.image, str):
            return _content(request.image)
        if request.image is None:
            raise DataError('expected {"image": ...}, found no image')
        return {"image": request.image, "image_shape": request.image_shape}

    def _own(self, value: object) -> object:
        if not isinstance(value, Mapping):
            raise DataError(f"expected an object, found {_kind(value)}")
        path = value.get("image_path")
        return value if path is None else self._file(path)

    def _file(self, path: object) -> bytes:
        if self._image_root is None:
            raise DataError(f"image_path: {NO_PATHS}")
        if not isinstance(path, str):
            raise DataError(f"image_path: expected a text, found {_kind(path)}")
        return self._image_root.read(path)


def _validated(value: Mapping[str, Any]) -> ImageRequest:
    try:
        return ImageRequest.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:_SHOWN]
        raise DataError(f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}") from None


def _content(text: str) -> bytes:
    data = text.strip().encode("utf-8", "surrogatepass")
    if not is_data_url(data):
        raise DataError("expected a data URL (data:image/...;base64,...), found another text")
    return decode_data_url(data)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "null")
