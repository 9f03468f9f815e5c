"""A tool call as a block: what it does, its state, time and exit code, and the last lines of its output or its diff."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ml_intern.terminal.blocks.diff import DiffLine, change_counts, diff_rows, new_file, parse_diff
from ml_intern.terminal.blocks.spans import Line, Span, paint, span, wrap
from ml_intern.terminal.blocks.width import cells, clean, cut
from ml_intern.terminal.render.summary import call_summary
from ml_intern.terminal.theme import Glyph, Style, Theme
from ml_intern.text.formatting import duration, plural

LINES = 5
"""Lines of output below a call."""
FAILURE_LINES = 40
"""Lines of a failed call's output: its end is what explains the failure."""
DIFF_LINES = 40
COMMAND_LINES = 6
"""Rows of a long command."""
LONG_LINE_ROWS = 3
"""Rows of a very long line of output."""
INDENT = "  "
BOUND = "\u00a0"
"""A blank at which rows do not break."""
MAX_BOUND = 16
SUMMARY = 2_000
KEY = "Ctrl-O shows all"

State = Literal["running", "done", "failed", "rejected"]
_MARKS: Mapping[State, tuple[Glyph, Style]] = {
    "running": ("running", "accent"),
    "done": ("success", "success"),
    "failed": ("failure", "failure"),
    "rejected": ("rejected", "warning"),
}
_REJECTED = ("rejected", "refused", "interrupted")
"""Statuses of calls that did not run, or not to their end, for a reason outside the call."""
_ENDING = re.compile(r"^\[(exit code |killed by |timed out|stopped).*\]$")
REJECTION = "Not run: the user rejected it."
SCHEMA = "\nexpected: {"
"""The beginning of the part for the model in the text of a call with invalid arguments."""
NO_OUTPUT = "(no output)"
_EDITS = ("write", "edit", "notebook")
SILENT = ("plan",)
"""Tools whose result is shown in another way. A renderer may leave out their blocks."""


@dataclass(frozen=True)
class CallBlock:
    """One call. `output` has its last lines; `left_out` counts the lines before them."""

    name: str
    args: Mapping[str, Any]
    state: State = "running"
    seconds: float | None = None
    output: tuple[str, ...] = ()
    left_out: int = 0
    ending: str = ""
    """The exit code, the signal, or why the call did not run."""
    changes: tuple[DiffLine, ...] = ()
    whole: bool = False
    """Show all output, as for a command that the user typed."""
    lines: int = LINES
    """Lines of output of a call that did not fail."""
    images: tuple[str, ...] = ()
    """The names of the images that the call wrote."""
    keys: bool = True
    """Name the key that shows all output."""

    def rows(self, width: int, theme: Theme) -> list[str]:
        """Return the rows of the block: the same while it runs and after, but for what changed."""
        return [
            *self._head(width, theme),
            *self._change_rows(width, theme),
            *self._output_rows(width, theme),
            *self._image_rows(width, theme),
        ]

    def _head(self, width: int, theme: Theme) -> list[str]:
        glyph, style = _MARKS[self.state]
        mark = Span(f"{theme.glyph(glyph)} ", style)
        summary = span(call_summary(self.name, self.args, SUMMARY))
        name, _, rest = summary.text.partition(" ")
        line: Line = (Span(name, "bold"), *((Span(f" {rest}"),) if rest else ()), Span(f"  {self._status()}", "dim"))
        rows = wrap(line, width, (mark,), (Span(INDENT),))
        if len(rows) > COMMAND_LINES:
            rows = [*rows[: COMMAND_LINES - 1], (Span(INDENT), Span(theme.glyph("more"), "dim"), *_last(line))]
        return [paint(row, theme).replace(BOUND, " ") for row in rows]

    def _status(self) -> str:
        """Return time, ending and counts. Rows break between them, and between the words of a long ending."""
        time = duration(self.seconds) if self.seconds is not None else ""
        parts = filter(None, [time, clean(self.ending), self._counts()])
        return ", ".join(part.replace(" ", BOUND) if len(part) <= MAX_BOUND else part for part in parts)

    def _counts(self) -> str:
        added, removed = change_counts(self.changes)
        return f"+{added} -{removed}" if self.changes else ""

    def _change_rows(self, width: int, theme: Theme) -> list[str]:
        if not self.changes:
            return []
        return _indented(diff_rows(self.changes, width - len(INDENT), theme, None if self.whole else DIFF_LINES))

    def _image_rows(self, width: int, theme: Theme) -> list[str]:
        lines = [span(f"image: {name}", "accent") for name in self.images]
        indent = (Span(INDENT),)
        return [paint(row, theme) for line in lines for row in wrap((line,), width, indent, indent)]

    def _output_rows(self, width: int, theme: Theme) -> list[str]:
        limit = max(FAILURE_LINES, self.lines) if self.state == "failed" else self.lines
        shown = self.output if self.whole else self.output[-limit:]
        left_out = self.left_out + len(self.output) - len(shown)
        rows: list[str] = []
        if left_out:
            key = f" ({KEY})" if self.keys and self.state != "running" else ""
            words = f"{theme.glyph('more')} {plural(left_out, 'more line')}{key}"
            rows.append(paint([Span(f"{INDENT}{cut(words, width - len(INDENT))}", "hint")], theme))
        return rows + [
            paint(row, theme) for line in shown for row in _output_line(line, width, theme, whole=self.whole)
        ]


