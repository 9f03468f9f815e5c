"""What a waiting call would do, as text to look at before saying yes: the command, the diff, the arguments."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ml_intern.text.visible import visible

MAX_LINES = 60
MAX_BYTES = 1_000_000
Kind = Literal["plain", "added", "removed", "place"]


@dataclass(frozen=True)
class PreviewLine:
    """One line and what it is in a diff."""

    text: str
    kind: Kind = "plain"


def preview(name: str, args: Mapping[str, Any], workspace: Path, most: int = MAX_LINES) -> list[PreviewLine]:
    """Return the lines to show for a call, capped, with hidden characters made visible."""
    if name == "bash":
        lines = _command(args)
    elif name == "jobs" and args.get("operation") in ("run", "schedule"):
        lines = _run(args, workspace)
    elif name in ("write", "edit") and isinstance(args.get("path"), str):
        lines = _diff(args, workspace)
    else:
        lines = [PreviewLine(line) for line in json.dumps(args, ensure_ascii=False, indent=2).splitlines()]
    return _cut([PreviewLine(visible(line.text), line.kind) for line in lines], most)


def _command(args: Mapping[str, Any]) -> list[PreviewLine]:
    rest = {key: value for key, value in args.items() if key != "command"}
    lines = [
        PreviewLine(f"$ {line}" if not number else f"  {line}")
        for number, line in enumerate(str(args.get("command", "")).split("\n"))
    ]
    return [*lines, *(PreviewLine(f"{key}: {value}") for key, value in rest.items())]


def _run(args: Mapping[str, Any], workspace: Path) -> list[PreviewLine]:
    """A run: where, on what and how long, then the command or all of its script, which is what will run."""
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
        return [*lines, PreviewLine(f"script: {script} (it cannot be shown)")]
    shown = "" if "\n" in script else f" {script}"
    return [*lines, PreviewLine(f"script{shown}:", "place"), *(PreviewLine(line) for line in text.splitlines())]


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
    kinds: dict[str, Kind] = {"+": "added", "-": "removed", "@": "place"}
    return kinds.get(line[:1], "plain")


def _content(workspace: Path, name: str) -> str | None:
    """The file as it is, when it is a readable text file inside the workspace and not too large to compare."""
    try:
        path = (workspace / name).resolve()
        if not path.is_relative_to(workspace.resolve()) or not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return None


def _cut(lines: list[PreviewLine], most: int) -> list[PreviewLine]:
    if len(lines) <= most:
        return lines
    return [*lines[:most], PreviewLine(f"… {len(lines) - most} more lines: v shows them", "place")]
