"""Describe the routes of a server as an OpenAPI 3.1 document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openapi_pydantic import Info, MediaType, OpenAPI, PathItem, RequestBody, Response
from openapi_pydantic import Operation as OpenAPIOperation
from openapi_pydantic import Parameter as OpenAPIParameter
from openapi_pydantic.util import PydanticSchema, construct_open_api_with_schema_class
from pydantic import BaseModel

_RULE_PART = re.compile(r"<(?:(?P<type>\w+):)?(?P<name>\w+)>")
_TYPES = {"int": "integer", "float": "number"}
_FIRST_FAULT = 400
_OF_QUERIES_ONLY = ("allowEmptyValue", "allowReserved")
_MEANINGS = {
    202: "It is done later; `Location` says where to ask.",
    400: "The request cannot be understood.",
    401: "A token is needed.",
    403: "The token does not allow this, or a page of another site sent it.",
    404: "There is nothing at this address.",
    409: "Things stand otherwise by now.",
    413: "The request or an image in it is too large.",
    415: "The body is of another kind.",
    421: "The server is not called by this name.",
    422: "The request is not what it should be; `field` says where.",
    429: "Too many wrong tokens; try again after `Retry-After` seconds.",
    500: "Something is wrong with the server.",
    502: "Another server did not answer as it should.",
    503: "Too many requests wait; try again after `Retry-After` seconds.",
    507: "The disk of the server is full.",
}


class ErrorDetail(BaseModel):
    """An error."""

    code: str
    message: str
    field: str | None


class ErrorAnswer(BaseModel):
    """The body of every answer that is no success."""

    error: ErrorDetail


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked.

    Args:
        method: The HTTP method.
        rule: The address, as Flask writes it.
        summary: What it does.
        answer: The model of a success; None for what is no JSON.
        body: The model of the body.
        query: The model of what stands behind the question mark.
        accepts: The media types of the body.
        responses: The statuses other than success.
        produces: The media type of a success that is no JSON.
        status: The status of a success.
        max_body_bytes: The longest body; None for what the server takes.
    """

    method: str
    rule: str
    summary: str
    answer: type[BaseModel] | None
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    accepts: Sequence[str]
    responses: Sequence[int]
    produces: str
    status: int = 200
    max_body_bytes: int | None = None


def document(
    title: str,
    version: str,
    operations: Sequence[Operation],
    needs_token: bool,
    error: type[BaseModel],
) -> dict[str, Any]:
    """Return the OpenAPI document.

    Args:
        title: Title of the server.
        version: That of this package.
        operations: What can be asked.
        needs_token: Whether a token is needed.
        error: The model of everything that goes wrong.
    """
    paths: dict[str, PathItem] = {}
    for operation in operations:
        item = paths.setdefault(_RULE_PART.sub(r"{\g<name>}", operation.rule), PathItem())
        setattr(item, operation.method.lower(), _operation(operation, error))
    api = construct_open_api_with_schema_class(
        OpenAPI(info=Info(title=title, version=version), paths=paths)
    )
    dumped: dict[str, Any] = api.model_dump(mode="json", by_alias=True, exclude_none=True)
    for item in dumped["paths"].values():
        for operation_dump in item.values():
            for parameter in operation_dump.get("parameters", ()):
                for name in _OF_QUERIES_ONLY:  # written out as false for paths too
                    parameter.pop(name, None)
    if needs_token:
        dumped.setdefault("components", {})["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"}
        }
        dumped["security"] = [{"token": []}]
    return dumped


def _operation(operation: Operation, error: type[BaseModel]) -> OpenAPIOperation:
    success = Response(description="Success.")
    if operation.answer is not None:
        success.content = _json(operation.answer)
    elif operation.produces:
        success.content = {operation.produces: MediaType()}
    responses: Mapping[str, Response] = {
        str(operation.status): success,
        **{str(status): _other(status, error) for status in sorted(operation.responses)},
    }
    return OpenAPIOperation(
        summary=operation.summary,
        parameters=[*_of_rule(operation.rule), *_of_query(operation.query)] or None,
        requestBody=_request_body(operation),
        responses=dict(responses),
    )


def _other(status: int, error: type[BaseModel]) -> Response:
    content = None if status < _FIRST_FAULT else _json(error)
    return Response(description=_MEANINGS[status], content=content)


def _request_body(operation: Operation) -> RequestBody | None:
    if operation.body is None and operation.accepts == ("application/json",):
        return None
    content = {
        kind: _media(operation.body)
        if kind == "application/json" and operation.body is not None
        else MediaType()
        for kind in operation.accepts
    }
    return RequestBody(content=content, required=True)


def _json(model: type[BaseModel]) -> dict[str, MediaType]:
    return {"application/json": _media(model)}


def _media(model: type[BaseModel]) -> MediaType:
    return MediaType(schema=PydanticSchema(schema_class=model))  # type: ignore[call-arg]


def _of_rule(rule: str) -> list[OpenAPIParameter]:
    return [
        _parameter(found["name"], "path", {"type": _TYPES.get(found["type"] or "", "string")}, True)
        for found in _RULE_PART.finditer(rule)
    ]


def _of_query(model: type[BaseModel] | None) -> list[OpenAPIParameter]:
    if model is None:
        return []
    schema = model.model_json_schema()
    return [
        _parameter(name, "query", found, name in schema.get("required", ()))
        for name, found in schema["properties"].items()
    ]


def _parameter(name: str, place: str, schema: dict[str, Any], required: bool) -> OpenAPIParameter:
    return OpenAPIParameter.model_validate(
        {"name": name, "in": place, "required": required, "schema": schema}
    )
