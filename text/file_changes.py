"""The text of a file before and after a pending call that changes it, for previews. Nothing is written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_intern.text.notebooks import SUFFIX, NotANotebook, parse, replaced, sources, with_change

MAX_BYTES = 1_000_000
CHANGING = ("write", "edit", "notebook")
"""The tools whose calls are shown as a change of a file."""


def changes_file(name: str, args: Mapping[str, Any]) -> bool:
    """Return whether a call is shown as a change of a file."""
    return name in CHANGING and isinstance(args.get("path"), str) and args.get("operation") not in ("read", "run")


def file_change(args: Mapping[str, Any], workspace: Path) -> tuple[str | None, str]:
    """Return the text before and after a call of `write`, `edit` or `notebook` with these arguments.

    The text before is None for a new file. If an edit does not apply to the file, its two texts are returned. Of a
    notebook, the texts are the sources of its cells.
    """
    before = readable_content(workspace, str(args["path"]))
    if str(args["path"]).endswith(SUFFIX) and (found := _cells_change(args, before)):
        return found
    if "content" in args:
        return before, str(args["content"])
    old, new = str(args.get("old", "")), str(args.get("new", ""))
    if before is None or not old or old not in before:
        return old, new
    return before, before.replace(old, new, -1 if args.get("replace_all") else 1)


def _cells_change(args: Mapping[str, Any], before: str | None) -> tuple[str | None, str] | None:
    """Return the sources of the cells before and after a call; None if the file is not a notebook."""
    try:
        if "operation" in args:
            after = parse(with_change(args, before or ""))
        elif "content" in args:
            after = parse(str(args["content"]))
        else:
            replaced(after := parse(before or ""), str(args.get("old", "")), str(args.get("new", "")))
        return (None if before is None else sources(parse(before))), sources(after)
    except NotANotebook:
        return None


def readable_content(workspace: Path, name: str) -> str | None:
    """Return the content of a readable file inside the workspace of at most MAX_BYTES; None for any other."""
    try:
        path = (workspace / name).resolve()
        if not path.is_relative_to(workspace.resolve()) or not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return None
