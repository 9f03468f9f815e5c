"""Sentences about a pending call: its effect, its cost, and the calls that "do not ask again" covers."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ml_intern.terminal.blocks.diff import DiffLine, change_counts
from ml_intern.terminal.blocks.width import one_row
from ml_intern.text.formatting import plural

QUESTION = "question"
"""The name of a request that is not about a call."""
_PRICE = re.compile(r"for at most (\$[\d.,]*\d)")
_LOCAL = ("bash", "write", "edit", "read", "notebook")
_FILES = ("write", "edit", "notebook")


def what_happens(request: Mapping[str, Any], preview: Sequence[DiffLine] = ()) -> str:
    """Return what a request asks about, in one sentence."""
    if request["name"] == QUESTION:
        return one_row(str(request["description"]))
    name, args = str(request["name"]), request["args"]
    added, removed = change_counts(preview)
    match name:
        case "bash":
            lines = str(args.get("command", "")).strip().count("\n") + 1
            return "Run this command." if lines == 1 else f"Run this script of {plural(lines, 'line')}."
        case "notebook" if args.get("operation") == "run":
            return f"Run the notebook {one_row(str(args.get('path', '')))}."
        case "write" | "edit" | "notebook":
            return f"{_write(name, preview)} {one_row(str(args.get('path', '')))} (+{added} -{removed})."
        case "jobs" if args.get("operation") in ("run", "sweep", "schedule"):
            return _run_sentence(args)
        case "improve":
            return f"Search for a better metric, {one_row(str(args.get('metric', '')))}."
    operation = one_row(str(args.get("operation", "")))
    return f"Call the tool {one_row(name)}{f' to {operation}' if operation else ''}."


def _write(name: str, preview: Sequence[DiffLine]) -> str:
    if name != "write":
        return "Change"
    return "Create" if preview and all(line.kind in ("added", "note") for line in preview) else "Replace"


def _run_sentence(args: Mapping[str, Any]) -> str:
    where = one_row(str(args.get("target") or args.get("hardware") or args.get("backend") or ""))
    limit = one_row(str(args.get("timeout") or ""))
    words = {"schedule": "Schedule a background run", "sweep": "Start the background runs of a sweep"}
    what = words.get(str(args.get("operation")), "Start a background run")
    return f"{what}{f' on {where}' if where else ''}{f' for at most {limit}' if limit else ''}."


def what_it_costs(request: Mapping[str, Any]) -> str:
    """Return the cost of a call in one sentence; "" for a question, whose text says it."""
    if request["name"] == QUESTION:
        return ""
    why = str(request["description"])
    if found := _PRICE.search(why):
        return f"It costs at most {found[1]}."
    if "unknown price" in why:
        return "Its cost is unknown."
    return "It costs nothing." if request["name"] in _LOCAL else ""


def why_asked(request: Mapping[str, Any]) -> str:
    """Return why policy asks about a call."""
    return "" if request["name"] == QUESTION else f"Asked because: {one_row(str(request['description']))}."


def covered(offers: Sequence[Mapping[str, Any]]) -> str:
    """Return what an "always" answer would allow, such as: commands that begin with `uv run`."""
    prefixes = [" ".join(offer["prefix"]) for offer in offers if offer["prefix"]]
    tools = [str(offer["tool"]) for offer in offers if not offer["prefix"]]
    words = [f"commands that begin with {' or '.join(f'`{one}`' for one in prefixes)}"] if prefixes else []
    words += [_covered_tools(tools)] if tools else []
    return one_row(" and ".join(words))


def _covered_tools(tools: Sequence[str]) -> str:
    names = " or ".join(tools)
    return f"changes to ordinary files by {names}" if set(tools) <= set(_FILES) else f"every call of {names}"
