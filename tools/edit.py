"""The edit tool: replace an exact piece of a file, and nothing else of it."""

import asyncio
from pathlib import Path

from pydantic import Field
from rapidfuzz import fuzz

from tools.base import ToolArgs, ToolContext, ToolFault, ToolResult, tool
from tools.files import diff, load, mark_seen, replace, require_seen

SHOWN_PLACES = 10


class EditArgs(ToolArgs):
    """What edit takes."""

    path: str = Field(min_length=1, description="The file, relative to the workspace or absolute.")
    old: str = Field(
        min_length=1, description="The text to replace, exactly as it stands in the file, indentation too."
    )
    new: str = Field(description="The text to put in its place.")
    replace_all: bool = Field(False, description="Replace every occurrence; else there must be exactly one.")


@tool()
async def edit(args: EditArgs, context: ToolContext) -> ToolResult:
    """Replace an exact piece of a text file. Read the file first, and leave the line numbers of its listing out.

    `old` must occur exactly once: add lines around it until it does, or set replace_all.
    """
    path = context.resolve(args.path)
    return await asyncio.to_thread(_edit, path, args, context)


def _edit(path: Path, args: EditArgs, context: ToolContext) -> ToolResult:
    shown = context.name_of(path)
    content = load(path, shown)
    require_seen(context, path, content, shown)
    if args.old == args.new:
        raise ToolFault("old and new are the same; nothing to change")
    try:
        before = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ToolFault(f"{shown} is not UTF-8 text; change it with a script") from error
    old, new = _with_endings(before, args.old), _with_endings(before, args.new)
    after = _replaced(before, old, new, args.replace_all, shown)
    replace(path, after.encode("utf-8"), shown)
    mark_seen(context, path, after.encode("utf-8"))
    return ToolResult(f"Edited {shown}.\n{diff(before, after, shown)}")


def _with_endings(text: str, piece: str) -> str:
    """`piece` with the line endings of the file: models write LF, the file may hold CRLF throughout."""
    windows = "\r\n" in text and text.count("\r\n") == text.count("\n")
    return piece.replace("\r\n", "\n").replace("\n", "\r\n") if windows else piece


def _replaced(before: str, old: str, new: str, everywhere: bool, shown: str) -> str:  # noqa: FBT001 as the tool's argument
    count = before.count(old)
    if not count:
        raise ToolFault(f"the text to replace is not in {shown}. {_nearest(before, old)}")
    if count > 1 and not everywhere:
        places = [str(before.count("\n", 0, at) + 1) for at in _places(before, old)]
        raise ToolFault(
            f"the text to replace occurs {count} times in {shown}, at lines {', '.join(places[:SHOWN_PLACES])}; "
            "give more of the lines around it, or set replace_all"
        )
    return before.replace(old, new)


def _places(text: str, piece: str) -> list[int]:
    found, at = list[int](), text.find(piece)
    while at >= 0:
        found.append(at)
        at = text.find(piece, at + len(piece))
    return found


def _nearest(text: str, old: str) -> str:
    """The lines of the file that are most like what was looked for."""
    lines, height = text.splitlines(), len(old.splitlines())
    best = fuzz.partial_ratio_alignment(old, text)
    if best is None or best.score < 50:
        return "Nothing in it is like that; read it again."
    first = text.count("\n", 0, best.dest_start)
    near = "\n".join(f"{number + 1:>6}\t{lines[number]}" for number in range(first, min(first + height, len(lines))))
    return f"The nearest text is:\n{near}"
