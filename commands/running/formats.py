"""The output formats of a headless run: text, json and stream-json. Each consumes the same stream of events."""

import json
import sys
from io import TextIOWrapper
from typing import Any, Protocol, TextIO

from ml_intern.commands.options import Options
from ml_intern.graph.events import Event
from ml_intern.terminal.render.plain import PlainRenderer
from ml_intern.text.visible import CONTROLS, inert, visible

LINE_ENDS = {number: f"\\u{number:04x}" for number in (*CONTROLS, 0x2028, 0x2029) if number >= 0x7F}


class Format(Protocol):
    """Write events as they happen and the result at the end. Raises BrokenPipeError when the reader has closed."""

    def event(self, event: Event) -> None:
        """Write one event of the session."""

    def result(self, event: Event) -> None:
        """Write the result, which is the last event."""


class TextFormat:
    """Write the answer to stdout and one line per event to stderr."""

    def __init__(self, out: TextIO, renderer: PlainRenderer | None) -> None:
        self._out = out
        self._renderer = renderer

    def event(self, event: Event) -> None:
        """Write the event to stderr, unless the run is quiet."""
        if self._renderer:
            self._renderer.show(event)

    def result(self, event: Event) -> None:
        """Write the answer, and nothing when the run failed."""
        if event.data["status"] == "done":
            _write(self._out, _shown(event.data["text"], self._out))


class JsonFormat(TextFormat):
    """Write one JSON object at the end, and the same lines as text to stderr."""

    def result(self, event: Event) -> None:
        """Write the data of the result."""
        _write(self._out, as_line(event.data))


class StreamJsonFormat:
    """Write one event per line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

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
    renderer = None if options.quiet else PlainRenderer(sys.stderr, verbose=options.verbose)
    return JsonFormat(out, renderer) if options.output_format == "json" else TextFormat(out, renderer)


def as_line(value: Any) -> str:
    """Format a value as one line of JSON, with line ends, control and bidirectional characters escaped."""
    try:
        line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        line = json.dumps(json.loads(json.dumps(value), parse_constant=lambda _: None), ensure_ascii=False)
    return line.translate(LINE_ENDS)


def _shown(text: str, out: TextIO) -> str:
    return visible(text) if out.isatty() else inert(text)


def _write(out: TextIO, line: str) -> None:
    out.write(f"{line}\n")
    out.flush()
