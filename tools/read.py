"""The read tool: a text file with line numbers, a part at a time."""

import asyncio

from pydantic import Field

from tools.base import ToolArgs, ToolContext, ToolFault, ToolResult, tool
from tools.files import load, mark_seen

MOST_LINES = 2_000
MOST_LINE = 2_000
MOST_CHARACTERS = 18_000


class ReadArgs(ToolArgs):
    """What read takes."""

    path: str = Field(min_length=1, description="The file, relative to the workspace or absolute.")
    offset: int = Field(1, ge=1, description="The first line to show.")
    limit: int = Field(MOST_LINES, ge=1, le=MOST_LINES, description="How many lines to show at most.")


@tool(read_only=True)
async def read(args: ReadArgs, context: ToolContext) -> ToolResult:
    """Read a text file of the workspace, with line numbers. Read a file before you write or edit it.

    Give offset and limit for a part of a long file. Files that tools left in the thread's artifacts can be read too.
    """
    path = context.resolve(args.path, reading=True)
    shown = context.name_of(path)
    content = await asyncio.to_thread(load, path, shown)
    if b"\0" in content[:8_192]:
        raise ToolFault(f"{shown} is binary ({len(content):,} bytes); look at it with bash: file, xxd, or python")
    mark_seen(context, path, content)
    return ToolResult(_numbered(content.decode("utf-8", "replace"), args, shown))


def _numbered(text: str, args: ReadArgs, shown: str) -> str:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        return f"{shown} is empty"
    if args.offset > len(lines):
        raise ToolFault(f"{shown} has {len(lines)} lines; offset {args.offset} is after its end")
    taken, size = list[str](), 0
    for number, line in enumerate(lines[args.offset - 1 : args.offset - 1 + args.limit], start=args.offset):
        entry = f"{number:>6}\t{_cut(line.removesuffix(chr(13)))}"
        size += len(entry) + 1
        if size > MOST_CHARACTERS and taken:
            break
        taken.append(entry)
    last = args.offset + len(taken) - 1
    more = (
        [f"[lines {args.offset} to {last} of {len(lines)}; go on with offset {last + 1}]"] if last < len(lines) else []
    )
    return "\n".join([*taken, *more])


def _cut(line: str) -> str:
    return line if len(line) <= MOST_LINE else f"{line[:MOST_LINE]} [... {len(line) - MOST_LINE} more characters]"
