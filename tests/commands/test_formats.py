"""What a headless run writes: to a pipe the answer as it is, to a terminal rows; never what a terminal acts on."""

import io
import json
import os

import pytest

from ml_intern.commands.options import Options
from ml_intern.commands.running.formats import StreamJsonFormat, TextFormat, as_line
from ml_intern.graph.events import Event
from tests.terminal.driver import set_size

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


def result(text: str) -> Event:
    return Event("result", "t", 1, 0.0, {"status": "done", "exit_code": 0, "text": text})


CODE = "right / len(labels[400:])  # held-out rows"
ANSWER = f"The **training script** fails because `label` is the last label.\n\n```\n{CODE}\n```\n"


def test_an_answer_on_a_terminal_breaks_between_words_and_its_code_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    main, child = os.openpty()
    set_size(child, 24, 15)
    with os.fdopen(child, "w", encoding="utf-8") as out:
        TextFormat(out, Options(quiet=True)).result(result(ANSWER))
        shown = os.read(main, 10_000).decode().replace("\r", "").split("\n")
    os.close(main)
    assert [row for row in shown if "len(" not in row] == [
        "The training script", "fails because label is", "the last label.", "", "",
    ]  # fmt: skip
    assert CODE in shown


def test_an_answer_in_a_pipe_is_what_the_model_wrote() -> None:
    out = io.StringIO()
    TextFormat(out, Options(quiet=True)).result(result(ANSWER))
    assert out.getvalue() == f"{ANSWER}\n"
