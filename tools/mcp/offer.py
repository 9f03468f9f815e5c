"""A tool as its server describes it: the name and parameters shown to the model, and a digest of the description."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

from ml_intern.safety.secrets.redaction import redact
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

PREFIX = "mcp"
MAX_NAME = 64
MAX_DESCRIPTION = 4_000
MAX_SCHEMA = 50_000
_INVALID = re.compile(r"[^A-Za-z0-9_-]")
_TEXT_KEYS = ("description", "title", "$comment", "examples", "default")
_SKIPPED_KEYS = ("pattern", "patternProperties", "format")
"""Keywords not checked here: an untrusted regular expression could take forever. The server checks them itself."""


@dataclass(frozen=True)
class Offer:
    """One tool of one server."""

    server: str
    tool: str
    description: str
    schema: dict[str, Any]
    digest: str

    @property
    def name(self) -> str:
        """The tool's name for the model: mcp__server__tool, in the characters and length models accept."""
        return tool_name(self.server, self.tool)


def tool_name(server: str, tool: str) -> str:
    """Return mcp__server__tool; a name with invalid characters or too long ends in part of its hash."""
    original = f"{PREFIX}__{server}__{tool}"
    name = _INVALID.sub("_", original)
    if name == original and len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - 9]}_{hashlib.sha256(original.encode()).hexdigest()[:8]}"


def make_offer(server: str, tool: "BaseTool") -> Offer | None:
    """Return the tool's offer, or None when its schema is not an object, is invalid or is too large."""
    schema = tool.args_schema if isinstance(tool.args_schema, dict) else {}
    return described(server, tool.name, tool.description, schema)


def described(server: str, name: str, description: str, schema: Mapping[str, Any]) -> Offer | None:
    """Return the offer of a tool, or None when its schema is not an object, is invalid or is too large."""
    written = json.dumps(schema, sort_keys=True)
    if schema.get("type", "object") != "object" or len(written) > MAX_SCHEMA or not _is_sound(schema):
        return None
    digest = hashlib.sha256(json.dumps([name, description, written]).encode()).hexdigest()
    shown = json.loads(redact(visible(json.dumps(schema, ensure_ascii=False))))
    return Offer(server, name, visible(redact(description))[:MAX_DESCRIPTION], shown, digest)


def _is_sound(schema: Mapping[str, Any]) -> bool:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return False
    return True


def parameters_of(offer: Offer, *, without_text: bool = False) -> type[BaseModel]:
    """Return a model that validates arguments with the server's schema; `without_text` removes the server's texts."""
    schema = _remove_keys(offer.schema, _TEXT_KEYS) if without_text else offer.schema
    return type("ServerArgs", (_ServerArgs,), {"given_schema": schema, "__module__": __name__})


class _ServerArgs(BaseModel):
    """Arguments validated by a server's schema and passed on unchanged."""

    given_schema: ClassVar[dict[str, Any]] = {}
    arguments: dict[str, Any] = {}

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the server's schema, with its definitions under `$defs`."""
        schema: dict[str, Any] = {"type": "object", **cls.given_schema}
        schema.pop("$schema", None)
        return {**schema, "$defs": {**schema.pop("definitions", {}), **schema.get("$defs", {})}}

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **_: Any) -> "_ServerArgs":
        """Validate the arguments without fetching schemas. Raises ValueError with the validator's message."""
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import ValidationError
        from referencing import Registry
        from referencing.exceptions import Unresolvable

        arguments = json.loads(json_data)
        schema = _remove_keys(cls.given_schema, _SKIPPED_KEYS)
        try:
            Draft202012Validator(schema, registry=Registry()).validate(arguments)
        except ValidationError as error:
            where = ".".join(map(str, error.absolute_path))
            raise ValueError(f"{where or 'arguments'}: {error.message[:300]}") from error
        except (Unresolvable, RecursionError) as error:
            raise ValueError("the server's schema of the arguments is invalid") from error
        return cls(arguments=arguments)


def _remove_keys(node: Any, keys: tuple[str, ...], *, names: bool = False) -> Any:
    """Remove keywords from a schema. `names` means that the keys of this object are names, not keywords."""
    if isinstance(node, list):
        return [_remove_keys(item, keys) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _remove_keys(value, keys, names=not names and key in ("properties", "$defs", "definitions"))
        for key, value in node.items()
        if names or key not in keys
    }
