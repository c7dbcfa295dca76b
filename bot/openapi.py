"""The API described by OpenAPI 3.1, made from the operations themselves.

The same types that decode bodies give the schemas, and the frame says which refusals are
possible: the document cannot promise what the server does not do.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec

from bot.problem import PROBLEM_TYPE, ProblemBody
from bot.rest import BINARY, JSON, NDJSON, PREFIX, Answer, Call, Operation, Param

_REF = "#/components/schemas/{name}"
_ABOUT = """\
What members do outside the chat comes in here, and what zhiqun knows comes out.

Every request needs a key: `Authorization: Bearer zq_…`, made with `zhiqun key new`; its \
scopes say what it may do. Refusals are problem details (RFC 9457). Times carry an offset; \
amounts are whole fen. A request may be sent again, the second time changes nothing more; only \
a webhook is made once more (`POST /webhooks`), and its test told once more.

A change that has begun goes on to its end, even when the connection is lost or the answer is a \
503 of the type `timeout`.
"""
_PACE = {
    "RateLimit-Limit": "How many requests this key may make a minute.",
    "RateLimit-Remaining": "How many it may make at once now.",
    "RateLimit-Reset": "In how many seconds that is back at its most.",
}
_REFUSALS = {
    400: "The request cannot be read: its query, its JSON, or its HTTP.",
    401: "There is no key, or it is not valid, or the signature it needs is not.",
    403: "The key lacks a scope.",
    404: "There is no such thing.",
    408: "The body came too slowly.",
    409: "It does not fit what is there.",
    413: "More was sent than is taken at once.",
    415: "The body is of another kind than is taken.",
    422: "The body is JSON, but not what is wanted; errors says where.",
    429: "The key has made too many requests, or named too many codes that nobody has; "
    "Retry-After says when to come back.",
    500: "Something went wrong here; request_id finds it in the log.",
    503: "The store takes nothing now, there is too much to do, or it took too long; then a "
    "change goes on to its end. Retry-After says when to try again.",
}


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The OpenAPI document of these operations."""
    types = [ProblemBody, *(t for operation in operations for t in _types(operation))]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    queries = {o.query.__name__: components[o.query.__name__] for o in operations if o.query}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(
            operation, schema_of, queries
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": "zhiqun", "version": version("zhiqun"), "description": _ABOUT},
        "servers": [{"url": PREFIX}],
        "paths": paths,
        "components": {
            "schemas": {name: one for name, one in components.items() if name not in queries},
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of `zhiqun key new`, all of it: zq_… One made with "
                    "`--signed` needs the headers Zhiqun-Timestamp and Zhiqun-Signature, too.",
                }
            },
        },
    }


def operation(operations: Sequence[Operation]) -> Operation:
    """GET /openapi.json: the document of these operations and of itself."""
    ready: list[msgspec.Raw] = []

    async def run(_: Call) -> Answer:
        return Answer(body=ready[0])

    itself = Operation(
        method="GET",
        path="/openapi.json",
        name="getOpenapi",
        summary="This document",
        scope="",
        run=run,
        answers={200: dict[str, Any]},
    )
    ready.append(msgspec.Raw(msgspec.json.encode(document((*operations, itself)))))
    return itself


def _types(operation: Operation) -> list[Any]:
    found = [kind for kind in operation.answers.values() if kind is not None]
    if operation.body is not None:
        found.append(operation.body)
    if operation.query is not None:
        found.append(operation.query)
    return found


def _operation(
    operation: Operation, schema_of: dict[int, Any], queries: dict[str, Any]
) -> dict[str, Any]:
    described = operation.description
    if operation.scope:
        scopes = " and ".join(f"`{scope}`" for scope in operation.scopes)
        described = f"{described}\n\nScope: {scopes}.".strip()
    result: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.path.split("/")[1]],
    }
    if described:
        result["description"] = described
    parameters = [_path_parameter(name, rule) for name, rule in operation.params.items()]
    parameters += [_header(name, rule) for name, rule in operation.headers.items()]
    if operation.query is not None:
        parameters += _query_parameters(queries[operation.query.__name__])
    if parameters:
        result["parameters"] = parameters
    if operation.takes_body:
        result["requestBody"] = {"required": True, "content": _request(operation, schema_of)}
    result["responses"] = _responses(operation, schema_of)
    if operation.scope:
        result["security"] = [{"key": []}]
        result["x-scope"] = " ".join(operation.scopes)
    else:
        result["security"] = []
    return result


def _header(name: str, rule: Param) -> dict[str, Any]:
    return {**_path_parameter(name, rule), "in": "header"}


def _path_parameter(name: str, rule: Param) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": rule.description,
        "schema": {
            "type": "string",
            "pattern": rule.pattern,
            "minLength": 1,
            "maxLength": rule.max_length,
            "examples": [rule.example],
        },
    }


def _query_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    parameters = []
    for name, one in schema["properties"].items():
        plain = dict(one)
        options = [kind for kind in plain.get("anyOf", ()) if kind != {"type": "null"}]
        if len(options) == 1:
            # What is left out is null; nobody can write null into a query.
            plain = {key: value for key, value in plain.items() if key != "anyOf"} | options[0]
        if "null" in (values := plain.get("enum", ())) or None in values:
            plain["enum"] = [value for value in values if value is not None]
        if plain.get("default", 0) is None:
            del plain["default"]
        parameter = {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": plain,
        }
        if said := plain.pop("description", ""):
            parameter["description"] = said
        parameters.append(parameter)
    return parameters


def _request(operation: Operation, schema_of: dict[int, Any]) -> dict[str, Any]:
    if operation.body_type == "binary":
        return {BINARY: {"schema": {"type": "string", "format": "binary"}}}
    schema = schema_of[id(operation.body)]
    if operation.body_type == "json":
        return {JSON: {"schema": schema}}
    many = {"type": "array", "items": schema, "maxItems": operation.max_lines}
    return {JSON: {"schema": {"anyOf": [many, schema]}}, NDJSON: _lines(schema)}


def _lines(schema: Any) -> dict[str, Any]:
    # 3.1 has no word for lines of JSON; 3.2 calls it itemSchema.
    said = "JSON lines: one value a line, described by x-line."
    return {"schema": {"type": "string", "description": said}, "x-line": schema}


def _responses(operation: Operation, schema_of: dict[int, Any]) -> dict[str, Any]:
    pace = {
        name: {"description": said, "schema": {"type": "integer", "minimum": 0}}
        for name, said in _PACE.items()
    }
    responses: dict[str, Any] = {}
    for status, kind in operation.answers.items():
        one: dict[str, Any] = {"description": HTTPStatus(status).phrase}
        if kind is not None:
            schema = schema_of[id(kind)]
            lines = operation.answer_type == NDJSON
            one["content"] = {
                operation.answer_type: _lines(schema) if lines else {"schema": schema}
            }
        if operation.scope:
            one["headers"] = pace
        responses[str(status)] = one
    for status in operation.refusals():
        one = {
            "description": _REFUSALS[status],
            "content": {PROBLEM_TYPE: {"schema": schema_of[id(ProblemBody)]}},
        }
        if status == 429:
            wait = {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}
            one["headers"] = {"Retry-After": {**wait, "required": True}, **pace}
        if status == 401:
            one["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
        responses[str(status)] = one
    return dict(sorted(responses.items()))
