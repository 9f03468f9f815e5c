"""The approval list: what each key decides, what it says before, and that nothing else decides anything."""

from typing import Any

import pytest

from ml_intern.terminal.blocks.diff import DiffLine, new_file
from ml_intern.terminal.blocks.sentence import covered, what_happens, what_it_costs
from ml_intern.terminal.theme import Theme
from ml_intern.terminal.views.approval import JOINED_S, ApprovalView, Decided, EditCall, ViewCall
from ml_intern.terminal.views.outcome import CANCELLED
from tests.terminal.screens import HOSTILE, PROSE, check_rows, compare, words_are_whole

NONE = Theme("none")
OFFER = [{"tool": "bash", "prefix": ["uv", "run"]}]
BASH: dict[str, Any] = {
    "id": "c1", "name": "bash", "args": {"command": "uv run train.py"}, "description": "no rule allows uv run",
    "always": OFFER,
}  # fmt: skip
WRITE: dict[str, Any] = {
    "id": "c2", "name": "write", "args": {"path": "n.md", "content": f"{PROSE}\n{HOSTILE}\n"}, "description": HOSTILE,
    "always": [],
}  # fmt: skip
JOB: dict[str, Any] = {
    "id": "c3", "name": "jobs", "args": {"operation": "run", "hardware": "a10g-small", "timeout": "2h"},
    "description": "jobs would write to me/jobs, for at most $2.10", "always": [],
}  # fmt: skip
QUESTION: dict[str, Any] = {"id": "q1", "name": "question", "args": {}, "description": "$5.00 is spent. Continue?"}
PREVIEWS = {"c1": [DiffLine("plain", "$ uv run train.py")], "c2": new_file(WRITE["args"]["content"])}


def view(*requests: dict[str, Any]) -> ApprovalView:
    return ApprovalView(requests, PREVIEWS)


def decided(**decisions: Any) -> Decided:
    return Decided(decisions)


def pressed(shown: ApprovalView, *keys: str) -> Any:
    for key in keys[:-1]:
        assert shown.handle(key) is None, key
    return shown.handle(keys[-1])


@pytest.mark.parametrize(
    ("keys", "decision"),
    [
        (["enter"], {"type": "approve"}),
        (["y", "enter"], {"type": "approve"}),
        (["2", "enter"], {"type": "approve", "always": "thread"}),
        (["t", "enter"], {"type": "approve", "always": "thread"}),
        (["g", "enter"], {"type": "approve", "always": "folder"}),
        (["w", "enter"], {"type": "approve", "always": "everywhere"}),
        (["n", "enter"], {"type": "reject"}),
        (["r", "enter", *"use uv", "enter"], {"type": "reject", "message": "use uv"}),
        ([*"you should use uv", "enter"], {"type": "reject", "message": "you should use uv"}),
        ([*"2 epochs are enough", "enter"], {"type": "reject", "message": "2 epochs are enough"}),
        ([*"use uv", "enter"], {"type": "reject", "message": "use uv"}),
        ([*"yes", "enter"], {"type": "approve"}),
        ([*"no", "enter"], {"type": "reject"}),
        ([*"no, use uv", "enter"], {"type": "reject", "message": "no, use uv"}),
        (["y", "down", "up", "x", "enter"], {"type": "reject", "message": "x"}),
        (["r", "enter", "x", "backspace", "enter"], {"type": "reject"}),
        (["r", "enter", "x", "esc", "y", "enter"], {"type": "approve"}),
    ],
)
def test_a_key_decides_about_a_call(keys: list[str], decision: dict[str, Any]) -> None:
    assert pressed(view(BASH), *keys) == decided(c1=decision)


def test_a_letter_pressed_long_before_is_not_part_of_a_reason() -> None:
    now = 0.0
    shown = ApprovalView([BASH], PREVIEWS, lambda: now)
    pressed(shown, "n")
    now += JOINED_S
    assert pressed(shown, *"use uv", "enter") == decided(c1={"type": "reject", "message": "use uv"})


