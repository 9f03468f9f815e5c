"""Validate a call's arguments strictly against the tool's parameters, and explain a mismatch to the model."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from ml_intern.execution.call import ToolError
from ml_intern.execution.tool import ToolSpec
from ml_intern.text.formatting import and_more

MAX_ERRORS = 5
SCHEMA_CHARACTERS = 1_500


def parse(spec: ToolSpec, args: Mapping[str, Any]) -> BaseModel:
    """Parse the arguments into the tool's model. Nothing is converted: "5" is not an integer.

    Raises:
        ToolError: the parser's messages with the part of the schema that was violated.
    """
    properties = inline_schema(spec.parameters)["properties"]
    unknown = [key for key in args if key not in properties]
    if unknown:
        raise ToolError(_mismatch(spec, [f"{key}: unknown argument" for key in unknown], set(properties)))
    try:
        text = json.dumps(args, ensure_ascii=False, allow_nan=False)
        return spec.parameters.model_validate_json(text.encode(), strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        lines = [f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in found]
        raise ToolError(_mismatch(spec, lines, {str(one["loc"][0]) for one in found if one["loc"]})) from error
    except ValueError as error:
        raise ToolError(_mismatch(spec, [str(error)], set(properties))) from error


def not_json_error(spec: ToolSpec, invalid: Mapping[str, Any]) -> str:
    """Explain that the arguments are not a JSON object; `invalid` has the parser's `error` and the `raw` text."""
    problem = f"{invalid.get('error', 'not a JSON object')}; received: {str(invalid.get('raw', ''))[:300]}"
    return _mismatch(spec, [problem], set(inline_schema(spec.parameters)["properties"]))


def _mismatch(spec: ToolSpec, problems: list[str], names: set[str]) -> str:
    schema = inline_schema(spec.parameters)
    relevant = {key: value for key, value in schema["properties"].items() if key in names} or schema["properties"]
    expected = json.dumps({"properties": relevant, "required": schema.get("required", [])}, ensure_ascii=False)
    shown = (*problems[:MAX_ERRORS], and_more(len(problems), MAX_ERRORS))
    listed = "\n".join(f"- {problem}" for problem in shown if problem)
    return (
        f"{spec.name} did not run, because its arguments are invalid:\n{listed}\n"
        f"expected: {expected[:SCHEMA_CHARACTERS]}"
    )


@cache
def inline_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schema of a model without titles and references, which some servers do not support."""
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
