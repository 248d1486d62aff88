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
_FIRST_ERROR = 400
_OF_QUERIES_ONLY = ("allowEmptyValue", "allowReserved")
_MEANINGS = {
    202: "Accepted; poll the address in `Location`.",
    400: "Malformed request.",
    401: "Authentication required.",
    403: "The token lacks the scope, or the request is cross-site.",
    404: "Not found.",
    409: "Conflict with the current state.",
    413: "The request, or an image in it, is too large.",
    415: "Unsupported media type.",
    421: "The Host header does not name this server.",
    422: "Invalid request; `field` is the place.",
    429: "Too many wrong tokens; retry after `Retry-After` seconds.",
    500: "Internal server error.",
    502: "Invalid response of another server.",
    503: "Too many requests are waiting; retry after `Retry-After` seconds.",
    507: "The server's disk is full.",
}


class ErrorDetail(BaseModel):
    """Code, message and place of an error."""

    code: str
    message: str
    field: str | None


class ErrorAnswer(BaseModel):
    """Body of every error response."""

    error: ErrorDetail


@dataclass(frozen=True)
class Operation:
    """A route with its handler's contract.

    Args:
        method: HTTP method.
        rule: Route, in Flask's syntax.
        summary: Description of the operation.
        answer: Model of a successful response; None if it is not JSON.
        body: Model of the request body.
        query: Model of the query string.
        accepts: Media types of the request body.
        responses: Error statuses.
        produces: Media type of a successful response that is not JSON.
        status: Status of a successful response.
        max_body_bytes: Largest body in bytes; None for the server's limit.
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
        version: Version of this package.
        operations: The operations.
        needs_token: Whether requests need a token.
        error: Model of the body of error responses.
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
                # The library writes them as false for path parameters too
                for name in _OF_QUERIES_ONLY:
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
    # Answers that are no errors have bodies of their own, if any
    content = None if status < _FIRST_ERROR else _json(error)
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
