"""The body of a request, in any of the forms that clients send, as inputs of a predictor."""

from __future__ import annotations

import re
from collections.abc import Sized

import flask

from allencv_al.common.errors import AllenCVError
from allencv_al.service.demo.data_url import decode_data_url, is_data_url
from allencv_al.service.demo.requests import RequestInputs
from allencv_al.service.web.bodies import parse_json, read_body
from allencv_al.service.web.images import check_image
from allencv_al.service.web.web_errors import WebError
from allencv_al.service.web.web_settings import WebSettings

_FORM = "multipart/form-data"
_LINE_FORM = "application/x-www-form-urlencoded"  # curl's word for anything it sends
_FIELD = re.compile(rb"[\w.\[\]-]{1,64}=\s*data(:|%3A)", re.IGNORECASE)
_SAMPLE = 64  # bytes in which the first one that is no space must be
_EXPECTED = "expected the bytes of an image, a form with files, a data URL or JSON"


class BodyReader:
    """Reads the body of the request that is being served.

    What a body is shows in itself: the content type is not believed, because AllenCV's page sends
    the text of a data URL as image/jpeg, and curl sends everything as a form.

    Args:
        inputs: Turns JSON into inputs.
        settings: The limits.
    """

    def __init__(self, inputs: RequestInputs, settings: WebSettings) -> None:
        self._inputs = inputs
        self._settings = settings

    def single(self) -> object:
        """Return the input of a request that holds one image.

        Raises:
            AllenCVError: It holds something else.
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
        """Return the inputs of a request that holds some images; a wrong one is its error.

        Raises:
            AllenCVError: It holds no images, or too many.
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
        self._check_number(values)  # of millions of values each would become an error first
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
    """Return the files of a form, or what the data URLs in its fields hold."""
    files = [file for _, file in flask.request.files.items(multi=True)]
    fields = [text.strip().encode() for _, text in flask.request.form.items(multi=True)]
    urls = [text for text in fields if is_data_url(text)]
    if files and urls:  # their order would be lost
        raise WebError(422, "image", "a form: expected files or data URLs, found both")
    return [file.read() for file in files] or [_decoded(url) for url in urls]


def _decoded(url: bytes) -> object:
    try:
        return decode_data_url(url)
    except AllenCVError as error:
        return error


def _is_json(body: bytes) -> bool:
    """Return whether a body can only be JSON: no image begins with such a character."""
    return body[:_SAMPLE].lstrip()[:1] in (b"{", b"[", b'"')
