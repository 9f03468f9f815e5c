"""Shows events on a terminal: streamed Markdown, one line per tool call, the plan, the current activity."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Heading, Markdown
from rich.spinner import Spinner
from rich.text import Text

from ml_intern.graph.events import Event
from ml_intern.terminal.render.markdown_stream import MarkdownStream
from ml_intern.terminal.render.preview import PreviewLine
from ml_intern.terminal.render.summary import (
    CallNames,
    budget_line,
    duration,
    one_line,
    outcome,
    plan_lines,
    resumed_line,
    tokens,
    unverified_line,
    wait_line,
)
from ml_intern.text.formatting import capped, money
from ml_intern.text.visible import visible

KIND_STYLES = {"plain": "", "added": "green", "removed": "red", "location": "cyan"}
MAX_OUTPUT_LINES = 40


def open_console() -> Console:
    """Return the console for stdout. Markup, emoji codes and highlighting are off, so that text is shown as it is."""
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=False)


class PlainHeading(Heading):
    """A heading that is aligned to the left, not centred."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class ReplyMarkdown(Markdown):
    """The model's Markdown. Links show their address, since their text may be misleading."""

    elements: ClassVar = {**Markdown.elements, "heading_open": PlainHeading}

    def __init__(self, text: str) -> None:
        super().__init__(visible(text), hyperlinks=False)


