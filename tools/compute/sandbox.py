"""The sandbox tool: a machine of Hugging Face for a thread, its commands and files."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.tool import NO_EFFECTS, ExternalEffects, ToolArgs, ToolContext, tool
from ml_intern.net.hub_identity import get_hub_token, token_owner
from ml_intern.runs.backends.hardware import DEFAULT
from ml_intern.runs.backends.hub_sandbox import (
    IDLE_S,
    IMAGE,
    LIFETIME_S,
    WORKSPACE,
    MachineRequest,
    Sandboxes,
    machine_of,
    sandboxes_of,
)
from ml_intern.runs.backends.sandbox_records import SandboxRecord
from ml_intern.text.formatting import size
from ml_intern.tools.compute.remote_bash import run_there, there
from ml_intern.tools.compute.remote_files import listing
from ml_intern.tools.local.bash import MAX_SECONDS, BashArgs
from ml_intern.tools.local.files import stat_regular_file

if TYPE_CHECKING:
    from huggingface_hub import Sandbox

MAX_TRANSFERRED = 2_000_000_000
TRANSFER_SECONDS = 3600.0
Operation = Literal["create", "list", "run", "files", "upload", "download", "delete", "kill"]


class SandboxArgs(ToolArgs):
    """What sandbox takes."""

    operation: Operation = Field(description="What to do; see the tool's description.")
    id: str = Field("", max_length=100, description="Which sandbox; empty: the newest of this thread.")
    hardware: str = Field(DEFAULT, max_length=60, description="create: the machine, as jobs names it.")
    image: str = Field(IMAGE, max_length=300, description="create: a Docker image; it has /bin/sh.")
    idle_minutes: int = Field(IDLE_S // 60, ge=1, le=1440, description="create: without use for so long it ends.")
    secrets: list[str] = Field(
        default_factory=list, max_length=8, description="create: variables of the user's that it needs; they are asked."
    )
    command: str = Field("", max_length=20_000, description="run: for the shell there.")
    timeout: int = Field(120, ge=1, le=MAX_SECONDS, description="run: seconds.")
    path: str = Field("", max_length=1000, description=f"A file or folder there; relative to {WORKSPACE}.")
    local: str = Field("", max_length=1000, description="upload, download: the file here, in the workspace.")


def only_looks(args: Mapping[str, Any]) -> bool:
    """Whether an operation changes nothing."""
    return args.get("operation") in ("list", "files")


async def sandbox_effects(args: Mapping[str, Any], context: ToolContext) -> ExternalEffects:
    """Where it is and what it may cost; an upload sends a file there. Raises ToolError."""
    operation = args.get("operation")
    if operation not in ("create", "upload") or not await get_hub_token():
        return NO_EFFECTS
    place = (f"{await token_owner(context)}/jobs",)
    if operation == "upload":
        return ExternalEffects(place)
    machine = await machine_of(MachineRequest(str(args.get("hardware", DEFAULT))))
    return ExternalEffects(place, cost_usd=machine.max_price(LIFETIME_S), secrets=tuple(args.get("secrets", ())))


@tool(timeout=None, path_args=("local",), reads=only_looks, effects=sandbox_effects)
async def sandbox(args: SandboxArgs, context: ToolContext) -> ToolResult | str:
    """Use a machine of Hugging Face that is not the user's: to run untrusted code, or to try things on a GPU.

    - create: start one (hardware, image, idle_minutes, secrets). It costs from then on until it is killed or idle, and
      ends after a day at the latest. list: those of this thread.
    - run: command there, and its output and exit code. files: a folder's entries (path).
    - upload: local to path. download: path to local. delete: path.
    - kill: end it; its files are gone.
    What a job should train belongs into jobs: a sandbox and its files end with the session.
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
            return _cost(await sandboxes.kill(record), f"the sandbox {record.job_id} was ended; its files are gone")
        case "files":
            return await sandboxes.use(record, lambda machine: listing(machine, there(args.path or ".")))
        case "delete":
            return await _delete(args, sandboxes, record)
        case _:
            return await _transfer(args, sandboxes, record, context)


async def _create(args: SandboxArgs, sandboxes: Sandboxes, context: ToolContext) -> str:
    wish = MachineRequest(args.hardware, args.image, args.idle_minutes * 60, tuple(args.secrets))
    machine = await machine_of(wish)
    record = await sandboxes.create(wish, context)
    return (
        f"sandbox {record.job_id} runs on {machine.line}. Its folder is {WORKSPACE}. It ends when it is killed, after "
        f"{args.idle_minutes} minutes without use, with this session, or after a day"
    )


async def _list(sandboxes: Sandboxes, context: ToolContext) -> str:
    known = await asyncio.to_thread(sandboxes.records.of, context.root_id)
    lines = [f"{one.job_id or 'starting'}  {one.hardware}  {one.ended or 'in use'}" for one in known]
    return "\n".join(lines) or "this thread has no sandbox"


async def _run(args: SandboxArgs, sandboxes: Sandboxes, record: SandboxRecord, context: ToolContext) -> ToolResult:
    if not args.command.strip():
        raise ToolError("the operation run needs command")
    return await run_there(BashArgs(command=args.command, timeout=args.timeout), sandboxes, record, context)


async def _delete(args: SandboxArgs, sandboxes: Sandboxes, record: SandboxRecord) -> str:
    path = there(_given(args, "path"))
    await sandboxes.use(record, lambda machine: machine.files.delete(path, recursive=True))
    return f"deleted {path} in the sandbox"


async def _transfer(args: SandboxArgs, sandboxes: Sandboxes, record: SandboxRecord, context: ToolContext) -> str:
    """A file there or back. What is downloaded replaces no file of the user's."""
    local = context.resolve(_given(args, "local"))
    path = there(args.path or local.name)
    name = context.name_of(local)
    if args.operation == "upload":
        length = (await asyncio.to_thread(stat_regular_file, local, name)).st_size
        _small_enough(length, name)
        await sandboxes.use(record, lambda machine: machine.files.upload(local, path), TRANSFER_SECONDS)
        return f"uploaded {name} to {path} in the sandbox, {size(length)}"
    if local.exists():
        raise ToolError(f"{name} exists; download it under another name")
    length = await sandboxes.use(record, lambda machine: _downloaded(machine, path, local), TRANSFER_SECONDS)
    return f"downloaded {path} from the sandbox to {name}, {size(length)}"


def _downloaded(machine: "Sandbox", path: str, local: Path) -> int:
    length = machine.files.stat(path).size
    _small_enough(length, path)
    local.parent.mkdir(parents=True, exist_ok=True)
    machine.files.download(path, local)
    return length


def _small_enough(length: int, name: str) -> None:
    if length > MAX_TRANSFERRED:
        raise ToolError(
            f"{name} has {size(length)}, more than is copied; push it to a private repository there instead"
        )


def _given(args: SandboxArgs, name: str) -> str:
    value = str(getattr(args, name))
    if not value:
        raise ToolError(f"the operation {args.operation} needs {name}")
    return value


def _cost(usd: float | None, text: str) -> str:
    return f"{text}; what it cost is not known" if usd is None else f"{text}; it cost about {usd:.4f} USD"
