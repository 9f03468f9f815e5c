"""Record what a call wrote that was cut off: by a crash, or by the user."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.file_sources import record_written, sources_of_files
from ml_intern.execution.opened_files import opened_paths
from ml_intern.execution.tool import ToolContext, ToolSpec
from ml_intern.safety.files.disk import home, matching_files
from ml_intern.safety.shell.analysis import analyze_command
from ml_intern.safety.shell.paths import CommandContext


async def record_cut_off(spec: ToolSpec, args: Mapping[str, Any] | None, context: ToolContext, began: int) -> None:
    """Record the files that a call changed since `began`, with the outside sources in the context and in what it read.

    `args` is None if the arguments are unknown; then it may have read every file.
    """
    reads = args is not None and spec.only_reads(args)
    opened = await asyncio.to_thread(_opened, args, context)
    result = ToolResult("", file_sources=await sources_of_files(context.store, opened))
    await record_written(spec, result, context, began, reads=reads)


def _opened(args: Mapping[str, Any] | None, context: ToolContext) -> list[Path]:
    """Return the files and folders that the command of a call may have read."""
    if args is None:
        return list(context.roots())
    command = args.get("command")
    if not isinstance(command, str):
        return []
    try:
        folder = context.resolve(str(args.get("workdir", ".")))
    except ToolError:
        return []  # the command did not start
    place = CommandContext(str(context.roots()[0]), home=home(), cwd=str(folder), match=matching_files)
    return opened_paths(analyze_command(command, place).parsed, folder)
