"""Read request bodies within limits and parse them as strict JSON."""

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

# An empty list takes 3 bytes of text and 64 of memory; an error of pydantic takes 1,000
_BYTES_PER_PART = 16
_BYTES_PER_VALUE = 64
_MOST_FIELDS = 1_000  # keys of the top-level object
_FEW_FAULTS = 1_000  # error count up to which pydantic may list all errors
_LONG = 2**20  # bytes from which required fields are searched for before parsing
_THIN = 50  # elements per list in which the first of very many errors is searched for
_SHOWN = 80  # characters of hostile text that an error repeats
_REASON_SHOWN = 120
_Model = TypeVar("_Model", bound=BaseModel)


def read_body(max_bytes: int | None = None) -> bytes:
    """Return the body of the current request.

    Args:
        max_bytes: Largest body in bytes; the server's limit if None.

    Raises:
        RequestEntityTooLarge: The body is longer; the rest is not read.
    """
    most = min(max_bytes or math.inf, current_app.config["MAX_CONTENT_LENGTH"])
    if (request.content_length or 0) > most:
        raise RequestEntityTooLarge
    # Werkzeug silently cuts a body without Content-Length at the limit: read one byte more
    request.max_content_length = most + 1
    content = request.get_data(cache=False)
    if len(content) > most:
        raise RequestEntityTooLarge
    return content


def check_content_type(accepts: Sequence[str]) -> None:
    """Raise a `WebError` if the Content-Type of the current request is not accepted.

    Args:
        accepts: Accepted media types; `ANYTHING` accepts all.
    """
    if tuple(accepts) != ANYTHING and request.mimetype not in accepts:
        found = request.mimetype[:_SHOWN] or "none"
        raise WebError(
            415, "media_type", f"Content-Type: expected {' or '.join(accepts)}, found {found}"
        )


def parse_json(content: bytes, max_depth: int = 32, max_bytes: int = 16 * 2**20) -> Any:
    """Parse strict JSON.

    Args:
        content: The JSON.
        max_depth: Maximum depth of nesting.
        max_bytes: Largest body in bytes, which also limits the number of values.

    Raises:
        WebError: The content is not UTF-8 or not JSON, is nested too deep, or has a duplicate
            key, a number that is not finite or one of thousands of digits (400); or it has more
            objects, lists and strings than one per 16 allowed bytes (413). Numbers may be more.
    """
    # Counted in the text, before any of them takes memory; a string has two quotes
    parts = content.count(b"[") + content.count(b"{") + content.count(b'"') // 2
    _check_count("objects, lists and strings", parts, max_bytes // _BYTES_PER_PART)
    try:
        return json_values.parse_json(content, max_depth)
    except ValueError as error:
        reason = str(error)
    if reason == json_values.NESTED_TOO_DEEP:
        reason = f"expected at most {max_depth} levels, found more"
    raise WebError(400, "bad_request", f"JSON: {reason[:_REASON_SHOWN]}")


def parse_body(model: type[_Model], max_depth: int, max_bytes: int) -> _Model:
    """Parse the body of the current request as a model, without type conversions.

    Args:
        model: The expected model.
        max_depth: Maximum depth of nesting.
        max_bytes: Largest body in bytes, which also limits the number of values.

    Raises:
        RequestEntityTooLarge: The body is longer.
        WebError: The body is not JSON (400), has more values than one per 64 allowed bytes (413),
            or does not match the model (422, with the place of the first error).
    """
    content = read_body(max_bytes)
    if len(content) > _LONG:
        _check_fields(model, content)
    values = content.count(b",") + content.count(b"[") + content.count(b"{")
    _check_count("values", values, max_bytes // _BYTES_PER_VALUE)
    # First the rules that pydantic's own parser does not have: no key twice, no NaN, no great depth
    value = parse_json(content, max_depth, max_bytes)
    if isinstance(value, dict):
        _check_count("fields", len(value), _MOST_FIELDS)
    # Before the second parsed copy of a body that may be long
    del value
    try:
        return model.model_validate_json(content, strict=True)
    except ValidationError as error:
        if error.error_count() <= _FEW_FAULTS:
            raise _invalid(error) from None
        count = error.error_count()
    # A list of every error would take 1,000 bytes for each: the first is sought in a cut copy
    thin = json.dumps(_thinned(json.loads(content)))
    try:
        model.model_validate_json(thin, strict=True)
    except ValidationError as error:
        raise _invalid(error) from None
    raise WebError(422, "invalid", f"found {count:,} errors")


def _check_fields(model: type[BaseModel], content: bytes) -> None:
    """Raise if a required field is absent from a long body, before the body is parsed.

    A key that is written with escapes is not found; no field name here needs any.
    """
    for name, field in model.model_fields.items():
        aliases = field.validation_alias
        names = aliases.choices if isinstance(aliases, AliasChoices) else [aliases or name]
        if field.is_required() and not any(f'"{one}"'.encode() in content for one in names):
            raise WebError(422, "invalid", f"{name}: field required", field=name)


def parse_query(model: type[_Model], arguments: MultiDict[str, str]) -> _Model:
    """Parse the query string as a model.

    Raises:
        WebError: The query does not match the model, or a field occurs twice.
    """
    twice = [name for name, values in arguments.lists() if len(values) > 1]
    if twice:
        raise WebError(422, "invalid", "expected one value, found several", field=twice[0][:_SHOWN])
    try:
        return model.model_validate(arguments.to_dict())
    except ValidationError as error:
        raise _invalid(error) from None


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Return the place of the first validation error, and the message with that place."""
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
    """Cut each list and object to its first elements."""
    if isinstance(value, dict):
        return {key: _thinned(one) for key, one in list(value.items())[:_THIN]}
    return [_thinned(one) for one in value[:_THIN]] if isinstance(value, list) else value
