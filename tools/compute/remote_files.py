"""read, write and edit in the sandbox of a thread: the tools of this machine, on a copy of the one file."""

import asyncio
import posixpath
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.tool import ToolContext, ToolSpec
from ml_intern.runs.backends.hub_sandbox import WORKSPACE, Sandboxes
from ml_intern.runs.backends.sandbox_records import SandboxRecord
from ml_intern.text.formatting import capped
from ml_intern.tools.compute.remote_bash import there
from ml_intern.tools.local.files import MAX_BYTES

if TYPE_CHECKING:
    from huggingface_hub import Sandbox

MAX_ENTRIES = 500


async def on_a_copy(
    spec: ToolSpec, args: Any, sandboxes: Sandboxes, record: SandboxRecord, context: ToolContext
) -> ToolResult:
    """Run a file tool on a fresh copy of the file, and send the copy back when the tool changed it.

    Raises:
        SandboxGone: the sandbox ended meanwhile.
        ToolError: what the tool or the sandbox said.
    """
    if spec.read_only and _is_artifact(args.path, context):
        return _as_result(await spec.handler(args, context))
    path = there(args.path)
    root = await asyncio.to_thread(sandboxes.records.mirror(record).resolve)
    copy = root / path.lstrip("/")
    folder = await sandboxes.use(record, lambda sandbox: _fetch(sandbox, path, copy))
    if folder:
        if spec.read_only:
            return ToolResult(folder)
        raise ToolError(f"{path} is a folder, not a file")
    here = replace(context, workspace=root / WORKSPACE.lstrip("/"), add_dirs=(root,))
    await asyncio.to_thread(here.workspace.mkdir, parents=True, exist_ok=True)
    try:
        result = _as_result(await spec.handler(args.model_copy(update={"path": str(copy)}), here))
    except ToolError as fault:
        raise ToolError(str(fault).replace(str(copy), path)) from fault
    if not spec.read_only:
        await sandboxes.use(record, lambda sandbox: sandbox.files.write(path, copy.read_bytes()))
    return replace(result, text=result.text.replace(str(copy), path))


def _as_result(given: ToolResult | str) -> ToolResult:
    return ToolResult(given) if isinstance(given, str) else given


def _is_artifact(path: str, context: ToolContext) -> bool:
    """Whether it is the file that holds the whole of a long result: those stay on this machine."""
    artifacts = context.services.store.home.resolve() / "artifacts"
    return Path(path).is_absolute() and Path(path).resolve().is_relative_to(artifacts)


def _fetch(sandbox: "Sandbox", path: str, copy: Path) -> str:
    """Make the copy here what the file is there; of a folder give its entries. Raises ToolError for a large file."""
    if not sandbox.files.exists(path):
        copy.unlink(missing_ok=True)
        return ""
    entry = sandbox.files.stat(path)
    if entry.type == "dir":
        return listing(sandbox, path)
    if entry.size > MAX_BYTES:
        raise ToolError(f"{path} has {entry.size:,} bytes, too many for this tool; look into it with a command")
    copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    copy.write_bytes(sandbox.files.read(path))
    return ""


def listing(sandbox: "Sandbox", path: str) -> str:
    """The entries of a folder there, folders first. It blocks."""
    entries = sorted(sandbox.files.list(path), key=lambda entry: (entry.type != "dir", entry.name))
    lines = [f"{one.name}/" if one.type == "dir" else f"{one.name}  {one.size:,} bytes" for one in entries]
    name = posixpath.relpath(path, WORKSPACE) if path.startswith(WORKSPACE) else path
    return "\n".join([f"{name} is a folder of {len(lines):,}:", *capped(lines, MAX_ENTRIES)])
