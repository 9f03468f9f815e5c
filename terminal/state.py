"""The transcript: events become rows that are finished, once, and a live part that shows what runs."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ml_intern.graph.events import OWN_CALL
from ml_intern.terminal.blocks.call import LINES, SILENT, command, finished
from ml_intern.terminal.blocks.diff import change_counts
from ml_intern.terminal.blocks.note import Retry, error_rows
from ml_intern.terminal.blocks.plan import plan_rows
from ml_intern.terminal.blocks.running_call import RunningCall
from ml_intern.terminal.blocks.turn import WorkClock, summary_of
from ml_intern.terminal.display.rows import clip, wrap
from ml_intern.terminal.render.evidence import card_lines, is_warning
from ml_intern.terminal.render.known import KnownCalls
from ml_intern.terminal.render.replay import ReplayPlace, replay, said_rows
from ml_intern.terminal.render.stream import OPEN_ROWS, Piece, ReplyStream
from ml_intern.terminal.render.summary import (
    budget_line,
    call_summary,
    duration,
    hook_line,
    one_line,
    resumed_line,
    wait_line,
)
from ml_intern.terminal.theme import Theme
from ml_intern.text.formatting import money
from ml_intern.text.visible import visible

if TYPE_CHECKING:
    from ml_intern.graph.events import Event
    from ml_intern.outbound.conversation import Message
    from ml_intern.terminal.blocks.diff import DiffLine
    from ml_intern.terminal.display.images import Images

Block = Callable[[int], list[str]]
"""Return the rows of something finished at a width."""
Medium = Literal["screen", "lines", "progress", "print"]
"""The place where a transcript is shown: the screen of a session with its keys; lines, where nothing shows the live
part; the progress of a headless run, whose answer is written elsewhere; or a print of what happened earlier."""
VERBOSE_LINES = 40
MAX_PLAN = 6
MIN_PLAN_ROOM = 8
"""Rows of the live part below which the plan is folded."""
CALL_ROWS = LINES + 2
"""Rows of a call that runs: what it is, how many lines are not shown, and the last ones."""
MAX_REASONING = 6
MAX_REASONING_CHARACTERS = 4_000
NO_COLOURS = Theme("none")
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Transcript:
    """Takes events and lines. `finished` returns each row once; `live` returns what still changes.

    As lines, calls, retries and the plan are rows when they begin. `clock` returns seconds.
    """

    echoed = ""
    """The line that was typed last at the prompt of plain mode, where the terminal itself shows it."""

    def __init__(
        self,
        paint: Theme = NO_COLOURS,
        *,
        verbose: bool = False,
        medium: Medium = "screen",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.paint = paint
        self.spent = money(0.0)
        """The cost of the thread."""
        self.turn_cost = money(0.0)
        """The cost of the latest turn."""
        self.activity = ""
        """The current activity; "" while idle."""
        self.on_change: Callable[[], None] = lambda: None
        self.images: Images | None = None
        """Shows images, where the medium can."""
        self.beside_time = "Esc interrupts" if medium == "screen" else ""
        """The text beside the time of the activity."""
        self._verbose = verbose
        self._in_order = medium == "lines"
        self._answer_apart = medium == "progress"
        self._has_keys = medium == "screen"
        self._now_s = clock
        self._blocks: list[Block] = []
        self._stream: ReplyStream | None = None
        self._streamed: str | None = None
        self._after_reply = False
        self._known = KnownCalls()
        self._running: dict[str, RunningCall] = {}
        self._plan: list[Mapping[str, Any]] = []
        self._plan_shown: list[Mapping[str, Any]] = []
        self._plan_folded = False
        self._reasoning = ""
        """The reasoning before the current reply, its end."""
        self._reasoning_shown = False
        self._last_error = self._folder = ""
        """The latest error, and the beginning of paths in the working folder."""
        self._clock = WorkClock()
        self._retry: tuple[Retry, float] | None = None
        self._used = {"input_tokens": 0, "output_tokens": 0}
        self._show: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "ready": self._ready,
            "resumed": self._resumed,
            "processing": self._processing,
            "assistant_chunk": self._chunk,
            "assistant_stream_end": self._stream_end,
            "assistant_message": self._message,
            "tool_call": self._tool_call,
            "tool_log": self._tool_log,
            "tool_output": self._tool_output,
            "plan_update": self._plan_update,
            "usage": self._usage,
            "job_update": lambda data: self.line(f"{data['id']} {data['state']}: {data['text']}"),
            "compacted": self._compacted,
            "hook": lambda data: self.line(hook_line(data), "dim" if data["status"] == "ok" else "warning"),
            "budget": lambda data: self.line(budget_line(data), "warning"),
            "error": self._error,
            "interrupted": self._interrupted,
            "approval_required": self._wait_for_user,
            "evidence": self._evidence,
            "turn_complete": self._turn_complete,
        }

    # --- what is shown

    def show(self, event: "Event", age: float = 0.0) -> None:
        """Show one event, which happened `age` seconds ago."""
        self._clock.see_stop(self._now_s())
        if handler := self._show.get(event.type):
            handler(event.data)
            if event.type == "tool_call":
                self._running[event.data["id"]].began -= age
            self.on_change()

    def line(self, text: str, style: str = "") -> None:
        """Show a line of ml-intern's own text, with hidden characters made visible."""
        shown = self.paint(style, visible(text).expandtabs(4))
        self._add(lambda width: [row for line in shown.split("\n") for row in wrap(line, width)])

    def attached(self, urls: "Sequence[str]") -> None:
        """Show the images of a message, which are data URLs."""
        if images := self.images:
            for url in urls:
                self._add(partial(images.of_url, url))

    def _add_image(self, path: str) -> None:
        if self.images:
            self._add(partial(self.images.of_file, path))

    def markdown(self, text: str) -> None:
        """Show a whole reply."""
        if text.strip():
            stream = self._new_stream()
            stream.feed(text)
            self._add_reply(stream)

    def said(self, text: str) -> None:
        """Show a message of the user, unless it stands where it was typed."""
        if self.echoed and text.strip() == self.echoed.strip():
            self.echoed = ""
            return
        self._add(lambda width: said_rows(text, width, self.paint))

    def replay(self, messages: "Sequence[Message]", width: int, height: int) -> None:
        """Show the end of a resumed conversation, for a terminal of this size."""
        self._known.replayed(messages)
        place = ReplayPlace(self.paint, self._has_keys, self.images, self._folder)
        left_out, parts = replay(messages, width, height, place)
        if left_out:
            self.line(left_out, "dim")
        for part in parts:
            self._add(part)

    def propose(self, id: str, lines: "Sequence[DiffLine]") -> None:
        """Keep the change that a call would make, which stays visible if the user rejects it."""
        if any(change_counts(lines)) and not self._in_order:
            self._known.propose(id, lines)

    def unanswered(self, id: str, name: str) -> None:
        """Show a call that does not run, because the user did not answer whether it may."""
        ended = {"text": "not answered", "ok": False, "status": "interrupted", "seconds": 0.0, "images": []}
        self._tool_output({"id": id, "name": name, **ended})

    def has_replayed(self, id: str) -> bool:
        """Return whether a replay has shown the message or the result with this id."""
        return self._known.was_replayed(id)

    def _add_reply(self, stream: ReplyStream) -> None:
        stream.end()
        self._add(lambda width: stream.take(width, 0))
        self._after_reply = True

    def _add(self, block: Block) -> None:
        self._after_reply = False
        self._blocks.append(block)
        self.on_change()

    # --- what the screen asks for

    @property
    def moving(self) -> bool:
        """Return whether the live part changes with time."""
        return bool(self.activity)

    def tick(self) -> None:
        """Note that the program runs. The screen calls this with each frame while something moves."""
        self._clock.tick(self._now_s())

    @property
    def running_calls(self) -> list[RunningCall]:
        """Return the calls that run, the latest first."""
        return [*reversed(self._running.values())]

    def finished(self, width: int, room: int) -> list[str]:
        """Return the rows that are final since the last call. `room` is the height that the live part may have."""
        blocks, self._blocks = self._blocks, []
        rows = [row for block in blocks for row in block(width)]
        if self._stream and not self._answer_apart:
            rows += self._stream.take(width, room - len(self._below(width, room)))
        return rows

    def live(self, width: int, room: int) -> list[str]:
        """Return at most `room` rows: the open reply, running calls, the plan, and what the program does."""
        if not self.activity:
            return []
        below = self._below(width, room)[-room:]
        left = room - len(below)
        calls = self._calls(width, left)
        reply = [row for line in self._stream.open(width) for row in wrap(line, width)] if self._stream else []
        retry = self._retry[0].rows(width, self.paint, self._now_s() - self._retry[1]) if self._retry else []
        above = [*self._thought(width), *reply, *calls, *retry]
        return [*(above[-left:] if left > 0 else []), *below]

    def _below(self, width: int, room: int) -> list[str]:
        """Return the rows below the reply and the calls: the plan, and what the program does."""
        return [*self._plan_rows(width, room), clip(self._doing(), width)] if self.activity else []

    def _plan_rows(self, width: int, room: int) -> list[str]:
        """Return the plan: one row where the last lines of a call need the others, none where a reply needs all."""
        if self._stream and room < OPEN_ROWS + 2:
            return []
        rows = plan_rows(self._plan, width - 2, self.paint, limit=MAX_PLAN)
        needed = len(rows) + CALL_ROWS + 1 if self._running else MIN_PLAN_ROOM
        if self._plan_folded or room < needed:
            rows = plan_rows(self._plan, width - 2, self.paint, folded=True)
        return [f"  {row}" for row in rows]

    def _calls(self, width: int, room: int) -> list[str]:
        """Return the running calls, with as many of their last lines as fit: the first row of each says what it is."""
        blocks, now = list[list[str]](), self._now_s()
        for limit in range(LINES, -1, -1):
            blocks = [call.rows(now, width, self.paint, limit) for call in self._running.values()]
            if sum(map(len, blocks)) <= room:
                return [row for rows in blocks for row in rows]
        return [rows[0] for rows in blocks]

    def _thought(self, width: int) -> list[str]:
        """Return the last rows of the reasoning, if the user wants to see it."""
        if not self._reasoning_shown:
            return []
        rows = [row for line in visible(self._reasoning).split("\n") for row in wrap(line, width)]
        return [self.paint("dim", row) for row in rows[-MAX_REASONING:] if row]

    def toggle_plan(self) -> bool:
        """Fold the plan into one row, or unfold it. Return whether it is folded."""
        self._plan_folded = not self._plan_folded
        self.on_change()
        return self._plan_folded

    def toggle_reasoning(self) -> bool:
        """Show the reasoning while it streams, or hide it. Return whether it is shown."""
        self._reasoning_shown = not self._reasoning_shown
        self.on_change()
        return self._reasoning_shown

    def _doing(self) -> str:
        now = self._now_s()
        spinner = SPINNER[int(now * 10) % len(SPINNER)]
        about = ", ".join(filter(None, [duration(self._clock.worked(now)), self.beside_time]))
        return self.paint("dim", f"{spinner} {self.activity} ({about})")

    # --- the reply

    def _new_stream(self) -> ReplyStream:
        from ml_intern.terminal.render.markdown import markdown_rows

        def render(piece: Piece, width: int) -> list[str]:
            return markdown_rows(piece, width, self.paint)

        return ReplyStream(render, after_reply=self._after_reply)

    def _chunk(self, data: dict[str, Any]) -> None:
        if self.has_replayed(data["message_id"]):
            return
        if data["kind"] == "reasoning":
            self._end_retry()
            self._reasoning = f"{self._reasoning}{data['text']}"[-MAX_REASONING_CHARACTERS:]
            self._now(f"thinking: {data['text']}" if self._verbose else "thinking")
            return
        self._reasoning = ""
        self._end_retry()
        self._streamed = None if self._answer_apart else data["message_id"]
        self._now("writing")
        self._stream = self._stream or self._new_stream()
        self._stream.feed(data["text"])

    def _stream_end(self, data: dict[str, Any]) -> None:
        self._end_stream()
        if data["partial"]:
            self.line("(the reply was cut off and may be incomplete)", "warning")

    def _end_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream and not self._answer_apart:
            self._add_reply(stream)

    def _message(self, data: dict[str, Any]) -> None:
        if self.activity:
            self._now("thinking")
        if self._verbose and data["reasoning"]:
            self.line(data["reasoning"].strip(), "dim")
        is_answer, is_new = not data["tool_calls"], not self.has_replayed(data["message_id"])
        if is_new and data["message_id"] != self._streamed and not (is_answer and self._answer_apart):
            self.markdown(data["text"])
        self._known.announced(data["tool_calls"], is_new=is_new)

    # --- tools

    def _tool_call(self, data: dict[str, Any]) -> None:
        self._reasoning = ""
        self._known.note(data["id"], data["args"])
        self._running[data["id"]] = RunningCall(data["name"], data["args"], self._now_s())
        self._now("running")
        if self._in_order and data["name"] not in SILENT:
            self.line(f"running: {call_summary(data['name'], data['args'])}")

    def _tool_log(self, data: dict[str, Any]) -> None:
        if call := self._running.get(data["id"]):
            call.add(data["text"])

    def _tool_output(self, data: dict[str, Any]) -> None:
        self._running.pop(data["id"], None)
        proposed = self._known.take_proposed(data["id"])
        if self.activity:
            self._now("running" if self._running else "thinking")
        is_silent = data["ok"] and data["name"] in SILENT and not self._verbose
        if is_silent or self.has_replayed(data["id"]):
            return
        is_own = str(data["id"]).startswith(OWN_CALL)
        block = (command if is_own else finished)(data["name"], self._known.args(data["id"]), data)
        if block.state == "rejected":
            block = replace(block, changes=proposed)
        if self._verbose and not is_own:
            block = replace(block, lines=VERBOSE_LINES)
        names = tuple(path.removeprefix(self._folder) for path in data["images"])
        block = replace(block, keys=self._has_keys, images=names)
        self._add(lambda width: block.rows(width, self.paint))
        for path in data["images"]:
            self._add_image(path)

    def _plan_update(self, data: dict[str, Any]) -> None:
        self._plan = data["steps"]
        if self._in_order or not self.activity:
            self.show_plan()

    def show_plan(self) -> None:
        """Show the plan as finished rows, unless these steps were shown last."""
        if (steps := self._plan) and steps != self._plan_shown:
            self._add(lambda width: [f"  {row}" for row in plan_rows(steps, width - 2, self.paint)])
        self._plan_shown = self._plan

    def _compacted(self, data: dict[str, Any]) -> None:
        self.line(f"conversation shortened from {data['before_tokens']} to {data['after_tokens']} tokens", "dim")

    # --- turns

    def _processing(self, _: dict[str, Any]) -> None:
        self.begin()

    def begin(self, activity: str = "thinking") -> None:
        """Begin a turn, or continue one."""
        self._running.clear()
        self._drop_finished_plan()
        self._clock.start(self._now_s())
        self._used = dict.fromkeys(self._used, 0)
        self._now(activity)

    def _drop_finished_plan(self) -> None:
        if all(step["status"] in ("done", "dropped") for step in self._plan):
            self._plan = self._plan_shown = []

    def _wait_for_user(self, _: dict[str, Any]) -> None:
        """Stop the clock: the time a question waits is not work."""
        self.rest()
        self._clock.pause(self._now_s())

    def _now(self, activity: str) -> None:
        self._clock.resume(self._now_s())
        self.activity = one_line(activity) or self.activity

    def rest(self) -> None:
        """Finish what is open: nothing runs now."""
        self._end_stream()
        self._end_retry()
        self._reasoning = ""
        self.activity = ""
        self.on_change()

    def _ready(self, data: dict[str, Any]) -> None:
        self._folder = f"{data['cwd']}/"

    def _resumed(self, data: dict[str, Any]) -> None:
        self._clock.stop()
        self.line(resumed_line(data), "warning" if data["ended"] else "dim")
        if data["interrupted"]:
            self.line(f"interrupted, may have run in part: {', '.join(data['interrupted'])}", "warning")

    def _usage(self, data: dict[str, Any]) -> None:
        for key in self._used:
            self._used[key] += data[key]

    def _error(self, data: dict[str, Any]) -> None:
        self._end_retry()
        if data["retry_in_s"] is not None and self._in_order:
            self.line(wait_line(data), "warning")
            return
        if data["retry_in_s"] is not None:
            self._retry = (Retry(data["message"], data["retry_in_s"]), self._now_s())
            return
        self._end_stream()
        self._last_error = f"{data['message']} ({data['remedy']})" if data["remedy"] else str(data["message"])
        self._add(lambda width: error_rows(data, width, self.paint))

    def _end_retry(self) -> None:
        """Show the error that was retried, once its countdown is over."""
        retry, self._retry = self._retry, None
        if retry:
            self._add(lambda width: retry[0].rows(width, self.paint))

    def _evidence(self, data: dict[str, Any]) -> None:
        for line in card_lines(data):
            self.line(line, "warning" if is_warning(data) else "dim")

    def _turn_complete(self, data: dict[str, Any]) -> None:
        if data["status"] in ("done", "contradicted"):
            self.rest()
            self.show_plan()
            summary = summary_of(data, self._clock, self._now_s(), self._used, self.turn_cost)
            self._add(lambda width: summary.rows(width, self.paint))
        else:
            self._end("" if data["text"] == self._last_error else f"{data['status']}: {data['text']}", "warning")
        self._clock.stop()
        self._drop_finished_plan()

    def _interrupted(self, data: dict[str, Any]) -> None:
        for call in self._running.values():
            block = call.interrupted(self._now_s(), keys=False)
            self._add(partial(block.rows, theme=self.paint))
        self._end(f"interrupted {data['reason'].removeprefix('interrupted ')}", "warning")

    def _end(self, text: str, style: str) -> None:
        self.rest()
        self._running.clear()
        self.show_plan()
        self._clock.stop()
        if text:
            self.line(text, style)
