"""What is sent to get the user's attention, and when."""

import base64
import re
from pathlib import Path

import pytest

from ml_intern.configs.settings import TerminalSettings
from ml_intern.terminal.attention import Attention, channel_for, copy, notification, title, title_for
from tests.terminal.keyboard import keyboard
from tests.terminal.screens import HOSTILE

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@pytest.mark.parametrize(
    ("environ", "setting", "channel"),
    [
        ({"TERM": "xterm-kitty"}, "auto", "osc99"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "auto", "osc9"),
        ({"TERM": "xterm-ghostty"}, "auto", "osc9"),
        ({"TERM": "foot"}, "auto", "osc777"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/t,1,0"}, "auto", "bell"),
        ({"TERM": "xterm"}, "auto", "bell"),
        ({"TERM": "xterm-kitty"}, "bell", "bell"),
        ({"TERM": "xterm-kitty"}, "off", "off"),
        ({"TERM": "dumb"}, "auto", "off"),
    ],
)
def test_the_channel_is_what_the_terminal_has(environ: dict[str, str], setting: str, channel: str) -> None:
    assert channel_for(environ, setting) == channel


def test_no_text_can_end_its_sequence_or_begin_another() -> None:
    evil = f"4;3;100\x07{HOSTILE};\x1b]52;c;ZXZpbA==\x07\n"
    for sequence in (
        notification(evil, "osc9"),
        notification(evil, "osc777"),
        notification(evil, "osc99"),
        title(evil),
    ):
        body = re.sub(r"^\x1b\]|(\x07|\x1b\\)$", "", sequence)
        assert not CONTROL.search(body), repr(sequence)
    assert notification(evil, "osc9").startswith("\x1b]9;ml-intern: ")
    assert notification("a;b", "osc777").count(";") == 3


def test_a_question_notifies_unless_the_window_is_in_focus() -> None:
    attention = Attention("bell", 30.0)
    assert attention.question({"bash": 2}) == "\x07"
    attention.focused = True
    assert attention.question({"bash": 2}) == ""


def test_only_a_long_turn_notifies() -> None:
    attention = Attention("osc9", 30.0)
    assert attention.turn_ended("done", 29.0) == ""
    assert "done after 31 s" in attention.turn_ended("done", 31.0)
    assert "stopped (limit)" in attention.turn_ended("limit", 31.0)
    assert attention.turn_ended("done", 31.0, queued=1) == ""


def test_the_title_says_the_state() -> None:
    assert title_for("working", "reviews") == "\x1b]0;working - reviews - ml-intern\x07"
    assert "2 questions waiting" in title_for("working", "reviews", 2)


def test_copied_text_arrives_unchanged() -> None:
    text = f"{HOSTILE}\nline 2"
    found = re.fullmatch(r"\x1b\]52;c;([\w+/=]*)\x07", copy(text, {"TERM": "xterm"}))
    assert found
    assert base64.b64decode(found[1]).decode() == text
    assert copy("x" * 200_000, {"TERM": "xterm"}) == ""
    assert copy("x", {"TERM": "screen"}).startswith("\x1bP\x1b]52;")


async def test_the_title_shows_the_state_and_notifications_come_while_the_window_is_not_in_focus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("TERM", "foot"), ("TERM_PROGRAM", ""), ("TMUX", "")):
        monkeypatch.setenv(name, value)
    async with keyboard() as typed:
        signals, requests = typed.console.signals, [{"name": "bash"}, {"name": "bash"}]
        signals.state("working")
        assert "\x1b]" not in typed.written
        typed.console.configure(TerminalSettings(notify_after_s=0), Path("/some/project"))
        assert "\x1b[?1004h" in typed.written
        signals.state("working")
        assert "\x1b]0;working - project - ml-intern\x07" in typed.written
        signals.question(requests)
        assert "\x1b]0;2 questions waiting - project" in typed.written
        assert "waiting for your answer: bash (2)" in typed.written
        await typed.type("\x1b[I")
        typed.written = ""
        signals.question(requests)
        signals.turn_ended("done", 0)
        assert "notify" not in typed.written
        await typed.type("\x1b[O")
        signals.turn_ended("done", 1)
        assert "notify" not in typed.written
        signals.turn_ended("done", 0)
        assert "ml-intern;done after" in typed.written
        signals.run_changed("sweep", "running")
        assert "sweep" not in typed.written
        signals.run_changed("sweep", "failed")
        assert "run sweep: failed" in typed.written
    assert "\x1b[?1004l" in typed.written


async def test_the_settings_turn_notifications_and_title_off() -> None:
    async with keyboard() as typed:
        typed.console.configure(TerminalSettings(notifications="off", title=False, notify_after_s=0), Path("/p"))
        typed.console.signals.question([{"name": "bash"}])
        typed.console.signals.turn_ended("done", 0)
    assert not re.search("\x1b\\]|\x07|1004", typed.written)
