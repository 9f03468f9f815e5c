"""The description of the wire over HTTP (OpenAPI 3.1), from the types of the operations, requests and events.

It imports what a session imports, so it runs in the process that reads threads.
"""

import json
from typing import Any

from ml_intern.configs.version import version
from ml_intern.server.web.api import READS, WIRE_HEADER
from ml_intern.session.wire.codec import WIRE
from ml_intern.session.wire.schema import wire_schema

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
OBJECT: Schema = {"type": "object"}
OBJECTS: Schema = {"type": "array", "items": OBJECT}
CREATED: Schema = {"type": "object", "properties": {"id": TEXT}, "required": ["id"]}
PROBLEM: Schema = {"type": "object", "properties": {"code": TEXT, "message": TEXT, "remedy": TEXT, "exit_code": WHOLE}}
ME: Schema = {"type": "object", "properties": {"name": TEXT, "admin": {"type": "boolean"}}}
REFUSED: Schema = {"$ref": "#/components/schemas/Error"}
ERROR: Schema = {"type": "object", "properties": {"error": PROBLEM}}
NEW_THREAD: Schema = {"folder": TEXT, "text": TEXT, "model": TEXT, "repository": TEXT, "id": TEXT}
TURN: Schema = {"turn": {"type": ["integer", "null"]}}
THREAD = "/api/threads/{id}"


def openapi() -> Schema:
    """Return the description of every route of the API."""
    wire, shared = wire_schema(), dict[str, Schema]()
    operation = {"oneOf": [_hoisted(one, shared) for one in wire["operations"].values()]}
    results = {name: _hoisted(wire["requests"][name]["value"], shared) for name in READS}
    paths = {
        "/api/threads": {
            "get": _method("All threads with what they ask and measure.", OBJECTS),
            "post": _method("Start a thread.", CREATED, _body(NEW_THREAD, ["folder", "text"]), 201),
        },
        "/api/me": {"get": _method("Who sends the request.", ME)},
        "/api/openapi.json": {"get": _method("This description.", OBJECT)},
        **{f"{THREAD}/{name}": {"get": _method(f"`{name}` of the wire.", one)} for name, one in results.items()},
        **_thread_paths(),
    }
    for path, methods in paths.items():
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        methods["parameters"] = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in names]
    schemas = {**shared, "Operation": operation, "Error": ERROR}
    keys = {"token": {"type": "apiKey", "in": "header", "name": "x-api-key"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ml-intern",
            "version": version(),
            "description": f"{WIRE_HEADER}: {WIRE}. See docs/wire.md.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": keys},
    }


def _thread_paths() -> Schema:
    submit = _body({"id": TEXT, "do": {"$ref": "#/components/schemas/Operation"}}, ["id", "do"])
    accepted = {"type": "object", "properties": {"id": TEXT, "ok": {"const": True}}}
    events = _method("Events after a number.", TEXT, query={"after": WHOLE}, kind="text/event-stream")
    return {
        f"{THREAD}/runs": {"get": _method("Background runs with the points of their metrics.", OBJECTS)},
        f"{THREAD}/preview_undo": {"get": _method("The effect of an undo.", OBJECT, query={"turns": WHOLE})},
        f"{THREAD}/export/{{format}}": {"get": _method("The thread in an export format.", OBJECT)},
        f"{THREAD}/state": {"get": _method("The events of the current state, and the last turn's end.", OBJECT)},
        f"{THREAD}/events": {"get": events},
        f"{THREAD}/operations": {"post": _method("Submit an operation once.", accepted, submit)},
        f"{THREAD}/fork": {"post": _method("Copy a thread.", CREATED, _body(TURN, []), 201)},
    }


def _method(
    summary: str, result: Schema, body: Schema | None = None, status: int = 200, *,
    query: Schema | None = None, kind: str = "application/json",
) -> Schema:  # fmt: skip
    answers = {
        str(status): {"description": "OK", "content": {kind: {"schema": result}}},
        "default": {"description": "An error.", "content": {"application/json": {"schema": REFUSED}}},
    }
    parameters = [{"name": name, "in": "query", "schema": schema} for name, schema in (query or {}).items()]
    more = {"requestBody": body} if body is not None else {}
    return {"summary": summary, "parameters": parameters, "responses": answers, **more}


def _body(properties: Schema, required: list[str]) -> Schema:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _hoisted(schema: Schema, shared: dict[str, Schema]) -> Schema:
    """Move the definitions of a schema to those that all schemas share."""
    moved: Schema = json.loads(json.dumps(schema).replace("#/$defs/", "#/components/schemas/"))
    shared.update(moved.pop("$defs", {}))
    return moved
