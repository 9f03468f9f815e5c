"""Shows events as plain lines on a stream that is not a terminal: no colour, no cursor movement, no questions."""

from collections.abc import Callable, Mapping
from typing import Any, TextIO

from ml_intern.graph.events import Event
from ml_intern.terminal.render.evidence import card_lines
from ml_intern.terminal.render.summary import (
    CallNames,
    budget_line,
    hook_line,
    one_line,
    outcome,
    plan_lines,
    resumed_line,
    wait_line,
)
from ml_intern.text.clients import answered_from
from ml_intern.text.formatting import capped
from ml_intern.text.visible import visible

MAX_OUTPUT_LINES = 40
MAX_NOTE = 600


class PlainRenderer:
    """Writes one line per notable event. `verbose` adds reasoning and tool output."""

    def __init__(self, out: TextIO, *, verbose: bool = False) -> None:
        self._out = out
        self._verbose = verbose
        self._calls = CallNames()
        self._show: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "ready": self._ready,
            "resumed": self._resumed,
            "assistant_message": self._assistant_message,
            "tool_call": lambda data: self._calls.note(data["id"], data["args"]),
            "tool_output": self._tool_output,
            "plan_update": self._plan_update,
            "compacted": self._compacted,
            "hook": lambda data: self._line(hook_line(data)),
            "budget": lambda data: self._line(budget_line(data)),
            "job_update": lambda data: self._line(f"{data['id']} {data['state']}: {data['text']}"),
            "approval_answered": self._answered,
            "evidence": self._evidence,
            "error": self._error,
        }

    def show(self, event: Event) -> None:
        """Show one event."""
        if handler := self._show.get(event.type):
            handler(event.data)

    def _line(self, text: str, width: int = 300) -> None:
        self._out.write(f"{one_line(text, width)}\n")
        self._out.flush()

    def _evidence(self, data: dict[str, Any]) -> None:
        for line in card_lines(data):
            self._line(line)

    def _ready(self, data: dict[str, Any]) -> None:
        self._line(f"model {data['model']}, folder {data['cwd']}, approval {data['approval_mode']}")
        for note in data["notes"]:
            self._line(f"note: {note}", MAX_NOTE)

    def _resumed(self, data: dict[str, Any]) -> None:
        cut_off = (
            f"; interrupted, may have run in part: {', '.join(data['interrupted'])}" if data["interrupted"] else ""
        )
        self._line(f"{resumed_line(data)}{cut_off}")

    def _answered(self, data: dict[str, Any]) -> None:
        self._line(f"answered {answered_from(data['by'], data['device'])}: {', '.join(data['answers'].values())}")

    def _assistant_message(self, data: dict[str, Any]) -> None:
        if self._verbose and data["reasoning"]:
            self._block(data["reasoning"])
        for call in data["tool_calls"]:
            self._calls.note(call["id"], call["args"])
        if data["tool_calls"] and data["text"].strip():
            self._block(data["text"])

    def _tool_output(self, data: dict[str, Any]) -> None:
        self._line(f"{'+' if data['ok'] else '!'} {self._calls.summary(data['id'], data['name'])} ({outcome(data)})")
        if self._verbose:
            self._block(data["text"])
        for path in data["images"]:
            self._line(f"  image: {path}")

    def _plan_update(self, data: dict[str, Any]) -> None:
        self._block("\n".join(plan_lines(data["steps"])))

    def _compacted(self, data: dict[str, Any]) -> None:
        self._line(f"conversation shortened from {data['before_tokens']} to {data['after_tokens']} tokens")

    def _error(self, data: dict[str, Any]) -> None:
        if data["retry_in_s"] is not None:
            self._line(wait_line(data))
        elif data["exit_code"] is None:  # a warning; an error that ends the run is shown at its end
            self._line(f"note: {data['message']}" + (f" ({data['remedy']})" if data["remedy"] else ""))

    def _block(self, text: str) -> None:
        lines = visible(text.strip()).splitlines()
        self._out.write("".join(f"  {line}\n" for line in capped(lines, MAX_OUTPUT_LINES, "line")))
        self._out.flush()
