"""A notebook as text for the model: the sources of its cells, and its outputs, shortened."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ml_intern.text.formatting import size
from ml_intern.text.notebooks import Cell, Document, joined, source_of

MAX_OUTPUT = 2_000
"""Characters of one output."""
MAX_WHOLE_OUTPUT = 15_000
"""The same where one cell is shown."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def notebook_lines(document: Document) -> list[str]:
    """Return the lines that show a notebook."""
    return [line for number in range(1, len(document["cells"]) + 1) for line in cell_lines(document, number)]


def cell_lines(document: Document, number: int, limit: int = MAX_OUTPUT) -> list[str]:
    """Return the lines that show one cell with its outputs, each of at most `limit` characters."""
    cell = document["cells"][number - 1]
    lines = [f"[cell {number}: {_about(cell)}]", *source_of(cell).split("\n")]
    for output in cell.get("outputs") or ():
        lines += ["[output]", *shortened(output_text(output), limit).rstrip("\n").split("\n")]
    return [*lines, ""]


def _about(cell: Cell) -> str:
    count = cell.get("execution_count")
    return f"{cell.get('cell_type', 'unknown')}{f', ran as {count}' if count else ''}"


def shortened(text: str, limit: int) -> str:
    """Return the beginning and the end of a text."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - limit:,} characters left out ...]\n{text[-half:]}"


def output_text(output: Mapping[str, Any]) -> str:
    """Return an output as text. Images are named with their size."""
    if output.get("output_type") == "stream":
        return joined(output.get("text", ""))
    if output.get("output_type") == "error":
        trace = "\n".join(map(str, output.get("traceback") or ()))
        return _COLOUR.sub("", trace) or f"{output.get('ename')}: {output.get('evalue')}"
    data = output.get("data") or {}
    text = joined(data.get("text/plain", ""))
    return "\n".join(filter(None, [text, *_images_named(data)])) or f"({', '.join(data) or 'empty'})"


def _images_named(data: Mapping[str, Any]) -> Iterator[str]:
    for kind in IMAGES:
        if kind in data:
            yield f"({kind}, {size(len(joined(data[kind])) * 3 // 4)})"


def image_urls(cell: Mapping[str, Any], limit: int) -> Iterator[str]:
    """Yield the images in the outputs of a cell as data URLs, without those of more than `limit` characters."""
    for output in cell.get("outputs") or ():
        for kind in IMAGES:
            content = "".join(joined((output.get("data") or {}).get(kind, "")).split())
            if content and len(content) <= limit:
                yield f"data:{kind};base64,{content}"
