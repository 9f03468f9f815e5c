"""The edit tool: replaces an exact text in a file and nothing else."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field
from rapidfuzz import fuzz, process

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.text.notebooks import SUFFIX, NotANotebook, dump, parse, replaced, source_of, sources
from ml_intern.tools.local.diffs import diff
from ml_intern.tools.local.files import read_bytes, replace, require_read

MAX_PLACES = 10
MAX_NEAR_LINES = 20
MIN_SIMILARITY = 50
COMPARED_CHARACTERS = 400
# Preserves bytes that are not UTF-8 through decoding and encoding.
_SURROGATES = "surrogateescape"


class EditArgs(ToolArgs):
    """The arguments of edit."""

    path: str = Field(min_length=1, description="The file, relative to the workspace or absolute.")
    old: str = Field(
        min_length=1, description="The text to replace, exactly as it appears in the file, including indentation."
    )
    new: str = Field(description="The replacement text.")
    replace_all: bool = Field(False, description="Replace every occurrence; otherwise there must be exactly one.")


def _result_text(args: Mapping[str, Any], before: str) -> str:
    if str(args.get("path", "")).endswith(SUFFIX) and (changed := _in_cells(before, args)) is not None:
        return changed
    old, new = _with_endings(before, str(args.get("old", "")), str(args.get("new", "")))
    return before.replace(old, new) if old else before


def _in_cells(before: str, args: Mapping[str, Any]) -> str | None:
    """Return a notebook with the text replaced in the sources of its cells; None if it is not a notebook."""
    try:
        document = parse(before)
    except NotANotebook:
        return None
    replaced(document, str(args.get("old", "")), str(args.get("new", "")))
    return dump(document, before)


@dataclass(frozen=True)
class PlannedEdit:
    """An edit that can be made: the file, its digest, and its text before and after. `count` places change."""

    path: Path
    shown: str
    digest: str
    before: str
    after: str
    count: int
    has_cells: bool = False


def _plan(args: EditArgs, context: ToolContext) -> PlannedEdit:
    """Find what an edit would change. Raises ToolError if it cannot be made."""
    path = context.resolve(args.path)
    shown = context.name_of(path)
    if args.old == args.new:
        raise ToolError("old and new are the same, so there is nothing to change")
    before = read_bytes(path, shown).decode("utf-8", _SURROGATES)
    digest = require_read(context, path, shown)
    if path.suffix == SUFFIX and (after := _in_cells(before, args.model_dump())) is not None:
        cells = parse(before)["cells"]
        occurrences = sum(source_of(cell).count(args.old) for cell in cells)
        count = _count_occurrences(occurrences, _sources(before), args.old, args, shown)
        return PlannedEdit(path, shown, digest, before, after, count, has_cells=True)
    old, new = _with_endings(before, args.old, args.new)
    count = _count_occurrences(before.count(old), before, old, args, shown)
    return PlannedEdit(path, shown, digest, before, before.replace(old, new), count)


@tool(result_text=_result_text, check=_plan)
async def edit(args: EditArgs, context: ToolContext) -> ToolResult:
    """Replace an exact text in a file. Read the file first, and do not include the line numbers of its listing.

    `old` must occur exactly once: include surrounding lines until it does, or set replace_all. In a Jupyter notebook
    it is searched in the sources of the cells.
    """
    return await asyncio.to_thread(_edit, args, context)


def _edit(args: EditArgs, context: ToolContext) -> ToolResult:
    plan = _plan(args, context)
    digest = replace(plan.path, plan.after.encode("utf-8", _SURROGATES), plan.shown, plan.digest)
    shown = _sources if plan.has_cells else _readable
    times = f" in {plan.count} places" if plan.count > 1 and not plan.has_cells else ""
    changed = diff(shown(plan.before), shown(plan.after), plan.shown)
    return ToolResult(f"Edited {plan.shown}{times}.\n{changed}", file_reads={str(plan.path): digest})


def _sources(text: str) -> str:
    return sources(parse(text))


def _with_endings(text: str, old: str, new: str) -> tuple[str, str]:
    """Return both texts with the file's line endings: models write LF, the file may have CRLF."""
    windows = old.replace("\r\n", "\n").replace("\n", "\r\n")
    throughout = "\r\n" in text and text.count("\r\n") == text.count("\n")
    if throughout or (old not in text and windows in text):
        return windows, new.replace("\r\n", "\n").replace("\n", "\r\n")
    return old, new


def _count_occurrences(count: int, text: str, old: str, args: EditArgs, shown: str) -> int:
    """Return how many occurrences to replace. Raises ToolError when there is none, or more than one by accident."""
    if not count:
        raise ToolError(f"the text to replace is not in {shown}. {_nearest_text(_readable(text), args.old)}")
    if count > 1 and not args.replace_all:
        lines = ", ".join(str(line) for line in _lines_of(text, old))
        raise ToolError(
            f"the text to replace occurs {count} times in {shown}, at lines {lines}"
            f"{' ...' if count > MAX_PLACES else ''}; include surrounding lines, or set replace_all"
        )
    return count


def _lines_of(text: str, piece: str) -> list[int]:
    found, at = list[int](), text.find(piece)
    while at >= 0 and len(found) < MAX_PLACES:
        found.append(text.count("\n", 0, at) + 1)
        at = text.find(piece, at + len(piece))
    return found


def _nearest_text(text: str, old: str) -> str:
    """Show the part of the file most similar to `old`, judged by its longest line."""
    wanted = old.strip("\r\n").splitlines()
    longest = max(range(len(wanted)), key=lambda at: len(wanted[at].strip())) if wanted else 0
    lines = text.split("\n")
    stripped = [line.strip()[:COMPARED_CHARACTERS] for line in lines]
    best = process.extractOne(
        wanted[longest].strip()[:COMPARED_CHARACTERS] if wanted else "", stripped, scorer=fuzz.ratio
    )
    if best is None or best[1] < MIN_SIMILARITY:
        return "Nothing in the file is similar; read it again."
    first = max(best[2] - longest, 0)
    excerpt = lines[first : first + min(len(wanted), MAX_NEAR_LINES)]
    same = [line.split() for line in excerpt] == [line.split() for line in wanted[: len(excerpt)]]
    listed = "\n".join(
        f"{first + at + 1:>6}\t{line.rstrip(chr(13))[:COMPARED_CHARACTERS]}" for at, line in enumerate(excerpt)
    )
    return f"The most similar text{' differs only in whitespace' if same else ''}:\n{listed}"


def _readable(text: str) -> str:
    return text.encode("utf-8", _SURROGATES).decode("utf-8", "replace")
