"""Local runs, each under a detached supervisor process that survives ml-intern."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

from ml_intern.configs.errors import TemporaryError
from ml_intern.execution.call import ToolError
from ml_intern.execution.file_sources import sources_of_files
from ml_intern.execution.opened_files import opened_paths, private_reads
from ml_intern.execution.process.environment import CALL_MARK, child_environment
from ml_intern.execution.process.sessions import end_processes
from ml_intern.execution.sandboxed import command_environment, hidden_homes, locked_paths, send_limits
from ml_intern.execution.tool import ExternalEffects, ToolContext
from ml_intern.models.secrets import known_secrets
from ml_intern.runs.backends.base import RunPlan, RunStatus
from ml_intern.runs.run_folder import (
    TRACKIO,
    is_supervised,
    make_run_folder,
    mark_never_started,
    read_status,
    run_folder,
)
from ml_intern.safety.files.disk import matching_files
from ml_intern.safety.secrets.known import without_secrets
from ml_intern.safety.shell.analysis import analyze_command
from ml_intern.safety.shell.paths import CommandContext
from ml_intern.store.runs import OPEN
from ml_intern.text.formatting import plural

START_SECONDS = 30.0
STOP_SECONDS = 20.0
_POLL_SECONDS = 0.02
_MODULE = "ml_intern.runs.supervisor"
_LOST = "its supervisor was killed or the machine restarted; see the log for its progress"


class LocalBackend:
    """Runs on this machine. `home` is the folder of the thread database."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def complete(self, plan: RunPlan, _context: ToolContext, /) -> RunPlan:
        """Return the plan as it is: nothing is filled in."""
        return plan

    async def effects(self, plan: RunPlan, _context: ToolContext, /) -> ExternalEffects:
        """Return the secrets passed to the run. It has no other external effects."""
        return ExternalEffects(secrets=plan.secrets)

    async def launch(self, plan: RunPlan, id: str, context: ToolContext) -> str:
        """Start a supervisor under the lock of the run's folder, so that a second one for the same run does nothing.

        Raises ToolError when it does not start.
        """
        folder = await asyncio.to_thread(make_run_folder, self._home, id)
        order = await self.order(plan, id, context, folder)
        process = await asyncio.to_thread(_spawn, folder, order)
        deadline = time.monotonic() + START_SECONDS
        while not (status := await asyncio.to_thread(read_status, folder)):
            if process.poll() not in (None, 0) or time.monotonic() > deadline:
                said = (folder / "supervisor.err").read_text(errors="replace").strip().splitlines()[-1:]
                raise ToolError(f"the run could not be started: {' '.join(said) or 'no answer from its supervisor'}")
            await asyncio.sleep(_POLL_SECONDS)
        return json.dumps({"pid": status.get("pid"), "started": status.get("started"), "folder": str(folder)})

    async def order(self, plan: RunPlan, id: str, context: ToolContext, folder: Path, /) -> dict[str, Any]:
        """Return the order for the supervisor. It contains secrets and is sent through a pipe only."""
        opened = await asyncio.to_thread(_opened, plan, context)
        order = await asyncio.to_thread(_order, plan, id, _having_read(context, opened), folder)
        order["read"] = await sources_of_files(context.store, opened)
        order["locked"] = await locked_paths(context)
        return order

    async def find(self, id: str) -> str | None:
        """Return the handle of a run whose supervisor has started."""
        folder = run_folder(self._home, id)
        status = await asyncio.to_thread(read_status, folder)
        if not status:
            return None
        return json.dumps({"pid": status.get("pid"), "started": status.get("started"), "folder": str(folder)})

    async def abandon(self, id: str) -> bool:
        """Prevent a run from starting. Return False when it has started."""
        never = {"state": "lost", "exit_code": None, "reason": "it was never started", "finished": time.time()}
        return await asyncio.to_thread(mark_never_started, run_folder(self._home, id), never)

    async def inspect(self, handle: str) -> RunStatus:
        """Return the status from the status file. Without a live supervisor or an end, kill its processes: "lost"."""
        folder = _folder(handle)
        supervised = await asyncio.to_thread(is_supervised, folder)  # checked first, because the status is written last
        status = await asyncio.to_thread(read_status, folder)
        if status.get("state") in OPEN and not supervised:
            await end_processes(None, folder.name)
            return RunStatus("lost", reason=_LOST, started=status.get("started"))
        if not status:
            return RunStatus("lost", reason="its folder is gone")
        return RunStatus(
            status["state"],
            status.get("exit_code"),
            status.get("reason", ""),
            status.get("started"),
            _finished(status),
        )

    async def fetch_log(self, handle: str, log: Path) -> None:
        """Do nothing: the supervisor writes to the log directly."""

    async def usage(self, handle: str) -> str:
        """Return the CPU, memory and GPU usage of all its processes."""
        return await asyncio.to_thread(use_of, int(json.loads(handle).get("pid") or 0))

    async def cancel(self, handle: str) -> None:
        """Send SIGTERM to the supervisor, which ends the run; after STOP_SECONDS send SIGKILL."""
        folder, pid = _folder(handle), int(json.loads(handle).get("pid") or 0)
        deadline = time.monotonic() + STOP_SECONDS
        if pid and await asyncio.to_thread(is_supervised, folder):
            _signal(pid, signal.SIGTERM)
        while await asyncio.to_thread(is_supervised, folder):
            if time.monotonic() > deadline:
                _signal(pid, signal.SIGKILL)
                await end_processes(None, folder.name)
                raise TemporaryError(f"{folder.name} did not stop and was killed", "check its status again")
            await asyncio.sleep(_POLL_SECONDS)