def test_another_letter_later_changes_the_answer() -> None:
    now = 0.0
    shown = ApprovalView([BASH], PREVIEWS, lambda: now)
    pressed(shown, "y")
    now += JOINED_S
    assert pressed(shown, "n", "enter") == decided(c1={"type": "reject"})


@pytest.mark.parametrize("key", ["x", "0", "9", " ", "a", "left", "f5", "t", "g", "w", "3"])
def test_no_other_key_decides(key: str) -> None:
    assert view(BASH).handle(key) is None


def test_calls_are_answered_in_any_order_and_can_be_answered_anew() -> None:
    shown = view(BASH, WRITE, JOB)
    assert pressed(shown, "y", "enter") is None
    assert shown.current == WRITE
    assert pressed(shown, "left", "n", "enter") is None
    assert shown.current == WRITE
    assert pressed(shown, "right", "y", "enter", "n", "enter") == Decided(
        {"c1": {"type": "reject"}, "c3": {"type": "approve"}, "c2": {"type": "reject"}}
    )


def test_all_approves_what_has_no_answer_yet() -> None:
    assert pressed(view(BASH, WRITE, JOB), "n", "enter", "a", "up", "down", "enter") == Decided(
        {"c1": {"type": "reject"}, "c2": {"type": "approve"}, "c3": {"type": "approve"}}
    )


def test_edit_and_view_are_left_to_the_caller() -> None:
    shown = view(BASH)
    assert pressed(shown, "v", "enter") == ViewCall("c1")
    assert pressed(shown, "e", "enter") == EditCall("c1")
    args = {"command": "uv run other.py"}
    shown.edited("c1", args, [])
    assert shown.args("c1") == args
    assert pressed(shown, "y", "enter") == Decided({"c1": {"type": "edit", "args": args}})


def test_escape_and_control_c_leave_without_an_answer() -> None:
    assert view(BASH).handle("esc") == CANCELLED
    assert view(BASH).handle("c-c") == CANCELLED
    shown = view(BASH)
    assert pressed(shown, "r", "enter", "c-c") == CANCELLED


def test_always_is_offered_only_where_the_request_does() -> None:
    assert "thread" not in [choice.value for choice in view(WRITE)._choices.choices]
    assert pressed(view(QUESTION), "y", "enter") == Decided({"q1": {"type": "approve"}})


def test_it_says_what_happens_and_what_it_costs() -> None:
    assert what_happens(BASH) == "Run this command."
    assert what_it_costs(BASH) == "It costs nothing."
    assert what_happens(WRITE, PREVIEWS["c2"]) == "Create n.md (+2 -0)."
    assert what_happens(JOB) == "Start a background run on a10g-small for at most 2h."
    assert what_it_costs(JOB) == "It costs at most $2.10."
    assert what_it_costs({**JOB, "description": "x, at an unknown price"}) == "Its cost is unknown."
    assert what_happens(QUESTION) == "$5.00 is spent. Continue?"
    assert covered(OFFER) == "commands that begin with `uv run`"
    assert covered([{"tool": "write", "prefix": []}]) == "changes to ordinary files by write"


def test_one_call_at_every_width() -> None:
    compare("approval", lambda width, theme: view(BASH).rows(width, 24, theme))


def test_several_calls_at_every_width() -> None:
    def rows(width: int, theme: Theme) -> list[str]:
        shown = view(BASH, WRITE, JOB)
        shown.handle("y")
        return shown.rows(width, 24, theme)

    compare("approval_several", rows)


def test_the_choices_stay_on_a_low_screen() -> None:
    for height in (8, 10, 15):
        rows = view(WRITE).rows(40, height, NONE)
        assert len(rows) <= height
        assert any("y Yes" in row for row in rows)
        assert any("+" in row for row in rows[1:])
        check_rows(lambda width, theme: view(BASH, WRITE).rows(width, height, theme))  # noqa: B023


def test_the_rule_is_said_in_whole_words() -> None:
    for width in (40, 50, 80):
        rows = view(BASH).rows(width, 40, NONE)
        words_are_whole("Yes, and do not ask again in this thread for commands that begin with", rows, width)
