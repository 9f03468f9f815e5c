"""What happened, in one line each and safe to print: calls, outcomes, plans, waits. Both renderers use it."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_intern.text.formatting import duration as duration
from ml_intern.text.formatting import plural
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from ml_intern.session.protocol import Spending

LINE = 100
TELLING_ARGUMENTS = (
    "command", "question", "query", "url", "task", "repo", "repository", "dataset", "paper", "page", "path", "owner",
    "name",
)  # fmt: skip
"""The argument that tells a call from others of its tool, the first that is there; its operation stands before it."""
STEP_MARKS = {"done": "[x]", "in_progress": "[>]", "pending": "[ ]", "dropped": "[-]"}


def one_line(text: str, width: int = LINE) -> str:
    """The text on one line, hidden characters shown, cut to `width` characters."""
    flat = visible(" ".join(text.split()))
    return flat if len(flat) <= width else f"{flat[: width - 1]}…"


def call_summary(name: str, args: Mapping[str, Any], width: int = LINE) -> str:
    """The tool and what it was called for."""
    told = next((str(args[key]) for key in TELLING_ARGUMENTS if args.get(key)), "")
    if not told and isinstance(args.get("steps"), list):
        told = f"{len(args['steps'])} steps"
    operation = args.get("operation", "")
    if not told and not operation and args:
        told = json.dumps(args, ensure_ascii=False)
    return one_line(" ".join(filter(None, (name, str(operation), told))), width)


def outcome(data: Mapping[str, Any]) -> str:
    """How a call ended, from the data of tool_output: its time, and when it went wrong the telling line."""
    time = duration(data["seconds"])
    if data["ok"]:
        return time
    return f"{data['status']}, {time}: {one_line(_telling_line(data['text']), LINE)}"


def _telling_line(text: str) -> str:
    """The line of a failed result that says most: its first, or of a command the last error, and how it ended."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or not lines[-1].startswith("["):
        return "".join(lines[:1]).removeprefix("error: ")
    errors = [line for line in lines[:-1] if line.partition(":")[0].endswith(("Error", "Exception", "error"))]
    return f"{(errors or lines[:-1])[-1]} {lines[-1]}"


def plan_lines(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each step."""
    return [f"{STEP_MARKS.get(step['status'], '[?]')} {one_line(step['text'])}" for step in steps]


def resumed_line(data: Mapping[str, Any]) -> str:
    """Say that a thread was resumed, and from which folder if it moved."""
    elsewhere = f", until now in {data['moved_from']}" if data["moved_from"] else ""
    return f"resumed {data['title']!r}, {plural(data['turns'], 'turn')}{elsewhere}"


def wait_line(data: Mapping[str, Any]) -> str:
    """Describe an error that is retried, from the data of error."""
    wait = data["retry_in_s"]
    when = f"; trying again in {duration(wait)}" if wait else ""
    return one_line(f"{data['message']}{when}", 2 * LINE)


def unverified_line(data: Mapping[str, Any]) -> str:
    """List the numbers of the answer that no tool output contains, from the data of unverified."""
    return one_line(f"Unverified numbers (not found in any tool output): {', '.join(data['numbers'])}", 3 * LINE)


def budget_line(data: Mapping[str, Any]) -> str:
    """Say how much of the budget is used, from the data of budget."""
    unpriced = data["unpriced_requests"]
    more = f", and {plural(unpriced, 'request')} of unknown price" if unpriced else ""
    return f"{money(data['spent_usd'])} of {money(data['cap_usd'])} spent{more}"


def money(cost: float | None) -> str:
    """Format an amount in US dollars; None is unknown."""
    if cost is None:
        return "cost unknown"
    return f"${cost:.2f}" if cost >= 0.1 or cost == 0 else f"${cost:.4f}"


def spending_lines(rows: "Sequence[Spending]") -> list[str]:
    """A line for each source and model: requests, tokens, the part of the input that came from a cache, money."""
    head = ("", "", "requests", "in", "cached", "written", "out", "reasoning", "cost")
    table = [head, *(_spending(row) for row in rows)] if rows else []
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(_padded, range(len(line)), line, widths)) for line in table]


def _padded(place: int, cell: str, width: int) -> str:
    """Words to the left, numbers to the right."""
    return cell.ljust(width) if place < 2 else cell.rjust(width)


def _spending(row: "Spending") -> tuple[str, ...]:
    used = row.totals
    share = f"{used.cached_tokens / used.input_tokens:.0%}" if used.input_tokens else ""
    counts = (used.cache_write_tokens, used.output_tokens, used.reasoning_tokens)
    return (row.source, one_line(row.model, 60), str(used.requests), tokens(used.input_tokens), share,
            *map(tokens, counts), money(used.known_cost_usd))  # fmt: skip


def tokens(count: int) -> str:
    """A count of tokens, short."""
    return f"{count / 1000:.1f}k" if count >= 1000 else str(count)


def age(seconds: float) -> str:
    """How long ago something was, short."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return "now"


def size(count: int) -> str:
    """A number of bytes as a person reads it."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


class CallNames:
    """Remembers what calls were made with, for the line their result gets."""

    def __init__(self) -> None:
        self._args: dict[str, Mapping[str, Any]] = {}

    def note(self, id: str, args: Mapping[str, Any]) -> None:
        """Keep the arguments of a call."""
        self._args[id] = args

    def summary(self, id: str, name: str, width: int = LINE) -> str:
        """The call in one line, its arguments as far as they are known."""
        return call_summary(name, self._args.get(id, {}), width)
