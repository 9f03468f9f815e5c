"""Operations, events and errors as JSON. WIRE is the version of the format; a test freezes its schema."""

import json
import re
from dataclasses import asdict, fields
from functools import cache
from typing import Any, cast, get_args

from pydantic import TypeAdapter, ValidationError

from ml_intern.configs import errors
from ml_intern.configs.errors import MLInternError, UsageError
from ml_intern.graph import operations as ops
from ml_intern.graph.events import Event
from ml_intern.session.wire.link import WIRE as WIRE

MAX_LINE = 16 * 1024 * 1024
"""Length of a line that a client may send, in bytes."""
INTERNAL = (ops.Settle, ops.Wake, ops.Disconnected, ops.Deliver)
"""Operations that only the session submits."""
MAX_PROBLEMS = 3
IMAGE_TYPES = "image/png, image/jpeg, image/gif or image/webp"
IMAGE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+\Z")


def tag(name: str) -> str:
    """Return the name of a class as the format writes it: UserInput -> user_input."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


TAGS: dict[type, str] = {one: tag(one.__name__) for one in get_args(ops.Operation)} | {ops.ToolReply: "tool_result"}
"""The name of each operation."""
OPERATIONS: dict[str, type] = {name: one for one, name in TAGS.items() if one not in INTERNAL}
ERRORS: dict[str, type[MLInternError]] = {
    tag(name): one for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, MLInternError)
}


@cache
def adapter(type: Any) -> TypeAdapter[Any]:
    """Return the validator of a type."""
    return TypeAdapter(type)


def line(value: Any) -> bytes:
    """Return one line of JSON, in ASCII. Numbers that JSON does not have become null."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        text = json.dumps(json.loads(json.dumps(value), parse_constant=lambda _: None))
    return text.encode() + b"\n"


def parse(text: bytes) -> dict[str, Any]:
    """Parse one line. Raises UsageError."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the line is not valid JSON: {error}", "send one JSON object per line") from error
    if not isinstance(value, dict):
        raise UsageError("the line is not a JSON object", "send one JSON object per line")
    return cast(dict[str, Any], value)


def checked(type: Any, value: Any, what: str) -> Any:
    """Validate a JSON value strictly and return it as `type`. Raises UsageError."""
    try:
        return adapter(type).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise UsageError(f"{what}: {_problems(error)}", "see docs/wire.md and docs/reference/events.md") from error


def _problems(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[:MAX_PROBLEMS]
    return "; ".join(": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"]))) for one in found)


def encode_operation(operation: ops.Operation) -> dict[str, Any]:
    """Return an operation as a JSON object."""
    kind = cast(Any, type(operation))
    return {"type": TAGS[kind], **adapter(kind).dump_python(operation, mode="json")}


def decode_operation(value: Any) -> ops.Operation:
    """Return the operation that a JSON object describes. Raises UsageError."""
    name = value.get("type") if isinstance(value, dict) else None
    found = OPERATIONS.get(name) if isinstance(name, str) else None
    if found is None:
        raise UsageError(f"unknown operation {str(name)[:100]!r}", f"the operations are {', '.join(OPERATIONS)}")
    given = {key: one for key, one in value.items() if key != "type"}
    if unknown := set(given) - {field.name for field in fields(found)}:
        raise UsageError(f"{name} has no field {sorted(unknown)[0][:100]!r}", "see docs/wire.md")
    operation = cast(ops.Operation, checked(found, given, str(name)))
    for image in getattr(operation, "images", ()):
        if not IMAGE.match(image):  # a provider's library would fetch an address, from this machine
            raise UsageError(f"{name}: an image is not a data URL of {IMAGE_TYPES}", "see docs/wire.md")
    return operation


def decode_event(value: Any) -> Event:
    """Return the event that a JSON object describes. Raises UsageError."""
    return cast(Event, checked(Event, value, "event"))


def encode_event(event: Event) -> dict[str, Any]:
    """Return an event as a JSON object, in the form of stream-json."""
    return asdict(event)


def encode_error(error: MLInternError, code: str = "") -> dict[str, Any]:
    """Return an error as a JSON object. `code` is the name of its class unless given."""
    return {
        "code": code or tag(type(error).__name__),
        "message": error.message,
        "remedy": error.remedy,
        "exit_code": error.exit_code,
    }


def decode_error(value: dict[str, Any]) -> MLInternError:
    """Return the error that a JSON object describes; an unknown code is an MLInternError."""
    return ERRORS.get(str(value.get("code")), MLInternError)(str(value.get("message")), str(value.get("remedy", "")))
