"""The three output formats of a headless run: text, json and stream-json. All are consumers of one stream of events."""

import json
import sys
from io import TextIOWrapper
from typing import Any, Protocol, TextIO

from ml_intern.commands.options import Options
from ml_intern.graph.events import Event
from ml_intern.terminal.render.plain import PlainRenderer

LINE_ENDS = {number: f"\\u{number:04x}" for number in (0x7F, 0x85, 0x2028, 0x2029)}


class Format(Protocol):
    """Writes what happens as it happens, and the result at the end. BrokenPipeError when nobody reads any more."""

    def event(self, event: Event) -> None:
        """Take one event of the session."""

    def result(self, event: Event) -> None:
        """Take the result; nothing comes after it."""


class TextFormat:
    """The answer on stdout; on stderr a line for each thing that happens."""

    def __init__(self, out: TextIO, renderer: PlainRenderer | None) -> None:
        self._out = out
        self._renderer = renderer

    def event(self, event: Event) -> None:
        """Show it on stderr."""
        if self._renderer:
            self._renderer.show(event)

    def result(self, event: Event) -> None:
        """The answer alone; why a run failed is not an answer."""
        if event.data["status"] == "done":
            _write(self._out, _shown(event.data["text"], self._out))


class JsonFormat(TextFormat):
    """One object at the end; on stderr as with text."""

    def result(self, event: Event) -> None:
        """The data of the result."""
        _write(self._out, as_line(event.data))


class StreamJsonFormat:
    """One event a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def event(self, event: Event) -> None:
        """One line."""
        _write(self._out, as_line(event.as_json()))

    def result(self, event: Event) -> None:
        """One line, the last."""
        self.event(event)


def format_for(options: Options) -> Format:
    """The format the options ask for, on this process's stdout."""
    out = sys.stdout
    if isinstance(out, TextIOWrapper):
        out.reconfigure(errors="backslashreplace")
    if options.output_format == "stream-json":
        return StreamJsonFormat(out)
    renderer = None if options.quiet else PlainRenderer(sys.stderr, verbose=options.verbose)
    return JsonFormat(out, renderer) if options.output_format == "json" else TextFormat(out, renderer)


def as_line(value: Any) -> str:
    """One line of JSON, for whatever a reader takes for a line end. NaN and infinity become null: they are no JSON."""
    try:
        line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        line = json.dumps(json.loads(json.dumps(value), parse_constant=lambda _: None), ensure_ascii=False)
    return line.translate(LINE_ENDS)


def _shown(text: str, out: TextIO) -> str:
    if not out.isatty():
        return text
    from ml_intern.text.visible import visible

    return visible(text)


def _write(out: TextIO, line: str) -> None:
    out.write(f"{line}\n")
    out.flush()
