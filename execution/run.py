"""Running one call: arguments, policy, journal, the tool itself, redaction, size. Nobody else runs a tool."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import BaseModel
from rapidfuzz import process as fuzzy

from ml_intern.configs.errors import LimitReached, MLInternError, TemporaryError
from ml_intern.execution.arguments import malformed, parse
from ml_intern.execution.call import ToolCall, ToolError, ToolResult, failure
from ml_intern.execution.output import shorten
from ml_intern.execution.policy_inputs import with_policy_context
from ml_intern.execution.process.sessions import end_all
from ml_intern.execution.tool import ToolContext, ToolSpec
from ml_intern.graph.limits import RESULT_CHARACTERS
from ml_intern.safety.error_log import log_error
from ml_intern.safety.policy import Verdict, verdict
from ml_intern.safety.secrets.redaction import has_placeholder, redact
from ml_intern.store.journal import JournalRow

LOST = "the process died while this ran; it may have run in part. Check what it left before you repeat it."
FORGOTTEN = "this call ran before; its result is already in the conversation"


async def judge(call: ToolCall, context: ToolContext) -> Verdict:
    """What policy says to a call, from the facts as they are now."""
    spec = context.services.tools.get(call.name)
    said = await with_policy_context(call, context, partial(verdict, call.name, call.args))
    if spec is not None and not spec.asks and said.kind == "ask":
        return Verdict("allow", f"{call.name} is never asked about")
    return said


async def run_call(call: ToolCall, context: ToolContext, invalid: Mapping[str, Any] | None = None) -> ToolResult:
    """Run a call at most once and return its result; a fault of the tool becomes a failed result.

    `invalid` holds the parser's words when the arguments were no JSON object. Errors of the store are raised.
    """
    began = time.monotonic()
    running = replace(context, call_id=call.id, key=call.key(context.thread_id))
    result = unusable(call, running, invalid) or await _refused(call, running)
    if result is None:
        result = await _once(call, running)
    running.emit(
        "tool_output",
        id=call.id,
        name=call.name,
        text=result.text,
        ok=result.ok,
        status=result.status,
        seconds=round(time.monotonic() - began, 3),
        artifact=result.artifact,
    )
    return result


def unusable(call: ToolCall, context: ToolContext, invalid: Mapping[str, Any] | None) -> ToolResult | None:
    """Why the call cannot run whatever anybody says to it, or None: unknown tool, arguments that do not fit."""
    tools = context.services.offered(context.options)
    spec = tools.get(call.name)
    if spec is None:
        nearest = [name for name, _, _ in fuzzy.extract(call.name, list(tools), limit=3)]
        known = ", ".join(nearest) or "none"
        return failure(f"there is no tool {call.name[:100]!r}; the nearest are {known}", "invalid")
    if invalid is not None:
        return failure(malformed(spec, invalid), "invalid")
    if has_placeholder(call.args):
        return failure("the arguments hold a placeholder of a redacted secret; name the variable instead", "refused")
    try:
        parse(spec, call.args)
    except ToolError as fault:
        return failure(str(fault), "invalid")
    return None


async def _refused(call: ToolCall, context: ToolContext) -> ToolResult | None:
    said = await judge(call, context)
    if said.kind == "deny" or (said.kind == "ask" and not context.approved):
        return failure(f"refused: {said.why}", "refused")
    return None


async def _once(call: ToolCall, context: ToolContext) -> ToolResult:
    """Run the call unless the journal knows that it ran."""
    spec = context.services.tools[call.name]
    journal, key = context.services.store.journal, call.key(context.thread_id)
    row = await journal.start(key, call.name, call.digest(context.workspace, context.sandbox_profile))
    if row is not None and row.status == "finished":
        return ToolResult.from_json(row.result) if row.result else ToolResult(FORGOTTEN)
    if row is not None and spec.after_crash(call.args) == "report":
        result = await _lost(context)
    else:
        _announce(call, context)
        result = await _admitted(await _run(spec, parse(spec, call.args), context, row), context)
    await journal.finish(key, result.as_json())
    context.emit("tool_state_change", id=call.id, name=call.name, state="done" if result.ok else "failed")
    return result


async def _lost(context: ToolContext) -> ToolResult:
    """What to say of a call the process died in. Processes that outlived it end here: nobody reads them any more."""
    left = await end_all(None, context.mark)
    ended = f" {left} process(es) of it still ran and were ended." if left else ""
    return failure(f"interrupted: {LOST}{ended}", "interrupted")


def _announce(call: ToolCall, context: ToolContext) -> None:
    context.emit("tool_call", id=call.id, name=call.name, args=_admitted_value(call.args), message_id=call.message_id)
    context.emit("tool_state_change", id=call.id, name=call.name, state="running")


def _admitted_value(value: Any) -> Any:
    """A JSON value with secrets replaced in its strings."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _admitted_value(item) for key, item in value.items()}
    return [_admitted_value(item) for item in value] if isinstance(value, list | tuple) else value


async def _run(spec: ToolSpec, args: BaseModel, context: ToolContext, row: JournalRow | None) -> ToolResult:
    limit = asyncio.timeout(spec.timeout)
    try:
        async with limit:
            return _result_of(spec, await _handled(spec, args, context, row))
    except ToolError as fault:
        return replace(failure(str(fault)), taint=fault.taint)
    except (TemporaryError, LimitReached):
        raise
    except MLInternError as error:
        return failure(str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 whatever a tool raises is told to the model
        if limit.expired():
            return failure(f"timed out after {spec.timeout:g} s and was stopped; it may have run in part", "timeout")
        logged = await asyncio.to_thread(log_error, context.services.store.home, context.thread_id, error)
        return failure(logged.message)


async def _handled(spec: ToolSpec, args: BaseModel, context: ToolContext, row: JournalRow | None) -> object:
    if row is not None and row.handle and spec.reattach is not None:
        return await spec.reattach(row.handle, args, context)
    return await spec.handler(args, context)


def _result_of(spec: ToolSpec, given: object) -> ToolResult:
    """The result a handler gave; nothing but text and a ToolResult is one. Raises TypeError."""
    if isinstance(given, str):
        return ToolResult(given)
    if isinstance(given, ToolResult):
        return given
    raise TypeError(f"the tool {spec.name} returned {type(given).__name__}, not text or a ToolResult")


async def _admitted(result: ToolResult, context: ToolContext) -> ToolResult:
    """The result as it may enter the conversation: secrets replaced, long text in an artifact file."""
    if len(result.text) > RESULT_CHARACTERS:
        return await asyncio.to_thread(_kept, result, context)
    return _kept(result, context)


def _kept(result: ToolResult, context: ToolContext) -> ToolResult:
    path = context.artifact_path(".full.txt")
    text, kept = shorten(redact(result.text), path)
    return replace(result, text=text, artifact=result.artifact or (str(path) if kept else None))
