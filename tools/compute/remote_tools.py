"""bash, read, write and edit in the thread's Hugging Face sandbox, for `--tool-runtime sandbox`.

The first call starts the sandbox. If the sandbox was lost, the next call only reports that.
"""

import asyncio
from dataclasses import replace
from typing import Any
from weakref import WeakValueDictionary

from ml_intern.execution.call import ToolResult
from ml_intern.execution.tool import ToolContext, ToolSpec
from ml_intern.runs.backends.hub_sandbox import WORKSPACE, MachineRequest, Sandboxes, machine_of, sandboxes_of
from ml_intern.runs.backends.sandbox_records import SandboxRecord
from ml_intern.runs.launch import start_run
from ml_intern.runs.plan import planned
from ml_intern.runs.summary import started_text
from ml_intern.tools.compute.remote_bash import run_remote_bash
from ml_intern.tools.compute.remote_files import run_on_copy
from ml_intern.tools.local.bash import bash
from ml_intern.tools.local.edit import edit
from ml_intern.tools.local.read import read
from ml_intern.tools.local.write import write

_WHERE = (
    f"It works in this thread's Hugging Face sandbox, a remote machine with the folder {WORKSPACE}. The user's files "
    "are not there; copy files to it and back with the tool sandbox."
)
_LOCKS: "WeakValueDictionary[str, asyncio.Lock]" = WeakValueDictionary()
"""One lock per thread: while one call starts the sandbox, the others wait."""


def remote_tools() -> dict[str, ToolSpec]:
    """Return the four tools by name, to replace the local ones."""
    files = {
        spec.name: replace(spec, handler=_file_handler(spec), description=_describe(spec))
        for spec in (read, write, edit)
    }
    return {"bash": replace(bash, handler=_bash, description=_describe(bash)), **files}


def _describe(spec: ToolSpec) -> str:
    return f"{spec.description}\n\n{_WHERE}"


async def _bash(args: Any, context: ToolContext) -> ToolResult:
    sandboxes = sandboxes_of(context.services.store)
    record = await _sandbox(sandboxes, context)
    if not args.background:
        return await run_remote_bash(args, sandboxes, record, context)
    secrets = tuple(args.secrets)
    plan = await planned(context, backend="sandbox", command=args.command, secrets=secrets, limit_s=args.seconds)
    return started_text(await start_run(plan, context, only_scripts=True))


def _file_handler(spec: ToolSpec) -> Any:
    async def handle(args: Any, context: ToolContext) -> ToolResult:
        sandboxes = sandboxes_of(context.services.store)
        return await run_on_copy(spec, args, sandboxes, await _sandbox(sandboxes, context), context)

    return handle


async def _sandbox(sandboxes: Sandboxes, context: ToolContext) -> SandboxRecord:
    """Return the thread's sandbox; start one if there is none. Raises SandboxGone and ToolError."""
    lock = _LOCKS.setdefault(context.root_id, asyncio.Lock())
    async with lock:
        record = await sandboxes.current(context)
        if record is not None:
            return record
        request = MachineRequest()
        machine = await machine_of(request)
        text = f"starting a sandbox on {machine.line}, for at most one day\n"
        context.emit("tool_log", id=context.call_id, name="sandbox", text=text)
        return await sandboxes.create(request, context)
