"""Parse the bodies of requests, in any of the forms that clients send, into predictor inputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any

import flask
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from allencv_al.common.errors import AllenCVError, DataError
from allencv_al.predictors.image_predictor import ImagePredictor
from allencv_al.predictors.predictor import Predictor
from allencv_al.service.demo.image_sources import ImageRoot, decode_data_url, is_data_url
from allencv_al.service.web.bodies import first_fault, parse_json, read_body
from allencv_al.service.web.images import check_image
from allencv_al.service.web.web_errors import WebError
from allencv_al.service.web.web_settings import WebSettings

NO_PATHS = (
    "this server opens no files: send the image itself (its bytes, a form with a file, a data URL, "
    'or {"image": numbers, "image_shape": [height, width, channels]}), or start the server with '
    "--image-root DIR"
)

_FORM = "multipart/form-data"
_LINE_FORM = "application/x-www-form-urlencoded"  # the default of curl, whatever the content
_FIELD = re.compile(rb"[\w.\[\]-]{1,64}=\s*data(:|%3A)", re.IGNORECASE)
_SAMPLE = 64  # bytes among which the first non-space character must be
_EXPECTED = "expected the bytes of an image, a form with files, a data URL or JSON"


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
    """Converts JSON values to inputs of a predictor.

    Args:
        predictor: The predictor. For an `ImagePredictor`, values must match `ImageRequest`; other
            predictors check their own JSON, except for `image_path`.
        image_root: Reads the images that `image_path` names; None to refuse paths.
    """

    def __init__(self, predictor: Predictor, image_root: ImageRoot | None = None) -> None:
        is_default = type(predictor)._json_to_instance is ImagePredictor._json_to_instance
        self._of_json: Callable[[Any], object] = self._image if is_default else self._own
        self._image_root = image_root

    def of_json(self, value: object) -> object:
        """Return the input for one JSON value: an object, or a data URL as a string.

        Raises:
            DataError: The value is invalid, or names a path that may not be read.
        """
        if isinstance(value, str):
            return _content(value)
        return self._of_json(value)

    def of_json_list(self, values: Sequence[object]) -> list[object]:
        """Return an input, or the error, for each of several values."""
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
        try:
            request = ImageRequest.model_validate(value)
        except ValidationError as error:
            raise DataError(first_fault(error)[1]) from None
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


class BodyReader:
    """Reads the images in the body of the current request.

    The format is detected from the content. The Content-Type is unreliable: AllenCV's page sends
    data URLs as image/jpeg, and curl sends everything as a form.

    Args:
        inputs: Converts JSON to inputs.
        settings: The limits.
    """

    def __init__(self, inputs: RequestInputs, settings: WebSettings) -> None:
        self._inputs = inputs
        self._settings = settings

    def single(self) -> object:
        """Return the input of a request with one image.

        Raises:
            AllenCVError: The body is invalid, or holds several images.
        """
        parts = self._parts()
        if len(parts) != 1:
            raise WebError(
                422,
                "image",
                f"expected one image, found {len(parts)}; several go to /predict_batch",
            )
        if isinstance(parts[0], AllenCVError):
            raise parts[0]
        return parts[0]

    def several(self) -> list[object]:
        """Return an input, or the error, for each image of a request.

        Raises:
            AllenCVError: The body is invalid, or holds no images or too many.
        """
        parts = self._parts()
        if not parts:
            raise WebError(422, "image", f"{_EXPECTED}; found no image")
        return parts

    def _parts(self) -> list[object]:
        is_form = flask.request.mimetype == _FORM
        found = _of_form() if is_form else self._of_body(read_body())
        self._check_number(found)
        return [self._checked(part) for part in found]

    def _of_body(self, body: bytes) -> list[object]:
        if is_data_url(body):
            return [decode_data_url(body)]
        if flask.request.mimetype == _LINE_FORM and _FIELD.match(body):
            raise WebError(
                415,
                "media_type",
                f"data URL in a form: expected {_FORM} (curl -F), found {_LINE_FORM}",
            )
        if not _is_json(body):
            return [body]
        limits = (self._settings.max_json_depth, self._settings.max_body_bytes)
        value = parse_json(body, *limits)
        values = value if isinstance(value, list) else [value]
        self._check_number(values)  # before millions of values become an error each
        return self._inputs.of_json_list(values)

    def _check_number(self, found: Sized) -> None:
        most = self._settings.max_images
        if len(found) > most:
            raise WebError(413, "too_many", f"expected at most {most} images, found {len(found)}")

    def _checked(self, part: object) -> object:
        if not isinstance(part, bytes):
            return part
        try:
            check_image(part, self._settings.max_pixels)
        except AllenCVError as error:
            return error
        return part


def _of_form() -> list[object]:
    """Return the files of a form, or the decoded data URLs in its fields."""
    files = [file for _, file in flask.request.files.items(multi=True)]
    fields = [text.strip().encode() for _, text in flask.request.form.items(multi=True)]
    urls = [text for text in fields if is_data_url(text)]
    if files and urls:  # their common order is unknown
        raise WebError(422, "image", "a form: expected files or data URLs, found both")
    return [file.read() for file in files] or [_decoded(url) for url in urls]


def _decoded(url: bytes) -> object:
    try:
        return decode_data_url(url)
    except AllenCVError as error:
        return error


def _is_json(body: bytes) -> bool:
    """Return whether a body is JSON: no image format begins with these characters."""
    return body[:_SAMPLE].lstrip()[:1] in (b"{", b"[", b'"')


def _content(text: str) -> bytes:
    data = text.strip().encode("utf-8", "surrogatepass")
    if not is_data_url(data):
        raise DataError("expected a data URL (data:image/...;base64,...), found another text")
    return decode_data_url(data)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "null")
