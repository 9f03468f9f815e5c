"""Run the user's hooks: commands that get an event as JSON. They are not sandboxed; the agent must not change them."""

import asyncio
import json
import os
import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from ml_intern.execution.call import ToolCall, ToolResult, failure
from ml_intern.execution.process.environment import bash_path, child_environment
from ml_intern.execution.process.sessions import end_processes
from ml_intern.execution.tool import ToolContext
from ml_intern.graph.context import RunOptions
from ml_intern.graph.events import Emit
from ml_intern.safety.secrets.redaction import redact, redact_value
from ml_intern.text.visible import visible

REFUSED = 2
"""The exit code of a hook that refuses a call."""
MAX_REASON = 2_000
GRACE_SECONDS = 1.0
HookName = Literal["before_tool", "after_tool", "at_stop", "on_question"]


@dataclass(frozen=True)
class HookEnd:
    """The end of a hook: its status as in the event `hook`, and its reason."""

    command: str
    status: Literal["ok", "refused", "failed"]
    text: str = ""


async def before_tool(call: ToolCall, context: ToolContext) -> ToolResult | None:
    """Run the hooks before a call. Return the failed result of a call that one refuses, or that one could not judge."""
    for hook in _hooks("before_tool", context.options, call.name):
        await context.store.sync()  # a hook may have effects
        end = await _run_hook("before_tool", hook, _about(call, context), context.options, context.emit)
        if end.status == "refused":
            return failure(f"refused by a hook of the user: {end.text or end.command}", "refused")
        if end.status == "failed":
            return failure(f"not run, because the hook {end.command!r} failed: {end.text}; ask the user", "refused")
    return None


async def after_tool(call: ToolCall, result: ToolResult, context: ToolContext) -> None:
    """Run the hooks after a call."""
    for hook in _hooks("after_tool", context.options, call.name):
        about = {"ok": result.ok, "status": result.status, "text": result.text, "artifact": result.artifact}
        event = {**_about(call, context), "result": about}
        await _run_hook("after_tool", hook, event, context.options, context.emit)


async def run_hooks(name: HookName, event: Mapping[str, Any], options: RunOptions, emit: Emit) -> list[HookEnd]:
    """Run the hooks that do not belong to a call, one after the other. Return their ends."""
    return [await _run_hook(name, hook, event, options, emit) for hook in _hooks(name, options)]


def _hooks(name: HookName, options: RunOptions, tool: str = "") -> list[Mapping[str, Any]]:
    found = options.hooks.get(name, ())
    return [hook for hook in found if not tool or any(fnmatchcase(tool, pattern) for pattern in hook["tools"])]


def _about(call: ToolCall, context: ToolContext) -> dict[str, Any]:
    return {"thread_id": context.thread_id, "id": call.id, "tool": call.name, "args": redact_value(call.args)}


async def _run_hook(
    name: HookName, hook: Mapping[str, Any], event: Mapping[str, Any], options: RunOptions, emit: Emit
) -> HookEnd:
    began = time.monotonic()
    given = {"hook": name, "cwd": options.workspace, "approval_mode": options.approval_mode, **event}
    end = _within_reach(hook["command"], options) or await _end_of(hook, json.dumps(given).encode())
    seconds, tool = round(time.monotonic() - began, 3), event.get("tool", "")
    emit("hook", hook=name, command=end.command, tool=tool, seconds=seconds, status=end.status, text=end.text)
    return end


def _within_reach(command: str, options: RunOptions) -> HookEnd | None:
    """Return the failure of a hook that names a file which the agent can change."""
    folders = [os.path.realpath(folder) for folder in (options.workspace, *options.add_dirs)]
    found = next((word for word in _words(command) if _is_in(word, folders)), "")
    if not found:
        return None
    problem = f"{found} is in the working folder, where the agent can change it; move it elsewhere"
    return HookEnd(redact(command), "failed", problem)


def _words(command: str) -> Iterable[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _is_in(word: str, folders: Iterable[str]) -> bool:
    path = Path(os.path.realpath(Path.home() / os.path.expandvars(Path(word).expanduser())))
    return path.exists() and any(path.is_relative_to(folder) and path != Path(folder) for folder in folders)


async def _end_of(hook: Mapping[str, Any], event: bytes) -> HookEnd:
    """Start a hook and wait for its end."""
    command, limit, pipe = redact(hook["command"]), float(hook["timeout_s"]), asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *(bash_path(), "-c", hook["command"]),
            cwd=Path.home(),
            env=child_environment(os.environ, sandboxed=False),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
    except OSError as error:
        return HookEnd(command, "failed", f"it could not be started: {error.strerror}")
    try:
        async with asyncio.timeout(limit):
            out, errors = await process.communicate(event)
    except TimeoutError:
        return HookEnd(command, "failed", f"it was stopped after {limit:g} s")
    finally:
        await end_processes(process.pid, grace=GRACE_SECONDS)
        await process.wait()
    text = redact(visible((errors.strip() or out.strip()).decode(errors="replace")))[:MAX_REASON]
    if process.returncode == 0:
        return HookEnd(command, "ok", text)
    if process.returncode == REFUSED:
        return HookEnd(command, "refused", text)
    return HookEnd(command, "failed", f"exit code {process.returncode}{f': {text}' if text else ''}")
