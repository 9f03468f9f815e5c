"""A Hugging Face sandbox as a backend. A run is a command in the thread's sandbox, in a folder named after the run."""

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.configs.errors import TemporaryError
from ml_intern.execution.call import ToolError
from ml_intern.execution.sandboxed import secret_value
from ml_intern.execution.tool import ExternalEffects, ToolContext
from ml_intern.runs.backends.base import RunPlan, RunStatus
from ml_intern.runs.backends.hub_sandbox import WORKSPACE, SandboxGone, sandboxes_of
from ml_intern.runs.backends.remote_command import TIMED_OUT, Remote, RemoteCommand, read_progress, start, stop
from ml_intern.runs.backends.sandbox_records import SandboxRecord
from ml_intern.runs.logs import append_output
from ml_intern.store.runs import RUNNING

if TYPE_CHECKING:
    from huggingface_hub import Sandbox

    from ml_intern.store.store import Store

RUNS = f"{WORKSPACE}/.ml-intern/runs"
_STATES = {0: "succeeded", TIMED_OUT: "timeout"}


class SandboxRuns:
    """Executes runs in sandboxes. A handle is {"sandbox", "folder", "process"}; `sandbox` is the id of its record."""

    def __init__(self, store: "Store") -> None:
        self._sandboxes = sandboxes_of(store)

    async def complete(self, plan: RunPlan, _context: ToolContext, /) -> RunPlan:
        """Return the plan as it is: nothing is filled in."""
        return plan

    async def effects(self, plan: RunPlan, _context: ToolContext, /) -> ExternalEffects:
        """Return the secrets passed to the run. It has no other external effects."""
        return ExternalEffects(secrets=plan.secrets)

    async def launch(self, plan: RunPlan, id: str, context: ToolContext) -> str:
        """Start the run in the thread's latest sandbox. A run that was already started continues. Raises ToolError."""
        record = await self._sandboxes.current(context)
        if record is None:
            raise ToolError("this thread has no sandbox; create one with the sandbox tool first")
        folder = f"{RUNS}/{id}"
        words = list(plan.command)
        if plan.script:
            script = f"{folder}.py"
            await self._sandboxes.use(record, lambda machine: machine.files.write(script, plan.script))
            words = ["uv", "run", script, *plan.script_args]
        environment = {"PYTHONUNBUFFERED": "1", **plan.environment}
        environment |= {name: secret_value(name) for name in plan.secrets}
        command = RemoteCommand(folder, words, WORKSPACE, environment, plan.limit_s)
        remote = await start(self._sandboxes, record, command)
        return _handle(record, remote)

    async def find(self, id: str) -> str | None:
        """Return the handle of the run whose folder a sandbox contains. Raises TemporaryError without an answer."""
        for record in self._sandboxes.records.all():
            try:
                if not record.ended and (remote := await self._started(record, f"{RUNS}/{id}")):
                    return _handle(record, remote)
            except SandboxGone:
                continue
            except ToolError as error:
                raise TemporaryError(f"cannot determine whether the run started: {error}", "try again") from error
        return None

    async def _started(self, record: SandboxRecord, folder: str) -> Remote | None:
        return await self._sandboxes.use(record, lambda machine: _found(machine, folder))

    async def abandon(self, id: str) -> bool:
        """Whether no sandbox contains the folder of the run. A run without a folder never starts."""
        return await self.find(id) is None

    async def inspect(self, handle: str) -> RunStatus:
        """Return the status of the run. Its cost is part of the sandbox's."""
        record, remote = self._of(handle)
        if record is None:
            return RunStatus("lost", reason="its sandbox is gone")
        try:
            return await self._sandboxes.use(record, lambda machine: _observed(machine, remote))
        except SandboxGone:
            return RunStatus("lost", reason="its sandbox is gone")
        except ToolError as error:
            raise TemporaryError(f"the status of the run is not available: {error}", "try again later") from error

    async def fetch_log(self, handle: str, log: Path) -> None:
        """Append the new output to the copy, whose length is the offset to read from."""
        record, remote = self._of(handle)
        if record is None:
            return
        try:
            length = await asyncio.to_thread(append_output, log, b"")
            while output := (await read_progress(self._sandboxes, record, remote, length)).output:
                length = await asyncio.to_thread(append_output, log, output, length)
        except SandboxGone:
            return
        except ToolError as error:
            raise TemporaryError(f"the log of the run cannot be read: {error}", "try again later") from error

    async def usage(self, handle: str) -> str:
        """Return the load and memory usage of the sandbox."""
        record, _ = self._of(handle)
        if record is None:
            return ""
        try:
            return await self._sandboxes.use(record, _load)
        except ToolError:
            return ""

    async def cancel(self, handle: str) -> None:
        """End the run and all its processes."""
        record, remote = self._of(handle)
        if record is None:
            return
        try:
            await self._sandboxes.use(record, lambda machine: _mark_cancelled(machine, remote))
            await stop(self._sandboxes, record, remote)
        except SandboxGone:
            return
        except ToolError as error:
            raise TemporaryError(f"the run could not be cancelled: {error}", "try again") from error

    def _of(self, handle: str) -> tuple[SandboxRecord | None, Remote]:
        known = json.loads(handle)
        records = (one for one in self._sandboxes.records.all() if one.id == known["sandbox"] and not one.ended)
        return next(records, None), Remote(known["folder"], known["process"])


def _handle(record: SandboxRecord, remote: Remote) -> str:
    return json.dumps({"sandbox": record.id, "folder": remote.folder, "process": remote.process})


def _found(machine: "Sandbox", folder: str) -> Remote | None:
    """Find a started command by its process or its folder."""
    started = next((process.id or "" for process in machine.processes() if folder in process.cmd), None)
    if started is None and not machine.files.exists(folder):
        return None
    return Remote(folder, started or "")


def _observed(machine: "Sandbox", remote: Remote) -> RunStatus:
    """Return the status, read from the files and processes in the sandbox. It blocks."""
    files = machine.files
    if files.exists(f"{remote.folder}/cancelled"):
        return RunStatus("cancelled")
    if files.exists(f"{remote.folder}/exit"):
        said = files.read_text(f"{remote.folder}/exit").strip()
        finished = files.stat(f"{remote.folder}/exit").mtime_ms
        ended = finished / 1000 if finished else time.time()
        return RunStatus(_STATES.get(int(said), "failed"), int(said), finished=ended)
    running = {process.id: process.running for process in machine.processes()}
    if remote.process and not running.get(remote.process, False) and not files.exists(f"{remote.folder}/exit"):
        return RunStatus("lost", reason="its processes ended without an exit code")
    return RunStatus(RUNNING)


def _mark_cancelled(machine: "Sandbox", remote: Remote) -> None:
    if not machine.files.exists(f"{remote.folder}/exit"):
        machine.files.write(f"{remote.folder}/cancelled", "")


def _load(machine: "Sandbox") -> str:
    said = machine.run(["/bin/sh", "-c", "cut -d' ' -f1 /proc/loadavg; grep -E 'Mem(Total|Avail)' /proc/meminfo"])
    load, *memory = said.stdout.split("\n")
    kilobytes = [int(line.split()[1]) for line in memory if line]
    return f"load {load}; memory {(kilobytes[0] - kilobytes[1]) / 1e6:.1f} of {kilobytes[0] / 1e6:.1f} GB"
