"""The write tool: creates or replaces a whole file."""

import asyncio
from pathlib import Path

from pydantic import Field

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.text.formatting import plural
from ml_intern.tools.local.diffs import diff
from ml_intern.tools.local.files import MAX_BYTES, replace, require_read, stat_regular_file


class WriteArgs(ToolArgs):
    """The arguments of write."""

    path: str = Field(min_length=1, description="The file, relative to the workspace or absolute.")
    content: str = Field(description="The complete text of the file.")


def _check(args: WriteArgs, context: ToolContext) -> None:
    path = context.resolve(args.path)
    if path.exists():
        _before(path, context.name_of(path), context)


@tool(result_text=lambda args, _before: str(args.get("content", "")), check=_check)
async def write(args: WriteArgs, context: ToolContext) -> ToolResult:
    """Write a whole text file, creating its folders. Read an existing file first, in its current version.

    To change part of a file, use edit.
    """
    return await asyncio.to_thread(_write, args.path, args.content, context)


def _write(path_text: str, text: str, context: ToolContext) -> ToolResult:
    path = context.resolve(path_text)
    shown = context.name_of(path)
    content = text.encode("utf-8")
    before = _before(path, shown, context) if path.exists() else None
    digest = replace(path, content, shown, before[0] if before else None)
    if before is None:
        about = f"Created {shown}: {plural(len(text.splitlines()), 'line')}, {plural(len(content), 'byte')}."
    else:
        about = f"Replaced {shown}.\n{_changes(before[1], text, shown)}"
    return ToolResult(about, file_reads={str(path): digest})


def _before(path: Path, shown: str, context: ToolContext) -> tuple[str, str | None]:
    """Return the digest and text of the file to replace; None as text when it is too long to diff. Raises ToolError."""
    try:
        size = stat_regular_file(path, shown).st_size
        digest = require_read(context, path, shown)
        return digest, path.read_bytes().decode("utf-8", "replace") if size <= MAX_BYTES else None
    except OSError as error:
        raise ToolError(f"cannot read {shown}: {error.strerror}") from error


def _changes(before: str | None, after: str, shown: str) -> str:
    if before is None:
        return "The file was too large for a diff."
    if before == after:
        return "The content is unchanged."
    old, new = _endings(before), _endings(after)
    endings = f"Line endings changed: {old} to {new}.\n" if old != new else ""
    return f"{endings}{diff(before, after, shown)}".strip()


def _endings(text: str) -> str:
    windows = text.count("\r\n")
    if not windows:
        return "LF"
    return "CRLF" if windows == text.count("\n") else "a mix of CRLF and LF"
