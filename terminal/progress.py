"""Shows a headless run on the terminal at stderr: what the interactive session shows, without questions.

Finished blocks scroll; below them are the running calls with their last lines, the plan and a line with the time.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ml_intern.graph.events import Event
from ml_intern.terminal.blocks.call import SILENT, finished
from ml_intern.terminal.blocks.note import Retry, error_rows, note_rows, reasoning_rows
from ml_intern.terminal.blocks.plan import plan_rows
from ml_intern.terminal.blocks.reply import reply_rows
from ml_intern.terminal.blocks.running_call import RunningCall
from ml_intern.terminal.blocks.turn import WorkClock, summary_of
from ml_intern.terminal.blocks.width import clean, cut, fold
from ml_intern.terminal.live import LiveRows
from ml_intern.terminal.render.evidence import card_lines, is_warning
from ml_intern.terminal.render.summary import budget_line, hook_line, resumed_line
from ml_intern.terminal.theme import Style, Theme
from ml_intern.text.formatting import duration, spent

FRAME_S = 0.1
"""Shortest time between two frames."""
MAX_LIVE_CALLS = 4
REPLY_LINES = 3
MODES: Mapping[str, str] = {
    "auto": "approves its own calls (mode auto); to be asked instead, use ml-intern -i",
    "yolo": "approves everything that no deny rule forbids (mode yolo); to be asked instead, use ml-intern -i",
    "ask": "stops at the first call that needs approval (mode ask); to answer here, use ml-intern -i",
    "accept-edits": "edits files, and stops at other calls that need approval; to answer here, use ml-intern -i",
    "plan": "only reads (mode plan); to accept the plan and continue, use ml-intern -i",
}
"""How a headless run treats approvals, by approval mode."""


class ProgressRenderer:
    """Shows the events of a run. `clock` returns seconds; `hint` ends the live line, such as the name of a key."""

    def __init__(
        self, live: LiveRows, theme: Theme, *, verbose: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._live = live
        self._theme = theme
        self._verbose = verbose
        self._clock = clock
        self._work = WorkClock()
        self._args: dict[str, Mapping[str, Any]] = {}
        self._running: dict[str, RunningCall] = {}
        self._steps: list[Mapping[str, Any]] = []
        self._reply = ""
        self._activity = ""
        self._retry: tuple[Retry, float] | None = None
        self._used = {"input_tokens": 0, "output_tokens": 0}
        self._cost, self._unpriced = 0.0, 0
        self._drawn = float("-inf")
        self.hint = ""
        self._show: Mapping[str, Callable[[dict[str, Any]], list[str]]] = {
            "ready": self._ready,
            "resumed": self._resumed,
            "processing": self._processing,
            "assistant_chunk": self._chunk,
            "assistant_message": self._message,
            "tool_call": self._tool_call,
            "tool_log": self._tool_log,
            "tool_output": self._tool_output,
            "plan_update": self._plan,
            "usage": self._usage,
            "job_update": lambda data: self._note(f"{data['id']} {data['state']}: {data['text']}", "accent"),
            "compacted": self._compacted,
            "hook": lambda data: self._note(hook_line(data), "dim" if data["status"] == "ok" else "warning"),
            "budget": lambda data: self._note(budget_line(data), "warning"),
            "evidence": self._evidence,
            "error": self._error,
            "interrupted": self._ended,
            "shutdown": self._ended,
            "turn_complete": self._turn_complete,
        }

    def show(self, event: Event) -> None:
        """Show one event. Rows that do not change any more are printed at once, the others with the next frame."""
        rows = handler(event.data) if (handler := self._show.get(event.type)) else []
        if rows or self._clock() - self._drawn >= FRAME_S:
            self._draw(rows)

    def tick(self) -> None:
        """Draw the next frame, so that times count while nothing happens."""
        self._draw([])

    def clear(self) -> None:
        """Remove the live rows."""
        self._activity = ""
        self._running.clear()
        self._live.write([], [])

    def _draw(self, rows: list[str]) -> None:
        self._drawn = self._clock()
        self._live.write(rows, self._live_rows())

    def _live_rows(self) -> list[str]:
        """Return the rows below the printed ones: none while no turn runs."""
        if not self._activity:
            return []
        now, width = self._clock(), self._live.width
        calls = list(self._running.values())[-MAX_LIVE_CALLS:]
        rows = [row for call in calls for row in call.rows(now, width, self._theme)]
        if self._reply.strip():
            rows += reply_rows("\n".join(self._reply.splitlines()[-REPLY_LINES:]), width, self._theme)[-REPLY_LINES:]
        if self._retry:
            rows += self._retry[0].rows(width, self._theme, now - self._retry[1])
        rows += plan_rows(self._steps, width, self._theme, folded=True)
        rows.append(self._activity_row(now, width))
        return [part for row in rows for part in fold(row, width)]

    def _activity_row(self, now: float, width: int) -> str:
        cost = spent(self._cost, self._unpriced) if self._used["input_tokens"] else ""
        parts = [self._activity, duration(self._work.worked(now)), cost, self.hint]
        return self._theme.paint("dim", cut(clean("  ".join(filter(None, parts))), width))

    def _note(self, text: str, style: Style = "dim") -> list[str]:
        return note_rows(text, style, self._live.width, self._theme)

    # --- the handlers return the rows to print

    def _ready(self, data: dict[str, Any]) -> list[str]:
        does = MODES.get(data["approval_mode"], f"mode {data['approval_mode']}")
        rows = self._note(f"ml-intern {data['version']} {does}", "bold")
        rows += self._note(f"{data['model']}  {data['cwd']}")
        return rows + [row for note in data["notes"] for row in self._note(f"note: {note}", "warning")]

    def _resumed(self, data: dict[str, Any]) -> list[str]:
        rows = self._note(resumed_line(data))
        if data["interrupted"]:
            rows += self._note(f"interrupted, may have run in part: {', '.join(data['interrupted'])}", "warning")
        return rows

    def _processing(self, _: dict[str, Any]) -> list[str]:
        self._work.start(self._clock())
        self._used = dict.fromkeys(self._used, 0)
        self._cost, self._unpriced, self._activity = 0.0, 0, "thinking"
        return []

    def _chunk(self, data: dict[str, Any]) -> list[str]:
        self._activity = "thinking" if data["kind"] == "reasoning" else "writing"
        if data["kind"] != "reasoning":
            self._reply += data["text"]
        return self._end_retry()

    def _message(self, data: dict[str, Any]) -> list[str]:
        """Print a reply that calls tools. The answer itself goes to stdout."""
        self._reply = ""
        self._args |= {call["id"]: call["args"] for call in data["tool_calls"]}
        rows = self._end_retry()
        if self._verbose:
            rows += reasoning_rows(data["reasoning"], self._live.width, self._theme, is_open=True)
        if data["tool_calls"]:
            rows += reply_rows(data["text"], self._live.width, self._theme)
        return rows

    def _tool_call(self, data: dict[str, Any]) -> list[str]:
        self._args[data["id"]] = data["args"]
        self._running[data["id"]] = RunningCall(data["name"], data["args"], self._clock())
        self._activity = "working"
        return []

    def _tool_log(self, data: dict[str, Any]) -> list[str]:
        if call := self._running.get(data["id"]):
            call.add(data["text"])
        return []

    def _tool_output(self, data: dict[str, Any]) -> list[str]:
        self._running.pop(data["id"], None)
        self._activity = "working" if self._running else "thinking"
        if data["ok"] and data["name"] in SILENT:
            return []
        block = finished(data["name"], self._args.pop(data["id"], {}), data)
        return replace(block, keys=False).rows(self._live.width, self._theme)

    def _plan(self, data: dict[str, Any]) -> list[str]:
        """Print a new plan. A change of its progress shows in the live rows."""
        texts = [step["text"] for step in data["steps"]]
        is_new = texts != [step["text"] for step in self._steps]
        self._steps = data["steps"]
        return plan_rows(self._steps, self._live.width, self._theme) if is_new else []

    def _usage(self, data: dict[str, Any]) -> list[str]:
        for key in self._used:
            self._used[key] += data[key]
        self._cost += data["cost_usd"] or 0.0
        self._unpriced += data["cost_usd"] is None
        return []

    def _compacted(self, data: dict[str, Any]) -> list[str]:
        return self._note(f"conversation shortened from {data['before_tokens']} to {data['after_tokens']} tokens")

    def _error(self, data: dict[str, Any]) -> list[str]:
        rows = self._end_retry()
        if data["retry_in_s"] is not None:
            self._retry = (Retry(data["message"], data["retry_in_s"]), self._clock())
            return rows
        if data["exit_code"] is not None:  # an error that ends the run is shown at its end
            return rows
        return [*rows, *error_rows(data, self._live.width, self._theme)]

    def _end_retry(self) -> list[str]:
        """Print the error that was retried, once its countdown is over."""
        retry, self._retry = self._retry, None
        return retry[0].rows(self._live.width, self._theme) if retry else []

    def _ended(self, _: dict[str, Any]) -> list[str]:
        self._activity, self._reply = "", ""
        return []

    def _evidence(self, data: dict[str, Any]) -> list[str]:
        style: Style = "warning" if is_warning(data) else "dim"
        return [row for line in card_lines(data) for row in self._note(line, style)]

    def _turn_complete(self, data: dict[str, Any]) -> list[str]:
        """Print the numbers of the turn. Why it ended early is said at the end of the run."""
        self._activity, self._reply = "", ""
        cost = spent(self._cost, self._unpriced)
        summary = summary_of({**data, "status": "done"}, self._work, self._clock(), self._used, cost)
        return summary.rows(self._live.width, self._theme)
