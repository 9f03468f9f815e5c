"""A tool call as HTML: a summary line, the arguments in words, and the result with diffs, code and images."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from ml_intern.outbound.conversation import Call, Message
from ml_intern.outbound.exporting.html_code import code, language_of, numbered_code, safe
from ml_intern.text.formatting import duration, plural

MAX_SUMMARY: Final = 90
"""Characters of an argument in the summary line of a call."""
MAX_EXPANDED_LINES: Final = 12
"""Results of at most this many lines are expanded initially."""
MAX_INLINE: Final = 120
"""Longest text argument, in characters, that is shown beside its name."""
MIN_SECONDS: Final = 0.1
"""Shorter durations are not shown."""
_MAX_DEPTH: Final = 4
_FOLDED: Final = frozenset(
    ("read", "docs_read", "docs_search", "web_read", "web_search", "papers", "github", "hub_search", "datasets")
)
"""Tools that read: their results are folded."""
_CHANGES: Final = ("edit", "write", "notebook")
_LANGUAGES: Final = {"command": "bash", "script": "python", "sql": "sql"}
_DIFF: Final = re.compile(r"^--- .*\n\+\+\+ .*$", re.MULTILINE)
_MARKS: Final = {"done": "✓", "in_progress": "▸", "dropped": "✕"}


def call_html(call: Call, result: Message | None, *, running: bool = False) -> str:
    """Return one call with its result. `running`: a missing result may still come."""
    if running and result is None:
        return _details(call, None, "".join(_arguments(call, None)), expanded=False, missing="not finished")
    if (steps := plan_steps(call)) is not None:
        problem = "" if result is None or result.ok else _result(call, result)
        return _details(call, result, checklist(steps) + problem, expanded=bool(problem))
    body = "".join([*_arguments(call, result), _result(call, result)])
    return _details(call, result, body, expanded=_is_expanded(call, result))


def plan_steps(call: Call) -> Sequence[Mapping[str, Any]] | None:
    """Return the steps of a call of `plan`; None for other calls and malformed arguments."""
    steps = call.args.get("steps") if call.name == "plan" else None
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        return None
    return steps


def checklist(steps: Sequence[Mapping[str, Any]]) -> str:
    """Return the steps of a plan as a list with a mark for each status."""
    items = [_step(str(step.get("text", "")), str(step.get("status", "pending"))) for step in steps]
    return f'<ul class="plan">{"".join(items)}</ul>'


def arguments_html(call: Call) -> str:
    """Return the arguments of a call that did not run yet."""
    return "".join(_arguments(call, None))


def image(url: str, name: str = "image") -> str:
    """Return an embedded image. An address on the web is shown as text, because the page loads nothing."""
    if url.startswith("data:image/"):
        return f'<img alt="{safe(name)}" src="{escape(url, quote=True)}">'
    return f'<p class="plain">image: {safe(url)}</p>'


def _step(text: str, status: str) -> str:
    known = status if status in _MARKS else "pending"
    mark = f'<span title="{known.replace("_", " ")}">{_MARKS.get(known, "○")}</span>'
    return f'<li class="{known}">{mark}{safe(text)}</li>'


def _details(call: Call, result: Message | None, body: str, *, expanded: bool, missing: str = "no result") -> str:
    failed = result is not None and not result.ok
    seconds = (result.seconds if result is not None else None) or 0.0
    took = duration(seconds) if seconds >= MIN_SECONDS else ""
    about = " · ".join(filter(None, ["failed" if failed else "", missing if result is None else "", took]))
    kind = ' class="failed"' if failed else ""
    summary = f"<b>{safe(call.name)}</b> {safe(call_title(call))} <span>{about}</span>"
    return f"<details{kind}{' open' if expanded else ''}><summary>{summary}</summary>{body}</details>"


def _is_expanded(call: Call, result: Message | None) -> bool:
    if result is None:
        return True
    if result.ok and (call.name in _FOLDED or _only_reads(call)) and not result.images:
        return False
    return bool(_DIFF.search(result.text)) or len(result.text.splitlines()) <= MAX_EXPANDED_LINES


def _only_reads(call: Call) -> bool:
    return call.args.get("operation") in ("list", "read", "logs", "inspect", "info", "search")


def call_title(call: Call) -> str:
    """Return the beginning of the first text argument, which usually shows the purpose of the call."""
    if (steps := plan_steps(call)) is not None:
        done = sum(step.get("status") == "done" for step in steps)
        return f"{done} of {plural(len(steps), 'step')} done"
    first = next((value for value in call.args.values() if isinstance(value, str)), "")
    return " ".join(first[:1000].split())[:MAX_SUMMARY]


def _arguments(call: Call, result: Message | None) -> Iterator[str]:
    """Yield the arguments: short ones in a list of names and values, long ones as blocks."""
    args = _shown_arguments(call, result)
    short = {name: value for name, value in args.items() if not _is_block(value)}
    if short:
        yield _named_values(short, 0)
    path = str(args.get("path", ""))
    for name, value in args.items():
        if _is_block(value):
            language = _LANGUAGES.get(name) or (language_of(path) if name in ("content", "old", "new") else "")
            yield f'<p class="arg">{safe(name)}</p>{code(str(value), language)}'


def _shown_arguments(call: Call, result: Message | None) -> Mapping[str, Any]:
    """Return the arguments without what the diff in the result shows."""
    has_diff = result is not None and call.name in _CHANGES and _DIFF.search(result.text)
    hidden = ("old", "new", "content") if has_diff else ()
    return {name: value for name, value in call.args.items() if name not in hidden}


def _is_block(value: Any) -> bool:
    return isinstance(value, str) and ("\n" in value or len(value) > MAX_INLINE)


def _named_values(values: Mapping[str, Any], depth: int) -> str:
    rows = (f"<dt>{safe(str(name))}</dt><dd>{_value(value, depth + 1)}</dd>" for name, value in values.items())
    return f'<dl class="args">{"".join(rows)}</dl>'


def _value(value: Any, depth: int) -> str:
    """Return a value as a person reads it: yes and no, lists as lists, objects as names and values."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, dict | list) and depth > _MAX_DEPTH:
        return safe(json.dumps(value, ensure_ascii=False))
    if isinstance(value, dict):
        return _named_values(value, depth)
    if isinstance(value, list):
        return f"<ul>{''.join(f'<li>{_value(one, depth + 1)}</li>' for one in value)}</ul>"
    return safe(str(value))


def _result(call: Call, result: Message | None) -> str:
    if result is None:
        return '<p class="plain">No result.</p>'
    return _result_text(call, result.text) + "".join(image(url) for url in result.images)


def _result_text(call: Call, text: str) -> str:
    if found := _DIFF.search(text):
        before = text[: found.start()].strip()
        head = f'<p class="plain">{safe(before)}</p>' if before else ""
        # The line before the diff of an edit names the file already.
        start = found.end() + 1 if call.name in _CHANGES else found.start()
        return head + code(text[start:].rstrip(), "diff")
    if call.name == "read" and (lines := numbered_code(text, language_of(str(call.args.get("path", ""))))):
        return lines
    return f"<pre>{safe(text)}</pre>"
