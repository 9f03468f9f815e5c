"""read, write and edit in a thread's sandbox: the local tools applied to a copy of the file."""

import asyncio
import posixpath
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.execution.call import ToolError, ToolResult, is_saved_output
from ml_intern.execution.tool import ToolContext, ToolSpec
from ml_intern.runs.backends.hub_sandbox import WORKSPACE, Sandboxes
from ml_intern.runs.backends.sandbox_records import SandboxRecord
from ml_intern.safety.files.disk import resolve
from ml_intern.text.formatting import capped, plural
from ml_intern.tools.compute.remote_bash import remote_path
from ml_intern.tools.local.files import MAX_BYTES

if TYPE_CHECKING:
    from huggingface_hub import Sandbox

MAX_ENTRIES = 500


async def run_on_copy(
    spec: ToolSpec, args: Any, sandboxes: Sandboxes, record: SandboxRecord, context: ToolContext
) -> ToolResult:
    """Run a file tool on a fresh copy of the file, and upload the copy if the tool writes.

    Raises:
        SandboxGone: the sandbox has ended.
        ToolError: the tool or the sandbox reported an error.
    """
    if spec.read_only and _is_artifact(args.path, context):
        return _as_result(await spec.handler(args, context))
    path = remote_path(args.path)
    root = await asyncio.to_thread(sandboxes.records.mirror(record).resolve)
    copy = root / path.lstrip("/")
    folder = await sandboxes.use(record, lambda sandbox: _fetch(sandbox, path, copy))
    if folder:
        if spec.read_only:
            return ToolResult(folder)
        raise ToolError(f"{path} is a folder, not a file")
    local_context = replace(context, workspace=root / WORKSPACE.lstrip("/"), add_dirs=(root,))
    await asyncio.to_thread(local_context.workspace.mkdir, parents=True, exist_ok=True)
    try:
        result = _as_result(await spec.handler(args.model_copy(update={"path": str(copy)}), local_context))
    except ToolError as error:
        raise ToolError(str(error).replace(str(copy), path)) from error
    if not spec.read_only:
        await sandboxes.use(record, lambda sandbox: sandbox.files.write(path, copy.read_bytes()))
    return replace(result, text=result.text.replace(str(copy), path))


def _as_result(result: ToolResult | str) -> ToolResult:
    return ToolResult(result) if isinstance(result, str) else result


def _is_artifact(path: str, context: ToolContext) -> bool:
    """Return whether the path is a local artifact file with the full text of a long result."""
    home, found = context.services.store.home.resolve(), Path(resolve(path))
    is_ours = is_saved_output(found, home, context.services.scopes.readable)
    return Path(path).is_absolute() and found.is_relative_to(home / "artifacts") and is_ours


def _fetch(sandbox: "Sandbox", path: str, copy: Path) -> str:
    """Update the local copy from the sandbox, or return the listing of a folder. Raises ToolError for a large file."""
    if not sandbox.files.exists(path):
        copy.unlink(missing_ok=True)
        return ""
    entry = sandbox.files.stat(path)
    if entry.type == "dir":
        return listing(sandbox, path)
    if entry.size > MAX_BYTES:
        raise ToolError(f"{path} is too large for this tool ({entry.size:,} bytes); inspect it with a command")
    copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    copy.write_bytes(sandbox.files.read(path))
    return ""


def listing(sandbox: "Sandbox", path: str) -> str:
    """List the entries of a folder in the sandbox, folders first. It blocks."""
    entries = sorted(sandbox.files.list(path), key=lambda entry: (entry.type != "dir", entry.name))
    lines = [f"{one.name}/" if one.type == "dir" else f"{one.name}  {plural(one.size, 'byte')}" for one in entries]
    name = posixpath.relpath(path, WORKSPACE) if path.startswith(WORKSPACE) else path
    return "\n".join([f"{name} is a folder; {plural(len(lines), 'entry')}:", *capped(lines, MAX_ENTRIES)])
