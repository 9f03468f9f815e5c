"""The tool notebook: reads, inserts, replaces, deletes and runs cells of a Jupyter notebook."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ml_intern.execution.call import ToolError, ToolResult
from ml_intern.execution.file_sources import sources_of_files
from ml_intern.execution.tool import ToolArgs, ToolContext, tool
from ml_intern.text.digests import file_digest
from ml_intern.text.formatting import plural
from ml_intern.text.images import MAX_BYTES as MAX_IMAGE_BYTES
from ml_intern.text.notebooks import SUFFIX, CellKind, Document, NotANotebook, parse, sources, with_change
from ml_intern.tools.local.diffs import diff
from ml_intern.tools.local.files import read_bytes, require_read
from ml_intern.tools.local.files import replace as replace_file
from ml_intern.tools.notebooks.listing import MAX_WHOLE_OUTPUT, cell_lines, image_urls
from ml_intern.tools.notebooks.running import run_cells

MAX_IMAGES = 4
MAX_SECONDS = 10 * 3600
DEFAULT_SECONDS = 600
_DONE = {"insert": "Inserted a cell into", "edit": "Changed a cell of", "delete": "Deleted a cell of"}


class NotebookArgs(ToolArgs):
    """The arguments of notebook."""

    operation: Literal["read", "insert", "edit", "delete", "run"] = Field(description="What to do with the cells.")
    path: str = Field(min_length=1, description="The .ipynb file, relative to the workspace or absolute.")
    cell: int | None = Field(
        None,
        ge=1,
        description="The number of the cell, from 1. insert: the new cell's number, default: at the end. run: the last "
        "cell to run, default: all.",
    )
    source: str | None = Field(None, description="insert, edit: the whole source of the cell.")
    kind: CellKind | None = Field(None, description="insert: default code; edit: changes the kind of the cell.")
    timeout: int = Field(DEFAULT_SECONDS, ge=1, le=MAX_SECONDS, description="run: seconds before it is stopped.")


def _only_reads(args: Mapping[str, Any]) -> bool:
    return args.get("operation") == "read"


def _runs(args: Mapping[str, Any]) -> bool:
    return args.get("operation") == "run"


def _result_text(args: Mapping[str, Any], before: str) -> str:
    try:
        return with_change(args, before)
    except NotANotebook:
        return before


def _check(args: NotebookArgs, context: ToolContext) -> None:
    if args.operation == "run":
        _checked(args, context)
    elif args.operation != "read":
        _plan(args, context)


@tool(reads=_only_reads, runs_shell=_runs, result_text=_result_text, timeout=None, check=_check)
async def notebook(args: NotebookArgs, context: ToolContext) -> ToolResult:
    """Read, insert, replace or delete a cell of a Jupyter notebook, or run its cells.

    Read the notebook with `read` first: it shows all cells with their numbers. `edit` replaces a part of a cell.
    Changing a code cell removes its outputs. `run` starts a fresh kernel, runs the cells from the first one on, stops
    at the first error, and saves the outputs in the file. The kernel is the workspace's python3 if that has ipykernel,
    else that of ml-intern; the result names it.
    """
    if args.operation == "run":
        return await _run(args, context)
    if args.operation != "read":
        return await asyncio.to_thread(_change, args, context)
    result, path = await asyncio.to_thread(_read, args, context)
    return replace(result, taint=tuple(await sources_of_files(context.store, [path])))


def _load(path: Path, shown: str) -> tuple[str, Document]:
    """Return the text of a notebook, and the notebook. Raises ToolError."""
    _check_name(path, shown)
    try:
        text = read_bytes(path, shown).decode("utf-8")
        return text, parse(text)
    except ValueError as error:
        raise ToolError(f"{shown} cannot be read as a notebook: {error}") from error


def _check_name(path: Path, shown: str) -> None:
    if path.suffix != SUFFIX:
        raise ToolError(f"{shown} is not a notebook: its name does not end in {SUFFIX}")


def _read(args: NotebookArgs, context: ToolContext) -> tuple[ToolResult, Path]:
    path = context.resolve(args.path, reading=True)
    shown = context.name_of(path)
    document = _load(path, shown)[1]
    count = len(document["cells"])
    if args.cell is None or args.cell > count:
        raise ToolError(f"{shown} has {plural(count, 'cell')}; name one by its number, or use read for all")
    text = "\n".join(cell_lines(document, args.cell, MAX_WHOLE_OUTPUT))
    images = _images([document["cells"][args.cell - 1]], context)
    return ToolResult(text, images=images, file_reads={str(path): file_digest(path)}), path


def _images(cells: list[dict[str, Any]], context: ToolContext) -> tuple[str, ...]:
    """Return the first images in the outputs of cells, if the model accepts images."""
    found = tuple(islice((url for cell in cells for url in image_urls(cell, MAX_IMAGE_BYTES)), MAX_IMAGES))
    if found and context.services.models.abilities(context.options.model).images is False:
        return ()
    return found


def _plan(args: NotebookArgs, context: ToolContext) -> tuple[Path, str | None, str, str]:
    """Return the path of the notebook, its digest, and its text before and after. Raises ToolError."""
    path = context.resolve(args.path)
    shown = context.name_of(path)
    _check_name(path, shown)
    if args.operation != "delete" and args.source is None:
        raise ToolError(f"{args.operation} needs the source of the cell")
    is_new = not path.exists() and args.operation == "insert"
    before = "" if is_new else _load(path, shown)[0]
    expected = None if is_new else require_read(context, path, shown)
    try:
        after = with_change(args.model_dump(), before)
    except NotANotebook as error:
        raise ToolError(f"{shown}: {error}") from error
    return path, expected, before, after


def _change(args: NotebookArgs, context: ToolContext) -> ToolResult:
    path, expected, before, after = _plan(args, context)
    shown = context.name_of(path)
    digest = replace_file(path, after.encode("utf-8"), shown, expected)
    changed = diff(sources(parse(before)) if before else "", sources(parse(after)), shown)
    return ToolResult(f"{_DONE[args.operation]} {shown}.\n{changed}", file_reads={str(path): digest})


async def _run(args: NotebookArgs, context: ToolContext) -> ToolResult:
    path, last = await asyncio.to_thread(_checked, args, context)
    read = await sources_of_files(context.store, [path])
    result = await run_cells(path, last, args.timeout, context)
    result = replace(result, taint=tuple(dict.fromkeys((*result.taint, *read))))
    return await asyncio.to_thread(_with_outputs, result, path, context)


def _checked(args: NotebookArgs, context: ToolContext) -> tuple[Path, int]:
    """Return the notebook to run and the number of the last cell to run. Raises ToolError."""
    path = context.resolve(args.path)
    shown = context.name_of(path)
    document = _load(path, shown)[1]
    require_read(context, path, shown)
    language = (document.get("metadata", {}).get("kernelspec") or {}).get("language", "python")
    if language != "python":
        raise ToolError(f"{shown} is written in {language}, and only Python can be run")
    return path, min(args.cell or len(document["cells"]), len(document["cells"]))


def _with_outputs(result: ToolResult, path: Path, context: ToolContext) -> ToolResult:
    """Return the result of a run with the images in the notebook, which the model now knows."""
    try:
        images = _images(_load(path, context.name_of(path))[1]["cells"], context)
        return replace(result, images=images, file_reads={str(path): file_digest(path)})
    except (ToolError, OSError):  # a cell removed the file, or replaced it
        return result
