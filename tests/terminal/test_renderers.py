"""What a person sees of a turn, on a terminal and in a log."""

import io
import re

import pytest

from ml_intern.graph.events import Event
from ml_intern.terminal.display.paint import theme_for_terminal
from ml_intern.terminal.render.plain import PlainRenderer
from ml_intern.terminal.state import Transcript
from ml_intern.terminal.theme import Theme
from tests.terminal.events import TURN, event

PLAIN = """\
model a/b, folder /w, approval ask
note: odd key
resumed 't', 2 turns, previously in /old; the last one was interrupted; interrupted, may have run in part: bash
  I will **train** it.

  Then look.\\x1b[2J
! bash python train.py (failed, 1.0 s: ValueError: bad [exit code 1])
  [>] train
busy; trying again in 3.0 s
$2.50 of $5.00 spent, and 1 request of unknown price
conversation shortened from 9 to 3 tokens
"""

SCREEN = """\
resumed 't', 2 turns, previously in /old; the last one was interrupted
interrupted, may have run in part: bash
I will train it.
Then look.\\x1b[2J
✗ bash python train.py  1.0 s, exit code 1
  ValueError: bad
busy; tried again after 3.0 s
cut o
(the reply was cut off and may be incomplete)
$2.50 of $5.00 spent, and 1 request of unknown price
conversation shortened from 9 to 3 tokens
Done: here (http://x).
  ● train
0.0 s, 1.0k in, 50 out, $0.00
"""


def shown(*events: Event, verbose: bool = False, terminal: bool = False) -> str:
    screen = Transcript(Theme("ansi" if terminal else "none"), verbose=verbose)
    for one in events:
        screen.show(one)
    screen.rest()
    return "\n".join(screen.finished(80, 1))


def test_a_turn_as_plain_lines() -> None:
    out = io.StringIO()
    renderer = PlainRenderer(out)
    for one in TURN:
        renderer.show(one)
    assert [line.rstrip() for line in out.getvalue().splitlines()] == PLAIN.splitlines()


def test_a_turn_on_a_screen() -> None:
    lines = [line.rstrip() for line in shown(*TURN).splitlines() if line.strip()]
    assert [re.sub(r"^\d\.\d s,", "0.0 s,", line) for line in lines] == SCREEN.splitlines()


def test_no_event_of_the_model_reaches_the_terminal_unescaped() -> None:
    for verbose in (False, True):
        sequences = set(re.findall(r"\x1b\[[\d;?]*([A-Za-z])", shown(*TURN, verbose=verbose, terminal=True)))
        assert "J" not in sequences
    assert "\x1b" not in shown(*TURN, verbose=True)


def test_verbose_shows_reasoning_and_output() -> None:
    text = shown(*TURN, verbose=True)
    assert "hm" in text
    assert "  ValueError: bad" in text


def test_a_reply_that_was_not_streamed_is_shown_whole_and_a_streamed_one_once() -> None:
    text = shown(event("assistant_message", message_id="m9", text="only once"))
    assert text.count("only once") == 1
    chunk = event("assistant_chunk", message_id="m9", text="only once")
    end = event("assistant_stream_end", message_id="m9")
    assert shown(chunk, end, event("assistant_message", message_id="m9", text="only once")).count("only once") == 1


def test_a_failure_is_said_once() -> None:
    fault = event("error", message="no key", remedy="set it", exit_code=78)
    text = shown(fault, event("turn_complete", status="failed", text="no key (set it)", turn=1, iterations=0))
    assert text.splitlines() == ["✗ no key", "  set it"]


def test_links_show_where_they_lead() -> None:
    text = shown(event("assistant_message", text="[https://safe.example](https://evil.example)"), terminal=True)
    assert "https://evil.example" in text
    assert "\x1b]8;" not in text


@pytest.mark.parametrize("color", [True, False])
def test_no_color_is_respected(color: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not color:
        monkeypatch.setenv("NO_COLOR", "1")
    assert ("\x1b[32m" in theme_for_terminal()("success", "done")) is color
