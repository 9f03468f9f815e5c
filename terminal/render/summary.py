"""One-line summaries of calls, outcomes, plans and costs for both renderers, with control characters escaped."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_intern.text.formatting import duration as duration
from ml_intern.text.formatting import money, plural, spent
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from ml_intern.session.protocol import Spending

LINE = 100
KEY_ARGUMENTS = (
    "command", "question", "query", "url", "task", "repo", "repository", "dataset", "paper", "page", "path", "owner",
    "name",
)  # fmt: skip
"""The first of these arguments that a call has is shown in its summary, after the operation."""
ENDED = {"interrupted": "was interrupted", "failed": "failed", "limit": "reached a limit", "stopped": "was stopped"}
"""The words for a turn that ended early, by its status."""
STEP_MARKS = {"done": "[x]", "in_progress": "[>]", "pending": "[ ]", "dropped": "[-]"}


def one_line(text: str, width: int = LINE) -> str:
    """Return the text on one line of at most `width` characters, with hidden characters made visible."""
    flat = visible(" ".join(text.split()))
    return flat if len(flat) <= width else f"{flat[: width - 1]}…"


def call_summary(name: str, args: Mapping[str, Any], width: int = LINE) -> str:
    """Summarise a call: the tool, its operation and its key argument."""
    key = next((str(args[key]) for key in KEY_ARGUMENTS if args.get(key)), "")
    if args.get("command") and args.get("name"):
        key = f"{args['name']}: {key}"
    if not key and isinstance(args.get("steps"), list):
        key = plural(len(args["steps"]), "step")
    operation = args.get("operation", "")
    if not key and not operation and args:
        key = json.dumps(args, ensure_ascii=False)
    return one_line(" ".join(filter(None, (name, str(operation), key))), width)


def outcome(data: Mapping[str, Any]) -> str:
    """Return a call's duration and, if it failed, its status and error, from the data of tool_output."""
    time = duration(data["seconds"])
    if data["ok"]:
        return time
    return f"{data['status']}, {time}: {one_line(_error_line(data['text']), LINE)}"


def _error_line(text: str) -> str:
    """Return the most informative line of a failed result: its first; for a command, its last error and exit status."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or not lines[-1].startswith("["):
        return "".join(lines[:1]).removeprefix("error: ")
    errors = [line for line in lines[:-1] if line.partition(":")[0].endswith(("Error", "Exception", "error"))]
    return f"{(errors or lines[:-1])[-1]} {lines[-1]}"


def plan_lines(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line per step."""
    return [f"{STEP_MARKS.get(step['status'], '[?]')} {one_line(step['text'])}" for step in steps]


def resumed_line(data: Mapping[str, Any]) -> str:
    """Describe a resumed thread, its earlier folder if that was another one, and an early end of its last turn."""
    elsewhere = f", previously in {data['moved_from']}" if data["moved_from"] else ""
    early = f"; the last one {ENDED[data['ended']]}" if data["ended"] else ""
    return f"resumed {data['title']!r}, {plural(data['turns'], 'turn')}{elsewhere}{early}"


def wait_line(data: Mapping[str, Any]) -> str:
    """Describe an error that is retried, from the data of error."""
    wait = data["retry_in_s"]
    when = f"; trying again in {duration(wait)}" if wait else ""
    return one_line(f"{data['message']}{when}", 2 * LINE)


def hook_line(data: Mapping[str, Any]) -> str:
    """Describe the end of a hook and its duration, from the data of hook."""
    about = f" for {data['tool']}" if data["tool"] else ""
    status = "" if data["status"] == "ok" else f" {data['status']}"
    said = f": {data['text']}" if data["text"] else ""
    return one_line(
        f"hook {data['hook']}{about}{status} ({duration(data['seconds'])}, {data['command']}){said}", 2 * LINE
    )


def budget_line(data: Mapping[str, Any]) -> str:
    """Say how much of the budget is used, from the data of budget."""
    unpriced = data["unpriced_requests"]
    more = f", and {plural(unpriced, 'request')} of unknown price" if unpriced else ""
    return f"{money(data['spent_usd'])} of {money(data['cap_usd'])} spent{more}"


SPENDING_HEAD = ("", "", "requests", "in", "cached", "written", "out", "reasoning", "cost")
SPENDING_DROP = ("written", "reasoning", "cached", "requests")
"""The columns that a narrow terminal leaves out, in this order."""


def spending_rows(rows: "Sequence[Spending]") -> list[tuple[str, ...]]:
    """Return a table with one row per source and model: requests, tokens, share of cached input, cost."""
    return [SPENDING_HEAD, *(_spending(row) for row in rows)] if rows else []


def _spending(row: "Spending") -> tuple[str, ...]:
    used = row.totals
    share = f"{used.cached_tokens / used.input_tokens:.0%}" if used.input_tokens else ""
    counts = (used.cache_write_tokens, used.output_tokens, used.reasoning_tokens)
    return (row.source, one_line(row.model, 60), str(used.requests), tokens(used.input_tokens), share,
            *map(tokens, counts), spent(used.cost_usd, used.unpriced_requests))  # fmt: skip


def tokens(count: int) -> str:
    """Format a number of tokens: 950, 1.2k."""
    return f"{count / 1000:.1f}k" if count >= 1000 else str(count)


def age(seconds: float) -> str:
    """Format an age: 3 d, 5 h, 12 min, now."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return "now"


def size(count: int) -> str:
    """Format a number of bytes in the largest fitting binary unit."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


class CallNames:
    """Remembers the arguments of calls, for the summaries of their results."""

    def __init__(self) -> None:
        self._args: dict[str, Mapping[str, Any]] = {}

    def note(self, id: str, args: Mapping[str, Any]) -> None:
        """Remember the arguments of a call."""
        self._args[id] = args

    def args(self, id: str) -> Mapping[str, Any]:
        """Return the arguments of a call, {} if they are unknown."""
        return self._args.get(id, {})

    def summary(self, id: str, name: str, width: int = LINE) -> str:
        """Summarise a call in one line, with its arguments if they are known."""
        return call_summary(name, self._args.get(id, {}), width)
