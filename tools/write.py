"""The write tool: a whole file, new or replaced."""

import asyncio
from pathlib import Path

from pydantic import Field

from tools.base import ToolArgs, ToolContext, ToolResult, tool
from tools.files import diff, load, mark_seen, replace, require_seen


class WriteArgs(ToolArgs):
    """What write takes."""

    path: str = Field(min_length=1, description="The file, relative to the workspace or absolute.")
    content: str = Field(description="All of the file's text.")


@tool()
async def write(args: WriteArgs, context: ToolContext) -> ToolResult:
    """Write a whole text file, creating its folders. A file that exists must have been read first, as it is now.

    For a change of a part of a file use edit.
    """
    path = context.resolve(args.path)
    return await asyncio.to_thread(_write, path, args.content, context)


def _write(path: Path, text: str, context: ToolContext) -> ToolResult:
    shown = context.name_of(path)
    existed = path.exists()
    before = load(path, shown) if existed else b""
    if existed:
        require_seen(context, path, before, shown)
    content = text.encode("utf-8", "replace")
    replace(path, content, shown)
    mark_seen(context, path, content)
    if not existed:
        return ToolResult(f"Created {shown}: {len(text.splitlines())} lines, {len(content):,} bytes.")
    changes = diff(before.decode("utf-8", "replace"), text, shown)
    return ToolResult(f"Replaced {shown}.\n{changes or 'Its content is the same as before.'}")
