"""The JSON schema of the format, for clients in other languages and for the test that freezes it."""

from typing import Any

from ml_intern.graph.events import EVENTS
from ml_intern.session.wire.codec import MAX_LINE, OPERATIONS, WIRE, adapter
from ml_intern.session.wire.requests import REQUESTS, RequestSpec


def wire_schema() -> dict[str, Any]:
    """Return the schemas of all operations, events and requests by name."""
    return {
        "wire": WIRE,
        "max_line": MAX_LINE,
        "operations": {name: _operation(name, one) for name, one in OPERATIONS.items()},
        "events": {name: list(spec.fields) for name, spec in EVENTS.items()},
        "requests": {name: _request(one) for name, one in REQUESTS.items()},
    }


def _operation(name: str, type: type) -> dict[str, Any]:
    schema = adapter(type).json_schema()
    return {
        **schema,
        "properties": {"type": {"const": name}, **schema["properties"]},
        "required": ["type", *schema.get("required", ())],
        "additionalProperties": False,
    }


def _request(request: RequestSpec) -> dict[str, Any]:
    return {
        "verb": "call" if request.changes else "get",
        "args": adapter(request.arguments).json_schema(),
        "value": adapter(request.result).json_schema(mode="serialization"),
    }