def _finished(status: Mapping[str, Any]) -> float | None:
    """Return the end time by monotonic duration, since the system clock may have been changed during the run."""
    if "seconds" in status and status.get("started"):
        return float(status["started"]) + float(status["seconds"])
    return status.get("finished")


def _folder(handle: str) -> Path:
    return Path(json.loads(handle)["folder"])


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _order(plan: RunPlan, id: str, context: ToolContext, folder: Path) -> dict[str, Any]:
    environment = command_environment(plan.secrets)
    environment.pop(CALL_MARK, None)
    tracked = {"TRACKIO_DIR": environment.get("TRACKIO_DIR", str(folder / TRACKIO))}
    homes = (context.services.store.home, *hidden_homes())
    sandbox = {
        "workspace": context.options.workspace,
        "add_dirs": context.options.add_dirs,
        "network": context.options.sandbox,
        "kind": context.options.sandbox_kind,
        "hosts": context.options.sandbox_hosts,
        "hidden": context.options.unreadable,
        "shown": context.options.shown,
        "homes": [str(home) for home in homes],
        "limits": _limits(plan, context),
    }
    return {
        "id": id,
        "argv": _argv(plan, folder),
        "readable": [str(folder / _SCRIPT)] if plan.script else [],
        "writable": [str(folder / TRACKIO)],
        "folder": str(plan.workdir),
        "environment": environment,
        "further": {**tracked, **plan.environment},
        "secrets": plan.secrets,
        "known_secrets": known_secrets(Path(context.options.workspace)),
        "limit_s": plan.limit_s,
        "slots": plan.slots,
        "launched_with": context.taint,
        "evidence": context.options.verify != "off",
        "roots": list(map(str, context.roots())),
        "sandbox": sandbox if context.options.sandbox != "none" else None,
    }


def _limits(plan: RunPlan, context: ToolContext) -> dict[str, Any] | None:
    limits = send_limits(context, plan.secrets)
    if limits is None:
        return None
    return {**vars(limits), "named": sorted(limits.named), "unlimited": sorted(limits.unlimited)}


def _opened(plan: RunPlan, context: ToolContext) -> list[Path]:
    """Return the files that the run may read, as far as its command or script shows them."""
    place = CommandContext(str(context.roots()[0]), home=str(Path.home()), cwd=str(plan.workdir), match=matching_files)
    parsed = analyze_command(plan.display, place).parsed
    return opened_paths(parsed, plan.workdir, plan.script)


def _having_read(context: ToolContext, opened: Sequence[Path]) -> ToolContext:
    return replace(context, file_reads={**context.file_reads, **private_reads(opened, context)})


_SCRIPT = "script.py"


def _argv(plan: RunPlan, folder: Path) -> tuple[str, ...]:
    """Return the command. A script is copied, so that later changes to its file do not affect the run."""
    if not plan.script:
        return plan.command
    script = folder / _SCRIPT
    script.write_text(plan.script, encoding="utf-8")
    runner = ("uv", "run", "--script") if "# /// script" in plan.script else ("python3",)
    return (*runner, str(script), *plan.script_args)


def _spawn(folder: Path, order: Mapping[str, Any]) -> "subprocess.Popen[bytes]":
    kept = {name: value for name, value in os.environ.items() if name.startswith(("ML_INTERN_", "HF_HOME", "XDG_"))}
    environment = without_secrets({**child_environment(os.environ, sandboxed=False), **kept})
    environment.pop(CALL_MARK, None)
    with (folder / "supervisor.err").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", _MODULE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
    with suppress(BrokenPipeError), cast(IO[bytes], process.stdin) as pipe:
        pipe.write(json.dumps(order).encode())
    threading.Thread(target=process.wait, name="supervisor", daemon=True).start()  # reaps the process
    return process


_PROC = Path("/proc")
_SAMPLE_SECONDS = 0.2
_GPU_SECONDS = 10.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def use_of(pid: int) -> str:
    """Return the usage of all descendants of a process in one line; "" without descendants or without /proc."""
    if not _PROC.is_dir() or not (found := _descendants(pid)):
        return ""
    before, began = sum(map(_cpu_seconds, found)), time.monotonic()
    time.sleep(_SAMPLE_SECONDS)
    now = sum(map(_cpu_seconds, found))
    cores = max(now - before, 0.0) / (time.monotonic() - began)
    memory = sum(map(_memory, found)) / (1 << 20)
    parts = [plural(len(found), "process"), f"CPU {cores:.1f} cores", f"memory {memory:,.0f} MB"]
    return ", ".join([*parts, *_gpu(found)])


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = list[int](), [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat, beginning with the state; [] when the process is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def _memory(pid: int) -> int:
    """Return the memory in bytes: the proportional share (PSS) where available, else the resident size."""
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        fields = _stat(pid)
        return int(fields[21]) * _PAGE if fields else 0
    return 0


def _gpu(pids: Collection[int]) -> list[str]:
    """Return the usage of each GPU, and the GPU memory of the processes where their ids are visible."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = "--query-gpu=index,utilization.gpu,memory.used,memory.total,power.draw"
    processes = "--query-compute-apps=pid,used_memory"
    rows, own = _query_gpus(query), _query_gpus(processes)
    used_here = sum(float(used) for pid, used, *_ in own if pid.isdigit() and int(pid) in pids and _is_number(used))
    lines = [f"GPU {index} {busy} %, {used} of {total} MB, {watts} W" for index, busy, used, total, watts in rows]
    return [*lines, *([f"{used_here:,.0f} MB of GPU memory used by this run"] if used_here else [])]


def _query_gpus(query: str) -> list[list[str]]:
    command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=_GPU_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = said.stdout.splitlines() if said.returncode == 0 else []
    return [[field.strip() for field in line.split(",")] for line in lines if line.strip()]


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
