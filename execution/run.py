"""Run one tool call: arguments, policy, journal, the tool, redaction, size limit. Every tool call goes through here."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel
from rapidfuzz import process as fuzzy

from ml_intern.configs.errors import LimitReached, MLInternError, TemporaryError
from ml_intern.execution.arguments import not_json_error, parse
from ml_intern.execution.call import ToolCall, ToolError, ToolResult, failure
from ml_intern.execution.cut_off import record_cut_off
from ml_intern.execution.file_sources import file_clock, record_written
from ml_intern.execution.hooks import after_tool, before_tool
from ml_intern.execution.output import shorten
from ml_intern.execution.policy_inputs import evaluate_policy
from ml_intern.execution.process.sessions import end_processes
from ml_intern.execution.recording.call_evidence import CallRecorder
from ml_intern.execution.recording.images import new_images, possible_images
from ml_intern.execution.tool import ToolContext, ToolSpec
from ml_intern.graph.context import RunOptions
from ml_intern.graph.limits import RESULT_CHARACTERS
from ml_intern.safety.error_log import log_error
from ml_intern.safety.policy import Verdict, verdict
from ml_intern.safety.secrets.redaction import has_placeholder, redact, redact_value
from ml_intern.store.journal import JournalRow
from ml_intern.text.formatting import plural

INTERRUPTED = "the process died during this call; it may have run in part. Check its effects before you repeat it."
UNATTENDED = frozenset({"auto", "yolo"})
"""The approval modes of unattended runs."""
_LOCAL = frozenset(
    {
        "bash",
        "jobs",
        "read",
        "write",
        "edit",
        "notebook",
        "plan",
        "remember",
        "notify",
        "experiments",
        "research",
        "improve",
    }
)
"""Tools that may name a dataset they must not read: their commands do not reach the Hub."""
ALREADY_RUN = "this call already ran; its result is in the conversation"


async def judge(call: ToolCall, context: ToolContext) -> Verdict:
    """Return the policy verdict on a call under the current conditions."""
    spec = context.services.tools.get(call.name)
    ruling = await evaluate_policy(call, context, partial(verdict, call.name, call.args))
    if spec is not None and not spec.asks and ruling.kind == "ask":
        return Verdict("allow", f"{call.name} never needs approval")
    if context.options.unreadable and (why := _holdout_refusal(call, spec, context)):
        return Verdict("deny", why)
    locked = await _locked_target(call, context) if ruling.kind != "deny" else ""
    return _lock_verdict(locked, context.options) if locked else ruling


def _lock_verdict(path: str, options: RunOptions) -> Verdict:
    """Ask the user before a locked file is written; deny it in unattended mode."""
    why = f"{path} is locked, since the user said that it must not change"
    if options.approval_mode in UNATTENDED or options.child:
        return Verdict("deny", f"{why}; ask the user to change it")
    return Verdict("ask", f"{why}; a yes unlocks it")


def _holdout_refusal(call: ToolCall, spec: ToolSpec | None, context: ToolContext) -> str:
    """Return why a call could read the hold-out, or "". Commands find it empty in the sandbox."""
    if spec is None:
        return ""
    if (dataset := context.options.holdout_dataset) and (why := _dataset_refusal(call, dataset)):
        return why
    if spec.warning is not None:
        return "a thread with a hold-out does not use MCP servers, since they run outside the sandbox"
    named = [str(call.args[name]) for name in spec.path_args if call.args.get(name)]
    files = context.options.unreadable
    found = next((one for one in named for file in files if _contains(one, file, context)), "")
    return f"{found} is the hold-out of this thread, or contains it, and cannot be read" if found else ""


def _dataset_refusal(call: ToolCall, dataset: str) -> str:
    """Return why a call could read a dataset on the Hub, or "". Commands in the sandbox do not reach the Hub."""
    elsewhere = str(call.args.get("backend", "local")) != "local" or bool(call.args.get("target"))
    if call.name == "sandbox" or (call.name == "jobs" and elsewhere):
        return f"other machines could read {dataset}, which has the hold-out of this thread; run it on this machine"
    if call.name not in _LOCAL and dataset.lower() in unquote(json.dumps(call.args)).lower():
        return f"{dataset} has the hold-out of this thread and cannot be read; ask the user for its other splits"
    return ""


def _contains(name: str, file: str, context: ToolContext) -> bool:
    return Path(file).is_relative_to((context.workspace / Path(name).expanduser()).resolve())


async def _locked_target(call: ToolCall, context: ToolContext) -> str:
    """Return the locked file that a call writes, as the call names it, or ""."""
    spec = context.services.tools.get(call.name)
    if context.options.verify == "off" or spec is None or spec.result_text is None:
        return ""
    locked = await context.store.evidence.locked(context.root_id)
    named = [str(call.args[name]) for name in spec.path_args if call.args.get(name)] if locked else []
    return next((path for path in named if str((context.workspace / path).resolve()) in locked), "")


async def run_call(call: ToolCall, context: ToolContext, invalid: Mapping[str, Any] | None = None) -> ToolResult:
    """Run a call at most once and return its result. An error of the tool becomes a failed result.

    `invalid` is the parser's report when the arguments are not a JSON object. Errors of the store are raised.
    """
    began = time.monotonic()
    running = replace(context, call_id=call.id, key=call.key(context.thread_id))
    result = await _without_tool(call, running) or call_error(call, running, invalid)
    result = result or await _policy_refusal(call, running) or await before_tool(call, running)
    if result is None:
        result = await _run_once(context.services.tools[call.name], call, running)
    running.emit(
        "tool_output",
        id=call.id,
        name=call.name,
        text=result.text,
        ok=result.ok,
        status=result.status,
        seconds=round(time.monotonic() - began, 3),
        artifact=result.artifact,
        images=list(result.images_written),
    )
    await after_tool(call, result, running)
    return result


async def _without_tool(call: ToolCall, context: ToolContext) -> ToolResult | None:
    """Return the result of a call that was interrupted and whose tool is not available any more, or None."""
    if call.name in context.services.tools:
        return None
    journal, key = context.services.store.journal, call.key(context.thread_id)
    started = [row.key for row in await journal.open_calls(context.thread_id)]
    if key not in started:
        return None
    result = await _interrupted(context)
    await journal.finish(key, result.as_json())
    return result


def call_error(call: ToolCall, context: ToolContext, invalid: Mapping[str, Any] | None) -> ToolResult | None:
    """Return the failed result of a call that cannot run even if approved, or None.

    The reason is an unknown tool, invalid arguments, or a placeholder of a redacted secret.
    """
    tools = context.services.offered(context.options)
    spec = tools.get(call.name)
    if spec is None:
        similar = [name for name, _, _ in fuzzy.extract(call.name, list(tools), limit=3)]
        names = ", ".join(similar) or "none"
        return failure(f"there is no tool {call.name[:100]!r}; similar names: {names}", "invalid")
    if invalid is not None:
        return failure(not_json_error(spec, invalid), "invalid")
    if has_placeholder(call.args):
        return failure(
            "the arguments contain the placeholder of a redacted secret; use the name of its variable instead",
            "refused",
        )
    try:
        parse(spec, call.args)
    except ToolError as error:
        return failure(str(error), "invalid")
    return None


async def _policy_refusal(call: ToolCall, context: ToolContext) -> ToolResult | None:
    ruling = await judge(call, context)
    unapproved = ruling.kind == "ask" and not context.approved
    if unapproved and (failed := await certain_failure(call, context)):
        return failed
    if unapproved or ruling.kind == "deny":
        return failure(ruling.why if ruling.why.startswith("refused") else f"refused: {ruling.why}", "refused")
    if path := await _locked_target(call, context):
        await context.store.evidence.unlock(context.root_id, str((context.workspace / path).resolve()))
    return None


async def certain_failure(call: ToolCall, context: ToolContext) -> ToolResult | None:
    """Return the failed result of a valid call that cannot succeed as things are, or None. It changes nothing."""
    spec = context.services.tools[call.name]
    if spec.check is None or context.options.tool_runtime != "local":  # elsewhere, it would read other files
        return None
    try:
        await asyncio.to_thread(spec.check, parse(spec, call.args), context)
    except ToolError as error:
        return failure(str(error))
    except OSError:  # the call reports it, if it still holds then
        return None
    return None


async def run_program_call(spec: ToolSpec, call: ToolCall, context: ToolContext) -> ToolResult:
    """Run a call that the program issued, not the model: journalled and limited like any other, without approval."""
    return await _run_once(spec, call, replace(context, call_id=call.id, key=call.key(context.thread_id)))


async def _run_once(spec: ToolSpec, call: ToolCall, context: ToolContext) -> ToolResult:
    """Run the call unless the journal shows that it already ran."""
    journal, key = context.services.store.journal, call.key(context.thread_id)
    row = await journal.start(key, call.name, call.digest(context.workspace, context.sandbox_profile))
    if row is not None and row.status == "finished":
        return ToolResult.from_json(row.result) if row.result else ToolResult(ALREADY_RUN)
    if row is not None and spec.after_crash(call.args) == "report":
        result = await _interrupted(context)
        await record_cut_off(spec, call.args, context, row.began)
    else:
        _announce(call, context)
        result = await _run_recorded(spec, call, context, row)
    await journal.finish(key, result.as_json())
    context.emit("tool_state_change", id=call.id, name=call.name, state="done" if result.ok else "failed")
    return result


async def _run_recorded(spec: ToolSpec, call: ToolCall, context: ToolContext, row: JournalRow | None) -> ToolResult:
    """Run a call, and record the files that it wrote, also if it is cancelled."""
    began, reads = file_clock(), spec.only_reads(call.args)
    async with CallRecorder(spec, call, context) as recorder:
        try:
            result = await _redacted(await _run(spec, parse(spec, call.args), recorder.context, row), context)
        except asyncio.CancelledError:
            await asyncio.shield(record_cut_off(spec, call.args, context, began))
            await asyncio.shield(recorder.save(ToolResult("", ok=False, status="interrupted")))
            await asyncio.shield(context.services.store.sync())
            raise
        await recorder.save(result)
        result = await _with_images(result, call, context, recorder.written, began, reads=reads)
    await record_written(spec, result, context, began, reads=reads)
    return result


async def _with_images(
    result: ToolResult, call: ToolCall, context: ToolContext, written: Sequence[str], began: int, *, reads: bool
) -> ToolResult:
    """Return the result with the images that the call wrote on this machine."""
    if reads or context.options.tool_runtime != "local":
        return result
    texts = [*(value for value in call.args.values() if isinstance(value, str)), result.text]
    paths = possible_images(written, texts, context.workspace)
    found = await asyncio.to_thread(new_images, paths, context.roots(), began) if paths else ()
    return replace(result, images_written=tuple(map(redact, found)))


async def _interrupted(context: ToolContext) -> ToolResult:
    """Return the result of a call interrupted by a crash, and terminate its processes, whose output is lost."""
    count = await end_processes(None, context.mark)
    ended = f" {plural(count, 'process')} still running, now terminated." if count else ""
    return failure(f"interrupted: {INTERRUPTED}{ended}", "interrupted")


def _announce(call: ToolCall, context: ToolContext) -> None:
    context.emit("tool_call", id=call.id, name=call.name, args=redact_value(call.args), message_id=call.message_id)
    context.emit("tool_state_change", id=call.id, name=call.name, state="running")


async def _run(spec: ToolSpec, args: BaseModel, context: ToolContext, row: JournalRow | None) -> ToolResult:
    limit = asyncio.timeout(spec.timeout)
    try:
        async with limit:
            return _to_result(spec, await _call_handler(spec, args, context, row))
    except ToolError as error:
        return replace(failure(str(error)), taint=error.taint)
    except (TemporaryError, LimitReached):
        raise
    except MLInternError as error:
        return failure(str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001 any error of a tool is reported to the model
        if limit.expired():
            return failure(f"timed out after {spec.timeout:g} s and was stopped; it may have run in part", "timeout")
        logged = await asyncio.to_thread(log_error, context.services.store.home, context.thread_id, error)
        return failure(logged.message)


async def _call_handler(spec: ToolSpec, args: BaseModel, context: ToolContext, row: JournalRow | None) -> object:
    if row is not None and row.handle and spec.reattach is not None:
        return await spec.reattach(row.handle, args, context)
    return await spec.handler(args, context)


def _to_result(spec: ToolSpec, returned: object) -> ToolResult:
    """Return a handler's result as a ToolResult. Raises TypeError for anything but text or a ToolResult."""
    if isinstance(returned, str):
        return ToolResult(returned)
    if isinstance(returned, ToolResult):
        return returned
    raise TypeError(f"the tool {spec.name} returned {type(returned).__name__}, not text or a ToolResult")


async def _redacted(result: ToolResult, context: ToolContext) -> ToolResult:
    """Return the result for the conversation: secrets redacted, long text moved to an artifact file."""
    if len(result.text) > RESULT_CHARACTERS:
        return await asyncio.to_thread(_shortened, result, context)
    return _shortened(result, context)


def _shortened(result: ToolResult, context: ToolContext) -> ToolResult:
    path = context.artifact_path(".full.txt")
    text, saved = shorten(redact(result.text), path)
    return replace(result, text=text, artifact=result.artifact or (str(path) if saved else None))
