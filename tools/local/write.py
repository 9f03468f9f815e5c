"""The write tool: a whole file, new or replaced."""

import asyncio
from pathlib import Path

from pydantic import Field

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.tools.local.diffs import diff
from ml_intern.tools.local.files import MAX_BYTES, mark_seen, regular, replace, require_seen


class WriteArgs(ToolArgs):
    """What write takes."""

    path: str = Field(min_length=1, description="The file, relative to the workspace or absolute.")
    content: str = Field(description="All of the file's text.")


@tool()
async def write(args: WriteArgs, context: ToolContext) -> ToolResult:
    """Write a whole text file, creating its folders. A file that exists must have been read first, as it is now.

    For a change of a part of a file use edit.
    """
    return ToolResult(await asyncio.to_thread(_write, args.path, args.content, context))


def _write(path_text: str, text: str, context: ToolContext) -> str:
    path = context.resolve(path_text)
    shown = context.name_of(path)
    content = text.encode("utf-8")
    before = _before(path, shown, context) if path.exists() else None
    digest = replace(path, content, shown, before[0] if before else None)
    mark_seen(context, path, digest)
    if before is None:
        return f"Created {shown}: {len(text.splitlines()):,} lines, {len(content):,} bytes."
    return f"Replaced {shown}.\n{_changes(before[1], text, shown)}"


def _before(path: Path, shown: str, context: ToolContext) -> tuple[str, str | None]:
    """Digest and text of the file to be replaced; no text when it is too long to compare. Raises ToolError."""
    try:
        size = regular(path, shown).st_size
        digest = require_seen(context, path, shown)
        return digest, path.read_bytes().decode("utf-8", "replace") if size <= MAX_BYTES else None
    except OSError as error:
        raise ToolError(f"cannot read {shown}: {error.strerror}") from error


def _changes(before: str | None, after: str, shown: str) -> str:
    if before is None:
        return "It was too large for a diff."
    if before == after:
        return "Its content is the same as before."
    old, new = _endings(before), _endings(after)
    endings = f"Line endings changed: {old} to {new}.\n" if old != new else ""
    return f"{endings}{diff(before, after, shown)}".strip()


def _endings(text: str) -> str:
    windows = text.count("\r\n")
    if not windows:
        return "LF"
    return "CRLF" if windows == text.count("\n") else "CRLF and LF mixed"
