"""The input of a run of LangGraph's server: the user's message and options of the run."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import convert_to_messages
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from ml_intern.configs.errors import UsageError
from ml_intern.graph.context import RunOptions
from ml_intern.graph.limits import ApprovalMode, Effort
from ml_intern.graph.state import is_user_message

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

STRICT_FIRST: tuple[ApprovalMode, ...] = ("plan", "ask", "accept-edits", "auto", "yolo")
EXAMPLE = '{"messages": [{"role": "user", "content": "..."}]}'


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class StudioChoices:
    """The context of a run. Omitted fields take the value that the server was started with."""

    model: str | None = None
    approval_mode: ApprovalMode | None = None
    max_iterations: int | None = None
    max_budget_usd: float | None = None
    effort: Effort | None = None


def given_choices(context: Any) -> Mapping[str, Any]:
    """Return the given options by the names of RunOptions. Raises UsageError."""
    try:
        chosen = TypeAdapter(StudioChoices).validate_python(context or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"the run's context is not valid: {name}: {first['msg']}", "omit it to use the default"
        ) from error
    return {name: value for name, value in vars(chosen).items() if value is not None}


def check_not_weaker(chosen: Mapping[str, Any], started: RunOptions) -> None:
    """Check that a run is at least as strict as the server was started with. Raises UsageError."""
    mode = chosen.get("approval_mode", started.approval_mode)
    if STRICT_FIRST.index(mode) > STRICT_FIRST.index(started.approval_mode):
        raise _weaker("approval_mode", mode, started.approval_mode)
    for name in ("max_iterations", "max_budget_usd"):
        limit, given = getattr(started, name), chosen.get(name)
        if given is not None and _as_limit(given) > _as_limit(limit):
            raise _weaker(name, given, limit)


def _as_limit(number: float) -> float:
    """Return a limit for comparison. Every negative number and NaN count as unlimited."""
    return number if number >= 0 else math.inf


def _weaker(name: str, given: Any, limit: Any) -> UsageError:
    option = "--" + name.replace("_", "-")
    return UsageError(
        f"{name} {given} is weaker than the server's {limit}", f"start it with: ml-intern studio {option} {given}"
    )


def users_text(given: Any) -> str:
    """Return the user's text from the input of a run, which looks like EXAMPLE. Raises UsageError."""
    unusable = UsageError("the input of a run must be a text message of the user", f"send {EXAMPLE}")
    if not isinstance(given, Mapping) or any(value for key, value in given.items() if key != "messages"):
        raise unusable
    sent = given.get("messages") or []
    try:
        messages = cast("list[AnyMessage]", convert_to_messages(sent if isinstance(sent, list) else [sent]))
    except (ValueError, NotImplementedError, KeyError, TypeError) as error:
        raise unusable from error
    if not messages or any(not is_user_message(message) or not _is_text(message.content) for message in messages):
        raise unusable
    return "\n\n".join(message.text for message in messages)


def _is_text(content: str | list[str | dict[str, Any]]) -> bool:
    blocks = [] if isinstance(content, str) else content
    return all(isinstance(block, str) or block.get("type") == "text" for block in blocks)
