"""A Jupyter notebook as markdown: its text, its code in fences, and the beginning of what that printed."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_OUTPUT_LINES = 15
_LINE = 300


class NotNotebook(ValueError):
    """The text is no notebook."""


def notebook_markdown(text: str) -> str:
    """The markdown of a notebook's JSON. Raises NotNotebook."""
    try:
        notebook = json.loads(text)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        language = str((notebook.get("metadata") or {}).get("language_info", {}).get("name", "python"))
        return "\n\n".join(part for cell in cells for part in _cell(cell, language))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise NotNotebook("it is damaged, or of an unknown version") from error


def _cell(cell: Mapping[str, Any], language: str) -> Iterator[str]:
    source = _joined(cell.get("source", cell.get("input", ""))).strip()
    if cell.get("cell_type") != "code":
        yield source
        return
    if source:
        yield f"```{language}\n{source}\n```"
    printed = [line for output in cell.get("outputs", []) for line in _output(output).splitlines()]
    if printed:
        more = [f"[{len(printed) - _OUTPUT_LINES} more lines]"] if len(printed) > _OUTPUT_LINES else []
        yield "\n".join(["```text", *(line[:_LINE] for line in printed[:_OUTPUT_LINES]), *more, "```"])


def _output(output: Mapping[str, Any]) -> str:
    """What an output says in text; pictures and widgets say nothing."""
    if output.get("output_type") == "error":
        return f"{output.get('ename')}: {output.get('evalue')}"
    return _joined(output.get("text") or (output.get("data") or {}).get("text/plain") or "")


def _joined(source: object) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source)
