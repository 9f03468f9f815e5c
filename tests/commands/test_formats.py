"""What a headless run writes to a pipe contains nothing that a terminal acts on."""

import io
import json

from ml_intern.commands.options import Options
from ml_intern.commands.running.formats import StreamJsonFormat, TextFormat, as_line
from ml_intern.graph.events import Event

NASTY = "\x1b]52;c;aGk=\x07 \x9b2J \u202eback \u2066x\u2069 \x85 \x7f"


def test_a_json_line_escapes_controls_and_keeps_the_value() -> None:
    line = as_line({"text": NASTY})
    assert json.loads(line) == {"text": NASTY}
    assert line.isascii()
    assert line.isprintable()


def test_the_text_of_a_piped_run_has_its_controls_escaped() -> None:
    out = io.StringIO()
    TextFormat(out, Options(quiet=True)).result(
        Event("result", "t", 1, 0.0, {"status": "done", "exit_code": 0, "text": NASTY})
    )
    assert out.getvalue().strip().isprintable()
    assert "\\x1b]52" in out.getvalue()


def test_a_stream_of_events_has_its_controls_escaped() -> None:
    out = io.StringIO()
    StreamJsonFormat(out).event(Event("assistant_chunk", "t", 1, 0.0, {"text": NASTY}))
    assert out.getvalue().strip().isprintable()
