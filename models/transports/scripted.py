"""The scripted model: replies from a YAML file, for the demo and tests. It needs no key and no network."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml_intern.configs.errors import ConfigurationError, ModelFailed
from ml_intern.models.errors import HttpAnswer, error_of
from ml_intern.models.request import CallPart, ModelRequest, ReplyPart, Usage
from ml_intern.models.routing import Route
from ml_intern.models.transports.base import Trimming
from ml_intern.text.formatting import plural

_INSERT = re.compile(r"\$\{result:((?:[^{}]|\{[^{}]*\})+)\}")
_PIECE = re.compile(r"\S+\s*|\s+")


class ScriptedCall(BaseModel):
    """A tool call of a step."""

    model_config = ConfigDict(extra="forbid")
    name: str
    args: dict[str, Any] = {}


class ScriptedUsage(BaseModel):
    """The usage that a step reports; the cost is in US dollars."""

    model_config = ConfigDict(extra="forbid")
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float = 0.0


class ScriptedError(BaseModel):
    """An HTTP error before the step's reply, `times` times per process."""

    model_config = ConfigDict(extra="forbid")
    status: int
    message: str = ""
    retry_after: float | None = None
    times: int = 1


class ScriptStep(BaseModel):
    """One reply. The latest tool results must contain `expect`; `delay` is in seconds.

    A step with `summary` is not a reply of the conversation but the summary for compaction.
    """

    model_config = ConfigDict(extra="forbid")
    text: str = ""
    reasoning: str = ""
    tool_calls: list[ScriptedCall] = Field(default_factory=list)
    usage: ScriptedUsage | None = None
    delay: float = 0
    error: str | ScriptedError | None = None
    expect: str | None = None
    finish: str | None = None
    summary: str | None = None


class ScriptedTransport:
    """Replays scripts. The request names the step. A run fails when the script has no more steps."""

    def __init__(self) -> None:
        self._scripts: dict[str, list[ScriptStep]] = {}
        self._errors_raised: dict[tuple[str, int], int] = {}

    async def stream(self, route: Route, request: ModelRequest, trimming: Trimming) -> AsyncGenerator[ReplyPart]:  # noqa: ARG002
        """Yield the fragments of the step's reply, word by word when streamed."""
        if route.name not in self._scripts:
            self._scripts[route.name] = load_script(Path(route.name))
        if request.source == "compaction":
            yield _summary(self._scripts[route.name])
            return
        steps, place = [step for step in self._scripts[route.name] if step.summary is None], _place(request)
        if place >= len(steps):
            raise ModelFailed(
                f"the script {route.name} has {plural(len(steps), 'step')} and no step {place + 1}", "add a step to it"
            )
        step = steps[place]
        _check_expected(step, place, route, request.messages)
        self._raise_error(step, place, route)
        await asyncio.sleep(step.delay)
        for part in _reply(step, request):
            yield part

    def _raise_error(self, step: ScriptStep, place: int, route: Route) -> None:
        if isinstance(step.error, str):
            raise ModelFailed(f"step {place + 1} of the script {route.name}: {step.error}")
        if step.error is None:
            return
        played = self._errors_raised.get((route.name, place), 0)
        if played < step.error.times:
            self._errors_raised[route.name, place] = played + 1
            raise error_of(_http_answer(step.error), route)

    async def close(self) -> None:
        """Do nothing: there is no connection."""


def load_script(path: Path) -> list[ScriptStep]:
    """Return the steps of a script file. Raises ConfigurationError, in one line, for an invalid file."""
    try:
        data = yaml.safe_load(path.expanduser().read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the script {path}: {error.strerror}", "check the path after scripted:"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the script {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, list):
        raise ConfigurationError(f"the script {path} is not a list of steps")
    return [_step(item, number, path) for number, item in enumerate(data, start=1)]


def _step(item: Any, number: int, path: Path) -> ScriptStep:
    try:
        return ScriptStep.model_validate(item)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"the script {path}, step {number}: {place or 'step'}: {first['msg']}") from error


def _summary(steps: Sequence[ScriptStep]) -> ReplyPart:
    """Return the script's summary. Without one, an empty reply, so that the conversation is truncated instead."""
    return ReplyPart(text=next((step.summary for step in steps if step.summary), ""), finish="stop")


def _place(request: ModelRequest) -> int:
    if request.step is not None:
        return request.step
    return sum(isinstance(message, AIMessage) for message in request.messages)


def _check_expected(step: ScriptStep, place: int, route: Route, messages: Sequence[AnyMessage]) -> None:
    if step.expect is None:
        return
    latest: list[str] = []
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            break
        if isinstance(message, ToolMessage):
            latest.append(str(message.content))
    if not any(step.expect in text for text in latest):
        raise ModelFailed(
            f"step {place + 1} of the script {route.name} expects {step.expect!r} in the last tool result"
        )


def _reply(step: ScriptStep, request: ModelRequest) -> list[ReplyPart]:
    text: str = filled(step.text, request.messages)
    pieces = _PIECE.findall(text) if request.stream else [text]
    calls = tuple(_call(index, call, request.messages) for index, call in enumerate(step.tool_calls))
    end = ReplyPart(calls=calls, finish=step.finish or "stop", usage=_usage(step.usage))
    return [ReplyPart(reasoning=step.reasoning), *(ReplyPart(text=piece) for piece in pieces), end]


def _call(index: int, call: ScriptedCall, messages: Sequence[AnyMessage]) -> CallPart:
    return CallPart(index, None, call.name, json.dumps(filled(call.args, messages)))


def filled(value: Any, messages: Sequence[AnyMessage]) -> Any:
    """Replace ${result:REGEX} in the strings of `value` from the latest tool result that matches.

    The replacement is the first group of REGEX, or the whole match. Raises ModelFailed when no result matches.
    """
    if isinstance(value, str):
        return _INSERT.sub(lambda found: _from_results(found[1], messages), value)
    if isinstance(value, list):
        return [filled(item, messages) for item in value]
    if isinstance(value, Mapping):
        return {key: filled(item, messages) for key, item in value.items()}
    return value


def _from_results(pattern: str, messages: Sequence[AnyMessage]) -> str:
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise ModelFailed(f"the script's ${{result:{pattern}}} is not a regular expression: {error}") from error
    for message in reversed(messages):
        if isinstance(message, ToolMessage) and (found := wanted.search(str(message.content))):
            return found[1] if wanted.groups else found[0]
    raise ModelFailed(f"no tool result matches the script's ${{result:{pattern}}}")


def _usage(usage: ScriptedUsage | None) -> Usage | None:
    return Usage(**usage.model_dump()) if usage else None


def _http_answer(error: ScriptedError) -> HttpAnswer:
    headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return HttpAnswer(error.status, headers, error.model_dump_json(include={"message"}).encode())
