"""bash, read, write and edit as `--tool-runtime sandbox` gives them: in the thread's Hugging Face sandbox.

The first of them starts the sandbox. One that was lost is told of by the next call, which does nothing else.
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
from ml_intern.tools.compute.remote_bash import run_there
from ml_intern.tools.compute.remote_files import on_a_copy
from ml_intern.tools.local.bash import bash
from ml_intern.tools.local.edit import edit
from ml_intern.tools.local.read import read
from ml_intern.tools.local.write import write

_WHERE = (
    f"It works in this thread's Hugging Face sandbox, another machine, whose folder is {WORKSPACE}. The user's files "
    "are not there: the tool sandbox copies files to it and back."
)
_TURNS: "WeakValueDictionary[str, asyncio.Lock]" = WeakValueDictionary()
"""By thread: while one call starts its sandbox, others wait."""


def remote_tools() -> dict[str, ToolSpec]:
    """The four tools by name, to stand in the place of those of this machine."""
    files = {
        spec.name: replace(spec, handler=_file_handler(spec), description=_said(spec)) for spec in (read, write, edit)
    }
    return {"bash": replace(bash, handler=_bash, description=_said(bash)), **files}


def _said(spec: ToolSpec) -> str:
    return f"{spec.description}\n\n{_WHERE}"


async def _bash(args: Any, context: ToolContext) -> ToolResult:
    sandboxes = sandboxes_of(context.services.store)
    record = await _sandbox(sandboxes, context)
    if not args.background:
        return await run_there(args, sandboxes, record, context)
    secrets = tuple(args.secrets)
    plan = await planned(context, backend="sandbox", command=args.command, secrets=secrets, limit_s=args.seconds)
    return started_text(await start_run(plan, context, only_scripts=True))


def _file_handler(spec: ToolSpec) -> Any:
    async def handle(args: Any, context: ToolContext) -> ToolResult:
        sandboxes = sandboxes_of(context.services.store)
        return await on_a_copy(spec, args, sandboxes, await _sandbox(sandboxes, context), context)

    return handle


async def _sandbox(sandboxes: Sandboxes, context: ToolContext) -> SandboxRecord:
    """The thread's sandbox, started when it has none. Raises SandboxGone and ToolError."""
    turn = _TURNS.setdefault(context.root_id, asyncio.Lock())
    async with turn:
        record = await sandboxes.current(context)
        if record is not None:
            return record
        wish = MachineRequest()
        machine = await machine_of(wish)
        text = f"starting a sandbox on {machine.line}, for at most a day\n"
        context.emit("tool_log", id=context.call_id, name="sandbox", text=text)
        return await sandboxes.create(wish, context)
