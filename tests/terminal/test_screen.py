"""One session's screen through many steps, at four sizes, with a resize in the middle: nothing is lost or twice."""

import asyncio
from pathlib import Path

import pytest

from ml_intern.terminal.approval import Approvals
from ml_intern.terminal.state import Transcript
from ml_intern.terminal.views.approval import Decided
from ml_intern.terminal.views.choice import ChoiceView, ListChoice
from tests.terminal.events import CALL, event
from tests.terminal.keyboard import Keyboard, keyboard

SIZES = [(40, 15), (50, 15), (80, 24), (100, 30)]
WRITE = {"id": "c2", "name": "write", "args": {"path": "notes.md", "content": "a\n"}, "description": "writes"}
PARAGRAPHS = 40


def chunk(number: int) -> object:
    text = f"part {number:03} says that the loss falls while the learning rate is warmed up\n\n"
    return event("assistant_chunk", message_id="m", kind="text", text=text)


async def stream(typed: Keyboard, first: int, last: int) -> None:
    for number in range(first, last):
        typed.transcript.show(chunk(number))  # type: ignore[arg-type]
        await asyncio.sleep(0.002)


@pytest.mark.parametrize(("width", "height"), SIZES)
async def test_everything_finished_is_in_the_scrollback_once(width: int, height: int) -> None:
    async with keyboard(width, height) as typed:
        screen = typed.transcript
        screen.said("train it")
        screen.show(event("processing", turn=1, text="train it", id="u"))
        await typed.type("a draft")
        await stream(typed, 0, PARAGRAPHS // 2)
        typed.resize(width + 20, height + 10)
        await stream(typed, PARAGRAPHS // 2, PARAGRAPHS)
        screen.show(event("assistant_stream_end", message_id="m", partial=False))
        await typed.shows("> a draft")
        screen.show(event("tool_call", id="c1", name="bash", args={"command": "python train.py"}, message_id="m"))
        screen.show(event("tool_log", id="c1", name="bash", text="step 1\nstep 2\n"))
        assert "Esc interrupts" in await typed.shows("step 2")
        ended = {"id": "c1", "name": "bash", "text": "step 1\nstep 2\n[exit code 3]", "ok": False, "status": "failed"}
        screen.show(event("tool_output", **ended))
        await typed.shows("exit code 3")
        screen.show(event("approval_required", requests=[WRITE], configs={}, since=0))
        outcome = asyncio.ensure_future(Approvals(typed.console, [WRITE], Path("/nowhere")).outcome())
        assert "1 + a" in await typed.shows("Create notes.md (+1 -0).")
        await typed.type("y", "\r")
        assert await asyncio.wait_for(outcome, 60) == Decided({"c2": {"type": "approve"}})
        await typed.shows("> a draft")
        screen.rest()
        await typed.until(lambda: "Create notes.md" not in typed.view())
        rows = typed.everything()
        numbers = [row[5:8] for row in rows if row.startswith("part ")]
        assert numbers == [f"{number:03}" for number in range(PARAGRAPHS)]
        assert [sum(text in row for row in rows) for text in ("> train it", "exit code 3", "> a draft")] == [1, 1, 1]
        assert "Esc interrupts" not in "".join(rows)


async def test_a_hint_ends_with_the_next_key() -> None:
    async with keyboard() as typed:
        await typed.type("\x03")
        await typed.shows("Ctrl-C again")
        await typed.type("a")
        await typed.shows("> a")
        assert "Ctrl-C again" not in typed.view()


def test_a_low_screen_folds_the_plan_and_shows_the_last_lines_of_a_call() -> None:
    screen = Transcript()
    screen.show(event("processing", turn=1, text="go", id="u"))
    screen.show(event("plan_update", steps=[{"text": text, "status": "pending"} for text in ("read", "fix", "train")]))
    screen.show(event("tool_call", id="c", name="bash", args={"command": "python train.py"}, message_id="m"))
    screen.show(event("tool_log", id="c", name="bash", text="step 1\nstep 2\nstep 3\n"))
    low, high = "\n".join(screen.live(40, 5)), "\n".join(screen.live(40, 13))
    assert "python train.py  0.0 s\n  step 2\n  step 3" in low
    assert "train" in high.replace("train.py", "")
    assert "step 1" in high


def test_a_running_call_names_its_command_whatever_else_is_shown() -> None:
    screen = Transcript()
    screen.show(event("processing", turn=1, text="go", id="u"))
    screen.show(event("plan_update", steps=[{"text": f"step {n}", "status": "pending"} for n in range(5)]))
    for room in range(3, 14):
        for number in range(2):
            screen.show(event("tool_call", id=f"c{number}", name="bash", args={"command": f"run {number}"}))
            screen.show(event("tool_log", id=f"c{number}", name="bash", text="line\n" * 20))
        rows = screen.live(60, room)
        assert len(rows) <= room
        assert room < 4 or all(any(f"bash run {number}" in row for row in rows) for number in range(2)), room


async def test_a_running_call_names_its_command_on_a_low_screen_with_queued_messages() -> None:
    async with keyboard(40, 15) as typed:
        typed.console.waiting = lambda: ["queued: and plot it", "queued: and print it", "queued: again"]
        typed.transcript.show(event("processing", turn=1, text="go", id="u"))
        command = "for i in $(seq 1 15); do echo again $i; sleep 1; done"
        typed.transcript.show(event("tool_call", id="c", name="bash", args={"command": command}))
        typed.transcript.show(event("tool_log", id="c", name="bash", text="again 1\nagain 2\n"))
        assert "bash for i in" in await typed.shows("queued: again")


def test_a_finished_plan_is_shown_at_the_end_of_its_turn_and_not_in_the_next() -> None:
    screen = Transcript()
    for number in (1, 2):
        screen.show(event("processing", turn=number, text="go", id=f"u{number}"))
        if number == 1:
            screen.show(event("plan_update", steps=[{"text": "train it", "status": "done"}]))
            screen.show(event("approval_required", requests=[]))
            assert screen.finished(60, 10) == []
        else:
            assert not any("train it" in row for row in screen.live(60, 20))
        screen.show(event("turn_complete", turn=number, text="", iterations=1))
        rows = screen.finished(60, 10)
        assert [row for row in rows if "train it" in row] == ["  ✓ train it"] * (number == 1)


def test_an_empty_row_separates_a_reply_from_another() -> None:
    screen = Transcript()
    for id, text in (("m1", "First."), ("m2", "Second.")):
        screen.show(event("assistant_message", message_id=id, text=text, tool_calls=[CALL]))
        screen.show(event("assistant_chunk", message_id=f"{id}s", text=f"{text} again"))
        screen.show(event("assistant_stream_end", message_id=f"{id}s"))
    assert screen.finished(60, 10) == ["First.", "", "First. again", "", "Second.", "", "Second. again"]


@pytest.mark.parametrize("choices", range(10, 18))
async def test_no_running_row_stands_above_a_question_whatever_its_height(choices: int) -> None:
    async with keyboard(100, 30) as typed:
        typed.transcript.show(event("processing", turn=1, text="go", id="u"))
        await typed.shows("Esc interrupts")
        view = ChoiceView([ListChoice(number, f"choice {number}") for number in range(choices)])
        chosen = asyncio.ensure_future(typed.console.choose(view))
        typed.transcript.show(event("approval_required", requests=[]))
        await typed.shows(f"choice {choices - 1}")
        await typed.until(lambda: "Esc interrupts" not in typed.view())
        await typed.type("\r")
        assert await asyncio.wait_for(chosen, 60) is not None
