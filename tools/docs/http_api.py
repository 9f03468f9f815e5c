"""The Hub's HTTP API as documentation pages: one per operation of its OpenAPI description."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ml_intern.net.service import Unavailable
from ml_intern.store.sqlite.pages import CachedPage

HTTP_API = "http-api"
_METHODS = ("get", "post", "put", "patch", "delete", "head")
_MAX_DEPTH = 4
_MAX_FIELDS = 60


def operations(description: CachedPage) -> list[CachedPage]:
    """Return a page per operation, with the address "GET /api/...". Raises Unavailable for an invalid description."""
    try:
        spec = json.loads(description.text)
        return [
            _operation(method, path, one, spec, description.fetched)
            for path, methods in spec["paths"].items()
            for method, one in methods.items()
            if method in _METHODS and isinstance(one, dict)
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable("the OpenAPI description of the Hub could not be parsed; try again later") from error


def _operation(method: str, path: str, one: Mapping[str, Any], spec: Mapping[str, Any], fetched: float) -> CachedPage:
    text = _page(method, path, one, spec)
    return CachedPage(f"{method.upper()} {path}", HTTP_API, _title(method, path, one), text, fetched)


def _title(method: str, path: str, one: Mapping[str, Any]) -> str:
    return f"{method.upper()} {path}: {one.get('summary') or one.get('operationId') or ''}".rstrip(": ")


def _page(method: str, path: str, one: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    lines = [f"# {_title(method, path, one)}", str(one.get("description") or "")]
    parameters = [_dereference(parameter, spec) for parameter in one.get("parameters") or []]
    if parameters:
        lines += ["## Parameters", *(_parameter(parameter) for parameter in parameters)]
    body = _json_schema(_dereference(one.get("requestBody") or {}, spec))
    if body:
        lines += ["## Body", *_fields(body, spec)]
    for code, answer in (one.get("responses") or {}).items():
        found = _dereference(answer, spec)
        lines.append(f"## Response {code}: {found.get('description', '')}".rstrip(": "))
        lines += list(_fields(_json_schema(found), spec))[:_MAX_FIELDS]
    return "\n".join(line for line in lines if line)


def _parameter(parameter: Mapping[str, Any]) -> str:
    schema = parameter.get("schema") or {}
    required = ", required" if parameter.get("required") else ""
    description = f": {parameter['description']}" if parameter.get("description") else ""
    return f"- {parameter.get('name')} ({parameter.get('in')}, {_type(schema)}{required}){description}"


def _json_schema(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    content = holder.get("content") or {}
    found: Mapping[str, Any] = content.get("application/json") or next(iter(content.values()), {})
    return dict(found.get("schema") or {})


def _fields(schema: Mapping[str, Any], spec: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """Yield a line per field of a schema, nested fields indented."""
    schema = _dereference(schema, spec)
    if depth > _MAX_DEPTH:
        return
    for choice in [*(schema.get("anyOf") or []), *(schema.get("oneOf") or []), *(schema.get("allOf") or [])]:
        yield from _fields(choice, spec, depth)
    required = schema.get("required") or []
    for name, inner in (schema.get("properties") or {}).items():
        field = _dereference(inner, spec)
        description = f": {field['description']}" if field.get("description") else ""
        yield f"{'  ' * depth}- {name} ({_type(field)}{', required' if name in required else ''}){description}"
        yield from _fields(field.get("items") or field, spec, depth + 1)


def _type(schema: Mapping[str, Any]) -> str:
    if schema.get("enum"):
        return " | ".join(map(str, schema["enum"][:12]))
    kind = schema.get("type") or "any"
    return f"list of {_type(schema['items'])}" if kind == "array" and schema.get("items") else str(kind)


def _dereference(value: Mapping[str, Any], spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the target of a $ref within the document, or any other value unchanged."""
    reference = value.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return value
    found: Any = spec
    for part in reference[2:].split("/"):
        found = found.get(part, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}
