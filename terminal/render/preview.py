"""Previews of pending calls: the command, the diff or the arguments, to read before approving."""

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_intern.terminal.blocks.diff import DiffLine, new_file, parse_diff
from ml_intern.text.file_changes import changes_file, file_change, readable_content


def preview(name: str, args: Mapping[str, Any], workspace: Path) -> list[DiffLine]:
    """Return the lines that show a call. Their renderer makes hidden characters visible."""
    if name == "bash":
        return _command(args)
    if name == "jobs" and args.get("operation") in ("run", "sweep", "schedule"):
        return _run(args, workspace)
    if changes_file(name, args):
        return _diff(args, workspace)
    return _plain(json.dumps(args, ensure_ascii=False, indent=2))


def preview_text(lines: Sequence[DiffLine]) -> str:
    """Return the lines as text, with the marks of a diff."""
    marks = {"added": "+", "removed": "-", "same": " ", "gap": "@@ "}
    return "\n".join(f"{marks.get(line.kind, '')}{line.text}" for line in lines)


def _plain(text: str, first: str = "") -> list[DiffLine]:
    """Return the lines of a text, with `first` before the first one."""
    line, *rest = text.split("\n")
    return [DiffLine("plain", f"{first}{line}"), *(DiffLine("plain", " " * len(first) + line) for line in rest)]


def _command(args: Mapping[str, Any]) -> list[DiffLine]:
    rest = [f"{key}: {value}" for key, value in args.items() if key != "command"]
    return [*_plain(str(args.get("command", "")), "$ "), *(line for value in rest for line in _plain(value))]


def _run(args: Mapping[str, Any], workspace: Path) -> list[DiffLine]:
    """Show a run: backend, hardware and time limit, then its command or its whole script."""
    script, command = str(args.get("script", "")), str(args.get("command", ""))
    first = ("operation", "backend", "hardware", "timeout", "secrets")
    names = [*first, *(name for name in args if name not in (*first, "command", "script"))]
    lines = [DiffLine("plain", f"{name}: {_words(args[name])}") for name in names if args.get(name)]
    lines += _plain(command, "$ ") if command else []
    if not script:
        return lines
    text = script if "\n" in script else readable_content(workspace, script)
    if text is None:
        return [*lines, DiffLine("plain", f"script: {script} (not a readable file of the workspace)")]
    shown = "" if "\n" in script else f" {script}"
    return [*lines, DiffLine("note", f"script{shown}:"), *_plain(text.rstrip("\n"))]


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _diff(args: Mapping[str, Any], workspace: Path) -> list[DiffLine]:
    before, after = file_change(args, workspace)
    if before is None:
        return [DiffLine("note", f"{args['path']} (new)"), *new_file(after)]
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    return parse_diff("\n".join(found)) or [DiffLine("note", "no change")]
