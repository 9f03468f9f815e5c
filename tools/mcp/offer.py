"""What a server says of one tool: the name and the parameters the model is given, and a digest of all of it."""

import hashlib
import json
import re
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
_OTHER = re.compile(r"[^A-Za-z0-9_-]")
_WORDS = ("description", "title", "$comment", "examples", "default")
_SLOW = ("pattern", "patternProperties", "format")
"""Not checked here: a stranger's regular expression may take for ever. The server checks its own arguments."""


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
        """The tool's name for the model, within what models take: mcp__server__tool."""
        return tool_name(self.server, self.tool)


def tool_name(server: str, tool: str) -> str:
    """mcp__server__tool; what is changed or too long for a model ends in a part of its hash."""
    given = f"{PREFIX}__{server}__{tool}"
    name = _OTHER.sub("_", given)
    if name == given and len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - 9]}_{hashlib.sha256(given.encode()).hexdigest()[:8]}"


def offer_of(server: str, tool: "BaseTool") -> Offer | None:
    """The offer, or None when its parameters cannot be used: no schema of an object, or one too large."""
    schema = tool.args_schema if isinstance(tool.args_schema, dict) else {}
    written = json.dumps(schema, sort_keys=True)
    if schema.get("type", "object") != "object" or len(written) > MAX_SCHEMA or not _is_sound(schema):
        return None
    digest = hashlib.sha256(json.dumps([tool.name, tool.description, written]).encode()).hexdigest()
    shown = json.loads(redact(visible(json.dumps(schema, ensure_ascii=False))))
    return Offer(server, tool.name, visible(redact(tool.description))[:MAX_DESCRIPTION], shown, digest)


def _is_sound(schema: dict[str, Any]) -> bool:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return False
    return True


def parameters_of(offer: Offer, *, wordless: bool = False) -> type[BaseModel]:
    """A model of its arguments that checks them by the server's schema; `wordless` leaves the server's words out."""
    schema = _without(offer.schema, _WORDS) if wordless else offer.schema
    return type("ServerArgs", (_ServerArgs,), {"given_schema": schema, "__module__": __name__})


class _ServerArgs(BaseModel):
    """Arguments by a schema of a stranger's. The arguments are handed on as they came."""

    given_schema: ClassVar[dict[str, Any]] = {}
    arguments: dict[str, Any] = {}

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """The server's schema, its definitions where this program looks for them."""
        schema: dict[str, Any] = {"type": "object", **cls.given_schema}
        schema.pop("$schema", None)
        return {**schema, "$defs": {**schema.pop("definitions", {}), **schema.get("$defs", {})}}

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **_: Any) -> "_ServerArgs":
        """Raises ValueError with the words of the validator. No schema is fetched."""
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import ValidationError
        from referencing import Registry
        from referencing.exceptions import Unresolvable

        arguments = json.loads(json_data)
        schema = _without(cls.given_schema, _SLOW)
        try:
            Draft202012Validator(schema, registry=Registry()).validate(arguments)
        except ValidationError as error:
            where = ".".join(map(str, error.absolute_path))
            raise ValueError(f"{where or 'arguments'}: {error.message[:300]}") from error
        except (Unresolvable, RecursionError) as error:
            raise ValueError("the server's own description of the arguments cannot be used") from error
        return cls(arguments=arguments)


def _without(node: Any, keys: tuple[str, ...], *, names: bool = False) -> Any:
    """A schema without these keywords; `names` says that the keys of this object are names, not keywords."""
    if isinstance(node, list):
        return [_without(item, keys) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without(value, keys, names=not names and key in ("properties", "$defs", "definitions"))
        for key, value in node.items()
        if names or key not in keys
    }
