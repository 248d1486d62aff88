"""Bodies of requests: counted while they come in, and read as strict JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, TypeVar

from flask import current_app, request
from pydantic import AliasChoices, BaseModel, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from allencv_al.common.files import json_values
from allencv_al.service.web.web_errors import WebError

ANYTHING = ("*/*",)

# An empty list takes 3 bytes as text and 64 in memory, and a fault that pydantic finds 1,000
_BYTES_PER_PART = 16
_BYTES_PER_VALUE = 64
_MOST_FIELDS = 1_000  # of the object that a body is
_FEW_FAULTS = 1_000
_LONG = 2**20  # a body of which the fields are looked for first
_THIN = 50  # elements in which the first of very many faults is looked for
_SHOWN = 80  # characters of hostile text that an error repeats
_REASON_SHOWN = 120
_Model = TypeVar("_Model", bound=BaseModel)


def read_body(max_bytes: int | None = None) -> bytes:
    """Return the whole body of this request.

    Args:
        max_bytes: Maximum length; the server's limit if None.

    Raises:
        RequestEntityTooLarge: It is longer; nothing more of it is read.
    """
    most = min(max_bytes or math.inf, current_app.config["MAX_CONTENT_LENGTH"])
    if (request.content_length or 0) > most:
        raise RequestEntityTooLarge
    # Of a body that does not say its length Werkzeug leaves out what is behind the limit, silently
    request.max_content_length = most + 1
    content = request.get_data(cache=False)
    if len(content) > most:
        raise RequestEntityTooLarge
    return content


def check_content_type(accepts: Sequence[str]) -> None:
    """Raise a `WebError` unless this request says it holds what is accepted.

    Args:
        accepts: Media types; `ANYTHING` takes all.
    """
    if tuple(accepts) != ANYTHING and request.mimetype not in accepts:
        found = request.mimetype[:_SHOWN] or "none"
        raise WebError(
            415, "media_type", f"Content-Type: expected {' or '.join(accepts)}, found {found}"
        )


def parse_json(content: bytes, max_depth: int = 32, max_bytes: int = 16 * 2**20) -> Any:
    """Return the value that strict JSON holds.

    Args:
        content: The JSON.
        max_depth: Maximum depth of nesting.
        max_bytes: Maximum length of a body, which also limits the number of its parts.

    Raises:
        WebError: It is no UTF-8 or no JSON, is nested too deep, or holds a key twice, a number
            that is not finite or one of thousands of digits (400); or it has more objects, lists
            and texts than one for each 16 bytes that a body may have (413). Numbers may be more.
    """
    parts = content.count(b"[") + content.count(b"{") + content.count(b'"') // 2
    _check_count("objects, lists and texts", parts, max_bytes // _BYTES_PER_PART)
    try:
        return json_values.parse_json(content, max_depth)
    except ValueError as error:
        reason = str(error)
    if reason == json_values.NESTED_TOO_DEEP:
        reason = f"expected at most {max_depth} levels, found more"
    raise WebError(400, "bad_request", f"JSON: {reason[:_REASON_SHOWN]}")


def parse_body(model: type[_Model], max_depth: int, max_bytes: int) -> _Model:
    """Return the body of this request as a model, nothing converted.

    Args:
        model: What it should be.
        max_depth: Maximum depth of nesting.
        max_bytes: Maximum length of a body, which also limits the number of its values.

    Raises:
        RequestEntityTooLarge: It is longer.
        WebError: It is no JSON (400), has more values than one for each 64 bytes that a body may
            have (413), or does not fit the model; the first fault is named with its place.
    """
    content = read_body(max_bytes)
    if len(content) > _LONG:
        _check_fields(model, content)
    values = content.count(b",") + content.count(b"[") + content.count(b"{")
    _check_count("values", values, max_bytes // _BYTES_PER_VALUE)
    value = parse_json(content, max_depth, max_bytes)
    if isinstance(value, dict):
        _check_count("fields", len(value), _MOST_FIELDS)
    del value
    try:
        return model.model_validate_json(content, strict=True)
    except ValidationError as error:
        if error.error_count() <= _FEW_FAULTS:
            raise _invalid(error) from None
        count = error.error_count()
    thin = json.dumps(_thinned(json.loads(content)))
    try:
        model.model_validate_json(thin, strict=True)
    except ValidationError as error:
        raise _invalid(error) from None
    raise WebError(422, "invalid", f"found {count:,} faults")


def _check_fields(model: type[BaseModel], content: bytes) -> None:
    """Raise where a long text cannot hold a field that has to be there, before all is parsed.

    A key with an escape in it is not found by its letters, and is not needed in any name here.
    """
    for name, field in model.model_fields.items():
        aliases = field.validation_alias
        names = aliases.choices if isinstance(aliases, AliasChoices) else [aliases or name]
        if field.is_required() and not any(f'"{one}"'.encode() in content for one in names):
            raise WebError(422, "invalid", f"{name}: field required", field=name)


def parse_query(model: type[_Model], arguments: MultiDict[str, str]) -> _Model:
    """Return what stands behind the question mark as a model.

    Raises:
        WebError: It does not fit the model, or a field occurs twice.
    """
    twice = [name for name, values in arguments.lists() if len(values) > 1]
    if twice:
        raise WebError(422, "invalid", "expected it once", field=twice[0][:_SHOWN])
    try:
        return model.model_validate(arguments.to_dict())
    except ValidationError as error:
        raise _invalid(error) from None


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Return the place of the first fault of a model, and the message with the place before it."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:_SHOWN]
    message = first["msg"][:1].lower() + first["msg"][1:]
    return place, f"{place}: {message}" if place else message


def _invalid(error: ValidationError) -> WebError:
    place, message = first_fault(error)
    return WebError(422, "invalid", message, field=place or None)


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise WebError(413, "too_large", f"JSON: expected at most {most:,} {what}, found more")


def _thinned(value: Any) -> Any:
    """Return a value with the first elements only of what is long."""
    if isinstance(value, dict):
        return {key: _thinned(one) for key, one in list(value.items())[:_THIN]}
    return [_thinned(one) for one in value[:_THIN]] if isinstance(value, list) else value
