"""The output formats of a headless run: text, json and stream-json. Each consumes the same stream of events."""

import json
import os
import sys
from functools import partial
from io import TextIOWrapper
from typing import Any, Protocol, TextIO

from ml_intern.commands.options import Options
from ml_intern.configs.settings import TerminalSettings
from ml_intern.graph.events import Event
from ml_intern.terminal.blocks.reply import reply_rows
from ml_intern.terminal.display.frame import Size
from ml_intern.terminal.progress import ProgressRenderer
from ml_intern.terminal.render.plain import PlainRenderer
from ml_intern.terminal.theme import Theme, choose_theme
from ml_intern.text.visible import CONTROLS, inert

DEFAULT_SIZE = Size(80, 24)
LINE_ENDS = {number: f"\\u{number:04x}" for number in (*CONTROLS, 0x2028, 0x2029) if number >= 0x7F}


class Format(Protocol):
    """Write events as they happen and the result at the end. Raises BrokenPipeError when the reader has closed."""

    def begin(self, settings: TerminalSettings) -> None:
        """Prepare the output, before the first event."""

    def hint(self, text: str) -> None:
        """Name the keys that a person can press now."""

    def tick(self) -> None:
        """Show that time passes, where something shows it."""

    def event(self, event: Event) -> None:
        """Write one event of the session."""

    def result(self, event: Event) -> None:
        """Write the result, which is the last event."""


class TextFormat:
    """Write the answer to stdout, and the events to stderr: as lines, or as blocks where it is a terminal."""

    def __init__(self, out: TextIO, options: Options) -> None:
        self._out = out
        self._options = options
        self._renderer: PlainRenderer | ProgressRenderer | None = None
        self._theme = "auto"

    def begin(self, settings: TerminalSettings) -> None:
        """Choose how events are shown."""
        self._theme = settings.theme
        if not self._options.quiet:
            self._renderer = renderer_for(sys.stderr, settings, verbose=self._options.verbose)

    def hint(self, text: str) -> None:
        """Show a hint in the last row, if there is one that changes."""
        if isinstance(self._renderer, ProgressRenderer):
            self._renderer.hint = text
            self._renderer.tick()

    def tick(self) -> None:
        """Draw the rows that change."""
        if isinstance(self._renderer, ProgressRenderer):
            self._renderer.tick()

    def event(self, event: Event) -> None:
        """Write the event to stderr, unless the run is quiet."""
        if self._renderer:
            self._renderer.show(event)

    def result(self, event: Event) -> None:
        """Write the answer, and nothing when the run failed."""
        if event.data["status"] in ("done", "contradicted"):
            _write(self._out, self._answer(event.data["text"]))

    def _answer(self, text: str) -> str:
        """Return the answer as it is, or as a terminal shows it, with rows that end between words."""
        if not self._out.isatty():
            return inert(text)
        return "\n".join(reply_rows(text, _size(self._out).width, _theme(self._out, self._theme)))


class JsonFormat(TextFormat):
    """Write one JSON object at the end, and the same lines as text to stderr."""

    def result(self, event: Event) -> None:
        """Write the data of the result."""
        _write(self._out, as_line(event.data))


class StreamJsonFormat:
    """Write one event per line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self, settings: TerminalSettings) -> None:
        """Prepare nothing: each event is a line."""

    def hint(self, text: str) -> None:
        """Name no keys: a program reads the lines."""

    def tick(self) -> None:
        """Write nothing between two events."""

    def event(self, event: Event) -> None:
        """Write the event as one line of JSON."""
        _write(self._out, as_line(event.as_json()))

    def result(self, event: Event) -> None:
        """Write the result as the last line."""
        self.event(event)


def format_for(options: Options) -> Format:
    """Create the format that the options select, on this process's stdout."""
    out = sys.stdout
    if isinstance(out, TextIOWrapper):
        out.reconfigure(errors="backslashreplace")
    if options.output_format == "stream-json":
        return StreamJsonFormat(out)
    return JsonFormat(out, options) if options.output_format == "json" else TextFormat(out, options)


def renderer_for(out: TextIO, settings: TerminalSettings, *, verbose: bool) -> PlainRenderer | ProgressRenderer:
    """Return the renderer for a stream: plain lines unless it is a terminal that can change rows in place."""
    if settings.plain or not out.isatty() or os.environ.get("TERM") in (None, "", "dumb"):
        return PlainRenderer(out, verbose=verbose)
    theme = _theme(out, settings.theme)
    return ProgressRenderer(partial(_write_now, out), partial(_size, out), theme, verbose=verbose)


def _theme(out: TextIO, setting: str) -> Theme:
    return choose_theme(os.environ, setting, unicode=(out.encoding or "").lower().startswith("utf"))


def _size(out: TextIO) -> Size:
    """Return the size of a terminal; 80x24 where it does not know."""
    try:
        columns, rows = os.get_terminal_size(out.fileno())
    except OSError:
        return DEFAULT_SIZE
    return Size(columns or DEFAULT_SIZE.width, rows or DEFAULT_SIZE.height)


def _write_now(out: TextIO, text: str) -> None:
    out.write(text)
    out.flush()


def as_line(value: Any) -> str:
    """Format a value as one line of JSON, with line ends, control and bidirectional characters escaped."""
    try:
        line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        line = json.dumps(json.loads(json.dumps(value), parse_constant=lambda _: None), ensure_ascii=False)
    return line.translate(LINE_ENDS)


def _write(out: TextIO, line: str) -> None:
    _write_now(out, f"{line}\n")
