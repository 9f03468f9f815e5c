"""The arguments of a call: checked strictly against the tool's parameters, and what is said when they do not fit."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolSpec

MAX_ERRORS = 5
SCHEMA_CHARACTERS = 1_500


def parse(spec: ToolSpec, args: Mapping[str, Any]) -> BaseModel:
    """The arguments as the tool's model. Nothing is converted: "5" is no integer.

    Raises:
        ToolError: what does not fit, in the parser's words, with the part of the schema it broke.
    """
    properties = schema_of(spec.parameters)["properties"]
    unknown = [key for key in args if key not in properties]
    if unknown:
        raise ToolError(_explain(spec, [f"{key}: there is no such argument" for key in unknown], set(properties)))
    try:
        text = json.dumps(args, ensure_ascii=False, allow_nan=False)
        return spec.parameters.model_validate_json(text.encode(), strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        lines = [f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in found]
        raise ToolError(_explain(spec, lines, {str(one["loc"][0]) for one in found if one["loc"]})) from error
    except ValueError as error:
        raise ToolError(_explain(spec, [str(error)], set(properties))) from error


def malformed(spec: ToolSpec, invalid: Mapping[str, Any]) -> str:
    """What to tell about arguments that were no JSON object at all; `invalid` holds the parser's `error` and `raw`."""
    said = f"{invalid.get('error', 'not a JSON object')}; received: {str(invalid.get('raw', ''))[:300]}"
    return _explain(spec, [said], set(schema_of(spec.parameters)["properties"]))


def _explain(spec: ToolSpec, lines: list[str], concerned: set[str]) -> str:
    schema = schema_of(spec.parameters)
    broken = {key: value for key, value in schema["properties"].items() if key in concerned} or schema["properties"]
    part = json.dumps({"properties": broken, "required": schema.get("required", [])}, ensure_ascii=False)
    more = [f"and {len(lines) - MAX_ERRORS} more"] if len(lines) > MAX_ERRORS else []
    said = "\n".join(f"- {line}" for line in (*lines[:MAX_ERRORS], *more))
    return f"the arguments of {spec.name} do not fit, so it did not run:\n{said}\nexpected: {part[:SCHEMA_CHARACTERS]}"


@cache
def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model without titles and references: some servers know neither."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    inlined = _inline(schema, definitions)
    inlined.setdefault("properties", {})
    inlined.pop("description", None)
    return {**inlined, "additionalProperties": False}


def _inline(node: Any, definitions: Mapping[str, Any], depth: int = 0) -> Any:
    if isinstance(node, list):
        return [_inline(item, definitions, depth) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node and depth < 8:
        target = definitions.get(str(node["$ref"]).rpartition("/")[2], {})
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return _inline({**target, **rest}, definitions, depth + 1)
    return {
        key: _inline(value, definitions, depth)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str))
    }
