"""Previews of pending calls: the command, the diff or the arguments, to read before approving."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ml_intern.text.formatting import and_more
from ml_intern.text.visible import visible

MAX_LINES = 60
MAX_BYTES = 1_000_000
Kind = Literal["plain", "added", "removed", "location"]


@dataclass(frozen=True)
class PreviewLine:
    """One line of a preview and its kind."""

    text: str
    kind: Kind = "plain"


def preview(name: str, args: Mapping[str, Any], workspace: Path, limit: int = MAX_LINES) -> list[PreviewLine]:
    """Return at most `limit` lines that show a call, with hidden characters made visible."""
    if name == "bash":
        lines = _command(args)
    elif name == "jobs" and args.get("operation") in ("run", "schedule"):
        lines = _run(args, workspace)
    elif name in ("write", "edit") and isinstance(args.get("path"), str):
        lines = _diff(args, workspace)
    else:
        lines = [PreviewLine(line) for line in json.dumps(args, ensure_ascii=False, indent=2).splitlines()]
    return _cut([PreviewLine(visible(line.text), line.kind) for line in lines], limit)


def _command(args: Mapping[str, Any]) -> list[PreviewLine]:
    rest = {key: value for key, value in args.items() if key != "command"}
    lines = [
        PreviewLine(f"$ {line}" if not number else f"  {line}")
        for number, line in enumerate(str(args.get("command", "")).split("\n"))
    ]
    return [*lines, *(PreviewLine(f"{key}: {value}") for key, value in rest.items())]


def _run(args: Mapping[str, Any], workspace: Path) -> list[PreviewLine]:
    """Show a run: backend, hardware and time limit, then its command or its whole script."""
    script = str(args.get("script", ""))
    first = ("operation", "backend", "hardware", "timeout", "secrets")
    names = [*first, *(name for name in args if name not in (*first, "command", "script"))]
    lines = [PreviewLine(f"{name}: {_words(args[name])}") for name in names if args.get(name)]
    if command := str(args.get("command", "")):
        lines += [PreviewLine(f"{'  ' if number else '$ '}{line}") for number, line in enumerate(command.split("\n"))]
    if not script:
        return lines
    text = script if "\n" in script else _content(workspace, script)
    if text is None:
        return [*lines, PreviewLine(f"script: {script} (not a readable file of the workspace)")]
    shown = "" if "\n" in script else f" {script}"
    return [*lines, PreviewLine(f"script{shown}:", "location"), *(PreviewLine(line) for line in text.splitlines())]


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _diff(args: Mapping[str, Any], workspace: Path) -> list[PreviewLine]:
    before = _content(workspace, str(args["path"]))
    if "content" in args:
        after = str(args["content"])
    elif before is not None and str(args.get("old", "")) in before:
        after = before.replace(str(args["old"]), str(args.get("new", "")), -1 if args.get("replace_all") else 1)
    else:
        before, after = str(args.get("old", "")), str(args.get("new", ""))
    if before is None:
        return [
            PreviewLine(f"{args['path']} (new)"),
            *(PreviewLine(f"+{line}", "added") for line in after.splitlines()),
        ]
    found = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2))[2:]
    return [PreviewLine(str(args["path"])), *(PreviewLine(line, _kind(line)) for line in found)]


def _kind(line: str) -> Kind:
    kinds: dict[str, Kind] = {"+": "added", "-": "removed", "@": "location"}
    return kinds.get(line[:1], "plain")


def _content(workspace: Path, name: str) -> str | None:
    """Return the content of a readable file inside the workspace of at most MAX_BYTES; None for any other."""
    try:
        path = (workspace / name).resolve()
        if not path.is_relative_to(workspace.resolve()) or not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return None


def _cut(lines: list[PreviewLine], limit: int) -> list[PreviewLine]:
    if len(lines) <= limit:
        return lines
    rest = and_more(len(lines), limit, "line").removeprefix("and ")
    return [*lines[:limit], PreviewLine(f"… {rest}: v shows all", "location")]
