"""Bodies of requests: counted while they come in, and read as strict JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from flask import current_app, request
from pydantic import AliasChoices, BaseModel, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from allencv_al.service.web.web_errors import WebError

ANYTHING = ("*/*",)

_MOST_DIGITS = 4_000  # Python refuses longer integers with an error of its own
# An empty list takes 3 bytes as text and 64 in memory, and a fault that pydantic finds 1,000
_BYTES_PER_PART = 16
_BYTES_PER_VALUE = 64
_MOST_FIELDS = 1_000  # of the object that a body is
_FEW_FAULTS = 1_000
_LONG = 2**20  # a body of which the fields are looked for first
_THIN = 50  # elements in which the first of very many faults is looked for
_SHOWN = 80  # characters of hostile text that an error repeats
_Model = TypeVar("_Model", bound=BaseModel)


def read_body(max_bytes: int | None = None) -> bytes:
    """Return the whole body of this request.

    Args:
        max_bytes: How long it may be; None for what the server takes.

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
        max_depth: How deep it may be nested.
        max_bytes: How long a body may be, of which the number of its parts follows.

    Raises:
        WebError: It is no UTF-8 or no JSON, is nested too deep, or holds a key twice, a number
            that is not finite or one of thousands of digits (400); or it has more objects, lists
            and texts than one for each 16 bytes that a body may have (413). Numbers may be more.
    """
    parts = content.count(b"[") + content.count(b"{") + content.count(b'"') // 2
    _check_count("objects, lists and texts", parts, max_bytes // _BYTES_PER_PART)
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except UnicodeDecodeError as error:
        raise _bad(f"expected UTF-8, found another byte at {error.start}") from None
    except json.JSONDecodeError as error:
        raise _bad(
            f"expected JSON; line {error.lineno} column {error.colno}: {error.msg}"
        ) from None
    except RecursionError:
        raise _too_deep(max_depth) from None
    if content.count(b"[") + content.count(b"{") > max_depth:
        _check_depth(value, max_depth)
    return value


def parse_body(model: type[_Model], max_depth: int, max_bytes: int) -> _Model:
    """Return the body of this request as a model, nothing converted.

    Args:
        model: What it should be.
        max_depth: How deep it may be nested.
        max_bytes: How long a body may be, of which the number of its values follows.

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
            raise _fault(error) from None
        count = error.error_count()
    thin = json.dumps(_thinned(json.loads(content)))
    try:
        model.model_validate_json(thin, strict=True)
    except ValidationError as error:
        raise _fault(error) from None
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
        raise _fault(error) from None


def _fault(error: ValidationError) -> WebError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:_SHOWN]
    message = first["msg"][:1].lower() + first["msg"][1:]
    return WebError(
        422, "invalid", f"{place}: {message}" if place else message, field=place or None
    )


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise WebError(413, "too_large", f"JSON: expected at most {most:,} {what}, found more")


def _thinned(value: Any) -> Any:
    """Return a value with the first elements only of what is long."""
    if isinstance(value, dict):
        return {key: _thinned(one) for key, one in list(value.items())[:_THIN]}
    return [_thinned(one) for one in value[:_THIN]] if isinstance(value, list) else value


def _check_depth(value: Any, max_depth: int) -> None:
    level = [value]
    for _ in range(max_depth):
        level = [child for parent in level for child in _children(parent) if _is_deep(child)]
    if level:
        raise _too_deep(max_depth)


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _is_deep(value: Any) -> bool:
    return isinstance(value, dict | list)


def _too_deep(max_depth: int) -> WebError:
    return _bad(f"JSON: expected at most {max_depth} levels, found more")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _bad(f"JSON: a key is there twice: {key[:_SHOWN]!r}")
            seen.add(key)
    return found


def _constant(text: str) -> Any:
    raise _bad(f"JSON: expected finite numbers, found {text}")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _bad("JSON: expected finite numbers, found a larger one")
    return value


def _int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise _bad(f"JSON: expected numbers of at most {_MOST_DIGITS} digits, found a longer one")
    return int(text)


def _bad(message: str) -> WebError:
    return WebError(400, "bad_request", message)