def _last(line: Line) -> Line:
    """Return the status, which ends the first line."""
    return line[-1:]


def _indented(rows: Sequence[str]) -> list[str]:
    return [f"{INDENT}{row}" for row in rows]


def _output_line(line: str, width: int, theme: Theme, *, whole: bool) -> list[Line]:
    """Break a line of output at blanks. Of a very long one only the first rows are shown, unless everything is."""
    room = width - len(INDENT)
    text = clean(line.rstrip() if whole else line.rstrip()[: (LONG_LINE_ROWS + 1) * room])
    rows = wrap((Span(text, "dim"),), width, (Span(INDENT),), (Span(INDENT),))
    if whole or len(rows) <= LONG_LINE_ROWS:
        return rows
    more = Span(f" {theme.glyph('more')}", "dim")
    last = wrap(rows[LONG_LINE_ROWS - 1], width - cells(more.text))[0]
    return [*rows[: LONG_LINE_ROWS - 1], (*last, more)]


def running(name: str, args: Mapping[str, Any], seconds: float, lines: Sequence[str] = (), count: int = 0) -> CallBlock:
    """Return the block of a call that runs: the last lines of its output, and how many there were in all."""
    shown = tuple(lines)[-LINES:]
    return CallBlock(name, args, "running", seconds, shown, max(count, len(lines)) - len(shown))


def finished(name: str, args: Mapping[str, Any], data: Mapping[str, Any]) -> CallBlock:
    """Return the block of a call that ended, from the data of `tool_output`."""
    status, ok, text = str(data["status"]), bool(data["ok"]), str(data["text"])
    block = CallBlock(name, args, "done" if ok else "failed", data["seconds"])
    if not ok and status in _REJECTED:
        return replace(block, state="rejected", seconds=data["seconds"] or None, ending=_reason(text, status))
    if status == "invalid":
        text = text.partition(SCHEMA)[0]
    if ok and name in _EDITS:
        return _edited(block, text)
    if ok and name in SILENT:
        return block
    output, ending = _split(text)
    return replace(block, output=output, ending=ending or ("" if ok or status == "failed" else status))


def command(name: str, args: Mapping[str, Any], data: Mapping[str, Any]) -> CallBlock:
    """Return the block of a command that the user typed, with all its output."""
    return replace(finished(name, args, data), whole=True)


def _reason(text: str, status: str) -> str:
    first = next((line.strip() for line in text.splitlines() if line.strip()), status)
    if first.startswith(REJECTION):
        why = first.removeprefix(REJECTION).strip()
        return f"rejected: {why}" if why else "rejected"
    return first.removeprefix("error: ").removeprefix("Not run: ") if first != status else status


def _edited(block: CallBlock, text: str) -> CallBlock:
    about, _, diff = text.partition("\n")
    changes = parse_diff(diff)
    if not changes and about.startswith("Created "):
        changes = new_file(str(block.args.get("content", "")))
    return replace(block, changes=tuple(changes))


def _split(text: str) -> tuple[tuple[str, ...], str]:
    """Return the lines of a result, and the ending that its last line states: an exit code or a signal."""
    lines = text.rstrip("\n").split("\n") if text.strip() else []
    if not lines or not _ENDING.match(lines[-1]):
        return tuple(lines), ""
    return tuple(line for line in lines[:-1] if line != NO_OUTPUT), lines[-1].strip("[]")
