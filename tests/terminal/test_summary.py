"""The one-line words for calls, outcomes, waits and money."""

from typing import Any

import pytest

from ml_intern.terminal.render.summary import (
    call_summary,
    duration,
    one_line,
    outcome,
    plan_lines,
    tokens,
    wait_line,
)


@pytest.mark.parametrize(
    ("name", "args", "line"),
    [
        ("bash", {"command": "python train.py\n--lr 1"}, "bash python train.py --lr 1"),
        ("read", {"path": "a.py", "limit": 3}, "read a.py"),
        ("plan", {"steps": [{}, {}]}, "plan 2 steps"),
        ("other", {"n": 1}, 'other {"n": 1}'),
        ("other", {}, "other"),
        ("papers", {"operation": "read", "paper": "2106.09685"}, "papers read 2106.09685"),
        ("papers", {"operation": "trending"}, "papers trending"),
        ("bash", {"command": "echo \x1b[2J\u202e"}, "bash echo \\x1b[2J\\u202e"),
        ("bash", {"command": ["odd"]}, "bash ['odd']"),
    ],
)
def test_a_call_is_one_safe_line(name: str, args: dict[str, Any], line: str) -> None:
    assert call_summary(name, args) == line


def test_a_long_line_is_cut() -> None:
    assert one_line("x" * 500, 10) == "xxxxxxxxx…"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3599.7, "1 h"),
        (300, "5 min"),
        (7322, "2 h 2 min"),
    ],
)
def test_times_are_said_as_people_do(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("error: there is no file x", "failed, 1.0 s: there is no file x"),
        ("Not run: the user rejected it.", "failed, 1.0 s: Not run: the user rejected it."),
        ("hello\nworld\n[exit code 3]", "failed, 1.0 s: world [exit code 3]"),
        ("Traceback:\n  File\nValueError: bad\nbye\n[exit code 1]", "failed, 1.0 s: ValueError: bad [exit code 1]"),
        ("(no output)\n[timed out after 3 s]", "failed, 1.0 s: (no output) [timed out after 3 s]"),
        ("", "failed, 1.0 s: "),
    ],
)
def test_a_failed_call_says_its_telling_line(text: str, line: str) -> None:
    assert outcome({"ok": False, "status": "failed", "seconds": 1.0, "text": text}) == line


def test_waits_and_money_and_tokens() -> None:
    data = {"message": "the provider is busy (429)", "remedy": "", "exit_code": None}
    assert wait_line({**data, "retry_in_s": 4.0}) == "the provider is busy (429); trying again in 4.0 s"
    assert wait_line({**data, "retry_in_s": 0.0}) == "the provider is busy (429)"
    assert [tokens(count) for count in (7, 12_345)] == ["7", "12.3k"]


def test_the_plan_is_a_line_a_step() -> None:
    steps = [{"text": text, "status": text} for text in ("done", "in_progress", "pending", "dropped")]
    assert plan_lines(steps) == ["[x] done", "[>] in_progress", "[ ] pending", "[-] dropped"]
