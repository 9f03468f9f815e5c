"""The read tool: shows a part of a text file with line numbers, an image, or the entries of a folder."""

import asyncio
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.file_sources import sources_of_files
from ml_intern.execution.provenance import mark_untrusted, untrusted_result
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.text.digests import file_digest
from ml_intern.text.formatting import plural
from ml_intern.text.images import data_url, image_type
from ml_intern.text.notebooks import SUFFIX, parse
from ml_intern.text.visible import visible
from ml_intern.tools.local.external_files import external_source
from ml_intern.tools.local.files import read_bytes, stat_regular_file
from ml_intern.tools.local.listing import binary_kind, count_lines, listing
from ml_intern.tools.notebooks.listing import notebook_lines

MAX_LINES = 2_000
MAX_ENTRIES = 200


class ReadArgs(ToolArgs):
    """The arguments of read."""

    path: str = Field(min_length=1, description="The file or folder, relative to the workspace or absolute.")
    offset: int = Field(1, description="The first line to show; a negative number counts from the end.")
    limit: int = Field(MAX_LINES, ge=1, le=MAX_LINES, description="The maximum number of lines to show.")


@tool(read_only=True)
async def read(args: ReadArgs, context: ToolContext) -> ToolResult:
    """Read a text file of the workspace with line numbers, view an image, or list a folder.

    Read a file before you write or edit it. Use offset and limit to read part of a long file. The files with the full
    text of a long output can be read too.
    A Jupyter notebook is shown cell by cell, with its outputs shortened.
    Control characters are shown as escapes such as \\x1b.
    """
    result = await asyncio.to_thread(_read, args, context)
    path = await asyncio.to_thread(context.resolve, args.path, reading=True)
    files = [] if await asyncio.to_thread(path.is_dir) else [path]
    sources = [one for one in await sources_of_files(context.store, files) if one not in context.taint]
    if not sources:
        return result
    text = mark_untrusted(
        result.text, f"{', '.join(sources)}, by way of {await asyncio.to_thread(context.name_of, path)}"
    )
    return replace(result, text=text, taint=(*result.taint, *sources))


def _read(args: ReadArgs, context: ToolContext) -> ToolResult:
    path = context.resolve(args.path, reading=True)
    shown = context.name_of(path)
    try:
        source = external_source(path, context.roots())
        if path.is_file() and (kind := image_type(path)):
            return replace(_image(path, shown, kind, context), taint=(source,) if source else ())
        found = ToolResult(_folder(path, shown)) if path.is_dir() else _file(path, shown, args)
        return replace(untrusted_result(found.text, source), file_reads=found.file_reads) if source else found
    except OSError as error:
        raise ToolError(f"cannot read {shown}: {error.strerror}") from error


def _image(path: Path, shown: str, kind: str, context: ToolContext) -> ToolResult:
    about = f"{shown} is an image ({kind}, {path.stat().st_size:,} bytes)"
    if context.services.models.abilities(context.options.model).images is False:
        raise ToolError(f"{about}, and {context.options.model} does not accept images; inspect it with a command")
    url = data_url(path, kind)
    if url is None:
        raise ToolError(f"{about} and is too large to show; make a smaller copy with a command")
    return ToolResult(f"{about}; it is shown with this result", images=(url,))


def _file(path: Path, shown: str, args: ReadArgs) -> ToolResult:
    size = stat_regular_file(path, shown).st_size
    if kind := binary_kind(path):
        raise ToolError(f"{shown} is binary, {plural(size, 'byte')}: {kind}; inspect it with a command")
    digest = file_digest(path)
    text = _cells(path, shown, args) if path.suffix == SUFFIX else None
    return ToolResult(_lines(path, shown, args) if text is None else text, file_reads={str(path): digest})


def _cells(path: Path, shown: str, args: ReadArgs) -> str | None:
    """Return a part of a notebook, cell by cell; None if it is not one that can be read so."""
    try:
        lines = notebook_lines(parse(read_bytes(path, shown).decode("utf-8")))
    except ValueError:
        return None
    first = _first_line(len(lines), shown, args)
    last = min(first + args.limit - 1, len(lines))
    more = [f"[{_position(first, last, len(lines))}]"] if last < len(lines) else []
    return "\n".join([*map(visible, lines[first - 1 : last]), *more])


def _lines(path: Path, shown: str, args: ReadArgs) -> str:
    total = count_lines(path)
    if not total:
        return f"{shown} is empty"
    first = _first_line(total, shown, args)
    part = listing(path, first, args.limit, total)
    notes = [*part.notes, *([_position(first, part.last, total)] if part.last < total else [])]
    return "\n".join([part.text, *(f"[{note}]" for note in notes)])


def _first_line(total: int, shown: str, args: ReadArgs) -> int:
    """Return the number of the first line to show. Raises ToolError if there is no such line."""
    first = max(total + 1 + args.offset, 1) if args.offset < 0 else max(args.offset, 1)
    if first > max(total, 1):
        raise ToolError(f"{shown} has {plural(total, 'line')}; offset {args.offset} is past the end")
    return first


def _position(first: int, last: int, total: int) -> str:
    return f"lines {first:,} to {last:,} of {total:,}; continue with offset {last + 1}"


def _folder(path: Path, shown: str) -> str:
    entries = sorted(path.iterdir(), key=lambda entry: (not entry.is_dir(), entry.name))
    lines = [f"{entry.name}/" if entry.is_dir() else f"{entry.name}{_size(entry)}" for entry in entries[:MAX_ENTRIES]]
    more = [f"[{len(entries) - MAX_ENTRIES:,} more]"] if len(entries) > MAX_ENTRIES else []
    return "\n".join([f"{shown} is a folder; {plural(len(entries), 'entry')}:", *lines, *more])


def _size(entry: Path) -> str:
    return f"  {plural(entry.stat().st_size, 'byte')}" if entry.is_file() else "  (not a regular file)"
