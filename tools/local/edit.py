"""The edit tool: replace an exact piece of a file, and nothing else of it."""

import asyncio

from pydantic import Field
from rapidfuzz import fuzz, process

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.tools.local.diffs import diff
from ml_intern.tools.local.files import load, mark_seen, replace, require_seen

SHOWN_PLACES = 10
SHOWN_LINES = 20
MIN_LIKENESS = 50
COMPARED = 400
# Bytes that are no UTF-8 are kept through decoding and encoding.
_KEEP = "surrogateescape"


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
    return ToolResult(await asyncio.to_thread(_edit, args, context))


def _edit(args: EditArgs, context: ToolContext) -> str:
    path = context.resolve(args.path)
    shown = context.name_of(path)
    if args.old == args.new:
        raise ToolError("old and new are the same; nothing to change")
    before = load(path, shown).decode("utf-8", _KEEP)
    known = require_seen(context, path, shown)
    old, new = _with_endings(before, args.old, args.new)
    count = _checked(before.count(old), before, old, args, shown)
    after = before.replace(old, new)
    mark_seen(context, path, replace(path, after.encode("utf-8", _KEEP), shown, known))
    times = f" in {count} places" if count > 1 else ""
    return f"Edited {shown}{times}.\n{diff(_readable(before), _readable(after), shown)}"


def _with_endings(text: str, old: str, new: str) -> tuple[str, str]:
    """Both pieces with the line endings of the place they are for: models write LF, the file may hold CRLF."""
    windows = old.replace("\r\n", "\n").replace("\n", "\r\n")
    throughout = "\r\n" in text and text.count("\r\n") == text.count("\n")
    if throughout or (old not in text and windows in text):
        return windows, new.replace("\r\n", "\n").replace("\n", "\r\n")
    return old, new


def _checked(count: int, text: str, old: str, args: EditArgs, shown: str) -> int:
    """How often the piece is replaced. Raises ToolError when that is unclear."""
    if not count:
        raise ToolError(f"the text to replace is not in {shown}. {_nearest(_readable(text), args.old)}")
    if count > 1 and not args.replace_all:
        lines = ", ".join(str(line) for line in _lines_of(text, old))
        raise ToolError(
            f"the text to replace occurs {count} times in {shown}, at lines {lines}"
            f"{' ...' if count > SHOWN_PLACES else ''}; give more of the lines around it, or set replace_all"
        )
    return count


def _lines_of(text: str, piece: str) -> list[int]:
    found, at = list[int](), text.find(piece)
    while at >= 0 and len(found) < SHOWN_PLACES:
        found.append(text.count("\n", 0, at) + 1)
        at = text.find(piece, at + len(piece))
    return found


def _nearest(text: str, old: str) -> str:
    """Where the file is most like what was looked for, judged by its longest line."""
    wanted = old.strip("\r\n").splitlines()
    longest = max(range(len(wanted)), key=lambda at: len(wanted[at].strip())) if wanted else 0
    lines = text.split("\n")
    stripped = [line.strip()[:COMPARED] for line in lines]
    best = process.extractOne(wanted[longest].strip()[:COMPARED] if wanted else "", stripped, scorer=fuzz.ratio)
    if best is None or best[1] < MIN_LIKENESS:
        return "Nothing in it is like that; read it again."
    first = max(best[2] - longest, 0)
    near = lines[first : first + min(len(wanted), SHOWN_LINES)]
    same = [line.split() for line in near] == [line.split() for line in wanted[: len(near)]]
    listed = "\n".join(f"{first + at + 1:>6}\t{line.rstrip(chr(13))[:COMPARED]}" for at, line in enumerate(near))
    return f"The nearest text is{' the same but for its whitespace' if same else ''}:\n{listed}"


def _readable(text: str) -> str:
    return text.encode("utf-8", _KEEP).decode("utf-8", "replace")
