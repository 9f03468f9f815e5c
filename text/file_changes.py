"""The text of a file before and after a pending `write` or `edit` call, for previews. Nothing is written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MAX_BYTES = 1_000_000


def file_change(args: Mapping[str, Any], workspace: Path) -> tuple[str | None, str]:
    """Return the text before and after a call of `write` or `edit` with these arguments.

    The text before is None for a new file. If an edit does not apply to the file, its two texts are returned.
    """
    before = readable_content(workspace, str(args["path"]))
    if "content" in args:
        return before, str(args["content"])
    old, new = str(args.get("old", "")), str(args.get("new", ""))
    if before is None or not old or old not in before:
        return old, new
    return before, before.replace(old, new, -1 if args.get("replace_all") else 1)


def readable_content(workspace: Path, name: str) -> str | None:
    """Return the content of a readable file inside the workspace of at most MAX_BYTES; None for any other."""
    try:
        path = (workspace / name).resolve()
        if not path.is_relative_to(workspace.resolve()) or not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return None
