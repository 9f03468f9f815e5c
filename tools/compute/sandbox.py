"""The sandbox tool: a remote Hugging Face machine for a thread, with commands and file transfer."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.tool import NO_EFFECTS, ExternalEffects, ToolArgs, ToolContext, tool
from ml_intern.net.hub_identity import get_hub_token, token_owner
from ml_intern.runs.backends.hardware import DEFAULT
from ml_intern.runs.backends.hub_jobs import IMAGE
from ml_intern.runs.backends.hub_sandbox import (
    IDLE_S,
    LIFETIME_S,
    WORKSPACE,
    MachineRequest,
    Sandboxes,
    machine_of,
    sandboxes_of,
)
from ml_intern.runs.backends.sandbox_records import SandboxRecord
from ml_intern.text.formatting import money, plural, size
from ml_intern.tools.compute.remote_bash import remote_path, run_remote_bash
from ml_intern.tools.compute.remote_files import listing
from ml_intern.tools.local.bash import MAX_SECONDS, BashArgs
from ml_intern.tools.local.files import stat_regular_file

if TYPE_CHECKING:
    from huggingface_hub import Sandbox

MAX_TRANSFERRED = 2_000_000_000
TRANSFER_SECONDS = 3600.0
Operation = Literal["create", "list", "run", "files", "upload", "download", "delete", "kill"]


class SandboxArgs(ToolArgs):
    """The arguments of sandbox."""

    operation: Operation = Field(description="The operation; see the tool's description.")
    id: str = Field("", max_length=100, description="The sandbox; empty for the latest of this thread.")
    hardware: str = Field(
        DEFAULT, max_length=60, description="create: the machine, as listed by jobs, operation hardware."
    )
    image: str = Field(IMAGE, max_length=300, description="create: a Docker image with /bin/sh.")
    idle_minutes: int = Field(IDLE_S // 60, ge=1, le=1440, description="create: it ends after this many idle minutes.")
    secrets: list[str] = Field(
        default_factory=list,
        max_length=8,
        description="create: the user's secret variables it needs; the user is asked.",
    )
    command: str = Field("", max_length=20_000, description="run: a shell command.")
    timeout: int = Field(120, ge=1, le=MAX_SECONDS, description="run: time limit in seconds.")
    path: str = Field("", max_length=1000, description=f"A file or folder in the sandbox, relative to {WORKSPACE}.")
    local: str = Field("", max_length=1000, description="upload, download: the file in the workspace.")


def is_read_only(args: Mapping[str, Any]) -> bool:
    """Return whether an operation changes nothing."""
    return args.get("operation") in ("list", "files")


async def sandbox_effects(args: Mapping[str, Any], context: ToolContext) -> ExternalEffects:
    """Return the destination and maximum cost of a call; an upload sends a file there. Raises ToolError."""
    operation = args.get("operation")
    if operation not in ("create", "upload") or not await get_hub_token():
        return NO_EFFECTS
    place = (f"{await token_owner(context)}/jobs",)
    if operation == "upload":
        return ExternalEffects(place)
    machine = await machine_of(MachineRequest(str(args.get("hardware", DEFAULT))))
    return ExternalEffects(place, cost_usd=machine.max_price(LIFETIME_S), secrets=tuple(args.get("secrets", ())))


@tool(timeout=None, path_args=("local",), reads=is_read_only, effects=sandbox_effects)
async def sandbox(args: SandboxArgs, context: ToolContext) -> ToolResult | str:
    """Use a remote Hugging Face machine: to run untrusted code, or to try things on a GPU.

    - create: start one (hardware, image, idle_minutes, secrets). It costs money until it is killed or idle, and ends
      after one day at the latest. list: the sandboxes of this thread.
    - run: run command and return its output and exit code. files: list a folder (path).
    - upload: local to path. download: path to local. delete: path.
    - kill: end it and delete its files.
    Use jobs for training: a sandbox and its files end with the session.
    """
    sandboxes = sandboxes_of(context.services.store)
    if args.operation == "create":
        return await _create(args, sandboxes, context)
    if args.operation == "list":
        return await _list(sandboxes, context)
    record = await sandboxes.current(context, args.id)
    if record is None:
        raise ToolError("this thread has no sandbox; create one first")
    match args.operation:
        case "run":
            return await _run(args, sandboxes, record, context)
        case "kill":
            return _cost(await sandboxes.kill(record), f"the sandbox {record.job_id} was ended and its files deleted")
        case "files":
            return await sandboxes.use(record, lambda machine: listing(machine, remote_path(args.path or ".")))
        case "delete":
            return await _delete(args, sandboxes, record)
        case _:
            return await _transfer(args, sandboxes, record, context)


async def _create(args: SandboxArgs, sandboxes: Sandboxes, context: ToolContext) -> str:
    request = MachineRequest(args.hardware, args.image, args.idle_minutes * 60, tuple(args.secrets))
    machine = await machine_of(request)
    record = await sandboxes.create(request, context)
    return (
        f"sandbox {record.job_id} runs on {machine.line}. Its folder is {WORKSPACE}. It ends when it is killed, after "
        f"{plural(args.idle_minutes, 'idle minute')}, with this session, or after one day"
    )


async def _list(sandboxes: Sandboxes, context: ToolContext) -> str:
    known = await asyncio.to_thread(sandboxes.records.of, context.root_id)
    lines = [f"{one.job_id or 'starting'}  {one.hardware}  {one.ended or 'in use'}" for one in known]
    return "\n".join(lines) or "this thread has no sandbox"


async def _run(args: SandboxArgs, sandboxes: Sandboxes, record: SandboxRecord, context: ToolContext) -> ToolResult:
    if not args.command.strip():
        raise ToolError("the operation run requires command")
    return await run_remote_bash(BashArgs(command=args.command, timeout=args.timeout), sandboxes, record, context)


async def _delete(args: SandboxArgs, sandboxes: Sandboxes, record: SandboxRecord) -> str:
    path = remote_path(_require_arg(args, "path"))
    await sandboxes.use(record, lambda machine: machine.files.delete(path, recursive=True))
    return f"deleted {path} in the sandbox"


async def _transfer(
    args: SandboxArgs, sandboxes: Sandboxes, record: SandboxRecord, context: ToolContext
) -> ToolResult | str:
    """Upload or download a file. A download does not overwrite a local file."""
    local = context.resolve(_require_arg(args, "local"))
    path = remote_path(args.path or local.name)
    name = context.name_of(local)
    if args.operation == "upload":
        length = (await asyncio.to_thread(stat_regular_file, local, name)).st_size
        _check_size(length, name)
        await sandboxes.use(record, lambda machine: machine.files.upload(local, path), TRANSFER_SECONDS)
        return f"uploaded {name} to {path} in the sandbox, {size(length)}"
    if local.exists():
        raise ToolError(f"{name} already exists; set local to another name")
    length = await sandboxes.use(record, lambda machine: _download(machine, path, local), TRANSFER_SECONDS)
    text = f"downloaded {path} from the sandbox to {name}, {size(length)}"
    return ToolResult(text, file_sources=(f"the sandbox {record.job_id}",))


def _download(machine: "Sandbox", path: str, local: Path) -> int:
    length = machine.files.stat(path).size
    _check_size(length, path)
    local.parent.mkdir(parents=True, exist_ok=True)
    machine.files.download(path, local)
    return length


def _check_size(length: int, name: str) -> None:
    if length > MAX_TRANSFERRED:
        raise ToolError(
            f"{name} is too large to copy ({size(length)}); push it to a private repository from the sandbox instead"
        )


def _require_arg(args: SandboxArgs, name: str) -> str:
    value = str(getattr(args, name))
    if not value:
        raise ToolError(f"the operation {args.operation} requires {name}")
    return value


def _cost(usd: float | None, text: str) -> str:
    return f"{text}; its cost is unknown" if usd is None else f"{text}; it cost about {money(usd)}"