class Screen:
    """Shows events. It never asks questions."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self.console = console
        self._verbose = verbose
        self._live: Live | None = None
        self._stream = MarkdownStream()
        self._streamed: str | None = None
        self._calls = CallNames()
        self._activity = ""
        self._last_error = ""
        self._began = time.monotonic()
        self._spent = {"input_tokens": 0, "output_tokens": 0}
        self.spent = money(0.0)
        """The cost of the thread, for the toolbar."""
        self.turn_cost = money(0.0)
        """The cost of the latest turn."""
        unicode = (console.encoding or "").lower().startswith("utf")
        self._marks = {True: "✓", False: "✗"} if unicode else {True: "+", False: "!"}
        self._show: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "resumed": self._resumed,
            "processing": self._processing,
            "assistant_chunk": self._chunk,
            "assistant_stream_end": self._stream_end,
            "assistant_message": self._message,
            "tool_call": self._tool_call,
            "tool_log": lambda data: self._now(data["text"].strip().rpartition("\n")[2]),
            "tool_output": self._tool_output,
            "plan_update": self._plan,
            "usage": self._usage,
            "job_update": lambda data: self.line(f"{data['id']} {data['state']}: {data['text']}"),
            "compacted": self._compacted,
            "budget": lambda data: self.line(budget_line(data), "yellow"),
            "error": self._error,
            "interrupted": lambda data: self._end(
                f"interrupted {data['reason'].removeprefix('interrupted ')}", "yellow"
            ),
            "approval_required": lambda _: self.stop(),
            "unverified": lambda data: self.line(unverified_line(data), "yellow"),
            "turn_complete": self._turn_complete,
        }

    def show(self, event: Event) -> None:
        """Show one event."""
        if handler := self._show.get(event.type):
            handler(event.data)

    def line(self, text: str, style: str = "") -> None:
        """Print one line of ml-intern's own text, with hidden characters made visible."""
        self.console.print(Text(visible(text), style=style))

    def lines(self, lines: Iterable[PreviewLine]) -> None:
        """Print the lines of a preview, in which hidden characters are already visible."""
        for line in lines:
            self.console.print(Text(f"  {line.text}", style=KIND_STYLES[line.kind]))

    def markdown(self, text: str) -> None:
        """Print a block of the model's text."""
        if text.strip():
            self.console.print(ReplyMarkdown(text))

    # --- current activity

    def _processing(self, _: dict[str, Any]) -> None:
        self._began = time.monotonic()
        self._spent = dict.fromkeys(self._spent, 0)
        self._now("thinking")

    def _now(self, activity: str) -> None:
        self._activity = one_line(activity) or self._activity
        if self._live is None and self.console.is_terminal and not self.console.is_dumb_terminal:
            self._live = Live(
                console=self.console, get_renderable=self._moving, transient=True, refresh_per_second=8, screen=False
            )
            self._live.start()

    def _moving(self) -> RenderableType:
        tail = self._stream.rest(max(self.console.height - 6, 4))
        activity = one_line(self._activity, max(self.console.width - 35, 20))
        status = f"{activity} ({duration(time.monotonic() - self._began)}, Ctrl-C interrupts)"
        spinner = Spinner("dots", Text(status, style="dim"))
        return Group(ReplyMarkdown(tail), spinner) if tail.strip() else spinner

    def stop(self) -> None:
        """Stop the spinner and print the rest of the streamed text."""
        self.markdown(self._stream.flush())
        if self._live is not None:
            self._live.stop()
            self._live = None

    # --- the reply

    def _chunk(self, data: dict[str, Any]) -> None:
        if data["kind"] == "reasoning":
            self._now(f"thinking: {data['text']}" if self._verbose else "thinking")
            return
        self._streamed = data["message_id"]
        self._now("writing")
        for block in self._stream.feed(data["text"]):
            self.markdown(block)

    def _stream_end(self, data: dict[str, Any]) -> None:
        self.markdown(self._stream.flush())
        if data["partial"]:
            self.line("(the reply was cut off and may be incomplete)", "yellow")

    def _message(self, data: dict[str, Any]) -> None:
        if self._verbose and data["reasoning"]:
            self.console.print(Text(visible(data["reasoning"].strip()), style="dim italic"))
        if data["message_id"] != self._streamed:
            self.markdown(data["text"])
        for call in data["tool_calls"]:
            self._calls.note(call["id"], call["args"])

    # --- tools

    def _tool_call(self, data: dict[str, Any]) -> None:
        self._calls.note(data["id"], data["args"])
        self._now(self._calls.summary(data["id"], data["name"]))

    def _tool_output(self, data: dict[str, Any]) -> None:
        width = max(self.console.width - 24, 40)
        summary = self._calls.summary(data["id"], data["name"], width)
        style = "green" if data["ok"] else "red"
        self.console.print(
            Text.assemble((f"{self._marks[data['ok']]} ", style), summary, (f"  {outcome(data)}", "dim"))
        )
        if self._verbose:
            shown = capped(visible(data["text"].strip()).splitlines(), MAX_OUTPUT_LINES, "line")
            self.console.print(Text("\n".join(f"  {line}" for line in shown), style="dim"))
        if self._live is not None:
            self._now("thinking")

    def _plan(self, data: dict[str, Any]) -> None:
        for line, step in zip(plan_lines(data["steps"]), data["steps"], strict=True):
            done = step["status"] in ("done", "dropped")
            self.console.print(Text(f"  {line}", style="dim" if done else "bold" if line.startswith("[>]") else ""))

    def _compacted(self, data: dict[str, Any]) -> None:
        self.line(f"conversation shortened from {data['before_tokens']} to {data['after_tokens']} tokens", "dim")

    # --- the end of a turn

    def _resumed(self, data: dict[str, Any]) -> None:
        self.line(resumed_line(data), "dim")
        if data["interrupted"]:
            self.line(f"interrupted, may have run in part: {', '.join(data['interrupted'])}", "yellow")

    def _usage(self, data: dict[str, Any]) -> None:
        for key in self._spent:
            self._spent[key] += data[key]

    def _error(self, data: dict[str, Any]) -> None:
        if data["retry_in_s"] is not None:
            self.line(wait_line(data), "yellow")
            return
        self.stop()
        remedy = f" ({data['remedy']})" if data["remedy"] else ""
        self._last_error = f"{data['message']}{remedy}"
        self.line(one_line(self._last_error, 1000), "red")

    def _turn_complete(self, data: dict[str, Any]) -> None:
        if data["status"] == "done":
            used = f"{tokens(self._spent['input_tokens'])} in, {tokens(self._spent['output_tokens'])} out"
            self._end(f"{duration(time.monotonic() - self._began)}, {used}, {self.turn_cost}", "dim")
        else:
            self._end("" if data["text"] == self._last_error else f"{data['status']}: {data['text']}", "yellow")

    def _end(self, text: str, style: str) -> None:
        self.stop()
        if text:
            self.line(text, style)
