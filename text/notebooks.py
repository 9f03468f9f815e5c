"""The cells of a Jupyter notebook (format 4): parsing, changing and writing them back. No file is opened here."""

import json
import secrets
from collections.abc import Mapping
from typing import Any, Literal, cast

Document = dict[str, Any]
Cell = dict[str, Any]
CellKind = Literal["code", "markdown", "raw"]
SUFFIX = ".ipynb"
FORMAT = 4
_WITH_IDS = 5
"""The minor version of the format from which on cells have ids."""


class NotANotebook(ValueError):
    """A text is not a notebook that can be changed cell by cell. The message says why."""


def new_document() -> Document:
    """Return a notebook without cells."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": [], "metadata": {"kernelspec": kernel}, "nbformat": FORMAT, "nbformat_minor": _WITH_IDS}


def parse(text: str) -> Document:
    """Return the notebook in a text. Raises NotANotebook."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise NotANotebook(f"it is not valid JSON: {error}") from error
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list) or not all(_is_cell(cell) for cell in cells):
        raise NotANotebook("it has no list of cells; convert it to format 4 with `jupyter nbconvert --to notebook`")
    return cast(Document, document)


def _is_cell(cell: object) -> bool:
    return isinstance(cell, dict) and isinstance(cell.get("source"), str | list)


def dump(document: Document, like: str = "") -> str:
    """Return the text of a notebook, indented like an earlier text of it."""
    second = like.split("\n", 2)[1] if like.count("\n") else " "
    indent = len(second) - len(second.lstrip(" ")) or 1
    return json.dumps(document, ensure_ascii=False, indent=indent) + ("\n" if not like or like.endswith("\n") else "")


def source_of(cell: Mapping[str, Any]) -> str:
    """Return the source of a cell."""
    return joined(cell["source"])


def joined(text: object) -> str:
    """Return a text that the format writes as a text or as a list of lines."""
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def set_source(cell: Cell, source: str) -> None:
    """Change the source of a cell. The outputs of a code cell no longer belong to it and are removed."""
    cell["source"] = source.splitlines(keepends=True) if isinstance(cell["source"], list) else source
    if cell.get("cell_type") == "code":
        cell |= {"outputs": [], "execution_count": None}


def new_cell(document: Document, kind: CellKind, source: str) -> Cell:
    """Return a cell that can be added to a notebook."""
    cell: Cell = {"cell_type": kind, "metadata": {}, "source": source.splitlines(keepends=True)}
    if kind == "code":
        cell |= {"outputs": [], "execution_count": None}
    if document.get("nbformat_minor", 0) >= _WITH_IDS:
        cell["id"] = secrets.token_hex(4)
    return cell


def replaced(document: Document, old: str, new: str) -> list[int]:
    """Replace a text in the sources of all cells. Return the numbers of the changed cells, from 1."""
    changed = [number for number, cell in enumerate(document["cells"], 1) if old in source_of(cell)]
    for number in changed:
        cell = document["cells"][number - 1]
        set_source(cell, source_of(cell).replace(old, new))
    return changed


def sources(document: Document) -> str:
    """Return the sources of all cells, each below its number and kind, to search in and to compare."""
    heads = (f"[cell {number}: {cell.get('cell_type', '')}]" for number, cell in enumerate(document["cells"], 1))
    return "\n".join(f"{head}\n{source_of(cell)}" for head, cell in zip(heads, document["cells"], strict=True))


def with_change(args: Mapping[str, Any], before: str) -> str:
    """Return the text of a notebook after an `operation` of the tool `notebook`. Raises NotANotebook.

    `insert` adds a cell before number `cell`, or at the end; `edit` replaces its source; `delete` removes it.
    """
    document = parse(before) if before else new_document()
    cells, source, kind = document["cells"], str(args.get("source") or ""), args.get("kind")
    number = args.get("cell")
    if args.get("operation") == "insert":
        place = len(cells) if number is None else int(number) - 1
        if not 0 <= place <= len(cells):
            raise NotANotebook(f"it has {len(cells)} cells; insert at 1 to {len(cells) + 1}")
        cells.insert(place, new_cell(document, kind or "code", source))
        return dump(document, before)
    if number is None or not 1 <= int(number) <= len(cells):
        raise NotANotebook(f"it has {len(cells)} cells; name one of them by its number")
    cell = cells[int(number) - 1]
    if args.get("operation") == "delete":
        cells.remove(cell)
    elif kind and kind != cell.get("cell_type"):
        cells[int(number) - 1] = {**new_cell(document, kind, source), **({"id": cell["id"]} if "id" in cell else {})}
    else:
        set_source(cell, source)
    return dump(document, before)
