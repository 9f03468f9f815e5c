"""Plain mode in this process: what is printed when, numbered questions, and the keys that the kernel leaves."""

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ml_intern.terminal.approval import Approvals
from ml_intern.terminal.lines.choose import needs_lines
from ml_intern.terminal.lines.console import LineConsole
from ml_intern.terminal.state import Transcript
from ml_intern.terminal.views.approval import Decided
from ml_intern.terminal.views.outcome import CANCELLED, Chosen
from ml_intern.terminal.views.picker import Item, PickerView
from ml_intern.terminal.views.rewind import Effect, RewindTurn, RewindView, UndoFrom
from tests.terminal.events import event
from tests.terminal.keyboard import WAIT, NoActions

CALLS = [
    {"id": "a", "name": "bash", "args": {"command": "touch one"}, "description": "runs a command"},
    {"id": "b", "name": "bash", "args": {"command": "touch two"}, "description": "runs a command"},
]
TURNS = [RewindTurn(1, "make a file", None), RewindTurn(2, "plan it", None)]


class Typist(NoActions):
    """Records the lines that the console took."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.left = False

    def submit(self, text: str) -> None:
        self.lines.append(text)

    def leave(self) -> None:
        self.left = True


class Plain:
    """A console in plain mode whose input is a pipe."""

    def __init__(self, keys: int, input: int) -> None:
        self._keys = keys
        self.out = io.StringIO()
        self.typist = Typist()
        self.transcript = Transcript(medium="lines")
        self.console = LineConsole(self.transcript, self.typist, input=input, output=self.out)
        self.console.resting = lambda: True

    def type(self, text: str) -> None:
        os.write(self._keys, text.encode())

    def end_input(self) -> None:
        """What Ctrl-D on an empty line is."""
        self.console._taken(None)

    async def until(self, found: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT):
            while not found():  # noqa: ASYNC110 - the text has no event to wait for
                await asyncio.sleep(0.005)

    async def shows(self, text: str) -> str:
        await self.until(lambda: text in self.out.getvalue())
        return self.out.getvalue()


@asynccontextmanager
async def plain() -> AsyncIterator[Plain]:
    read, write = os.pipe()
    console = Plain(write, read)
    try:
        async with console.console.running():
            yield console
    finally:
        os.close(read)
        os.close(write)


async def test_what_is_finished_is_printed_once_in_order_and_the_prompt_after_it() -> None:
    async with plain() as shown:
        screen = shown.transcript
        screen.line("hello")
        assert await shown.shows("> ") == "hello\n> "
        screen.show(event("tool_call", id="c", name="bash", args={"command": "ls"}, message_id="m"))
        await shown.shows("running: ")
        screen.show(event("assistant_chunk", message_id="m", kind="text", text="Half of a "))
        screen.show(event("assistant_chunk", message_id="m", kind="text", text="sentence.\n\n"))
        screen.show(event("assistant_stream_end", message_id="m", partial=False))
        text = await shown.shows("Half of a sentence.")
        assert text.index("hello") < text.index("running: ") < text.index("Half")
        await shown.until(lambda: shown.out.getvalue().endswith("\n> "))
        assert "\x1b" not in shown.out.getvalue()


async def test_lines_are_taken_and_a_backslash_continues_them() -> None:
    async with plain() as shown:
        shown.type("one\ntwo \\\nthree\nope")
        await shown.until(lambda: len(shown.typist.lines) == 2)
        shown.type("n\n")
        await shown.until(lambda: len(shown.typist.lines) == 3)
        assert shown.typist.lines == ["one", "two \nthree", "open"]


async def test_a_message_is_not_repeated_where_it_was_typed() -> None:
    async with plain() as shown:
        screen = shown.transcript
        screen.line("hello")
        await shown.shows("> ")
        shown.type("typed at the prompt\n")
        await shown.until(lambda: shown.typist.lines == ["typed at the prompt"])
        for text in ("typed at the prompt", "typed during a turn"):
            screen.said(text)
        assert "typed at the prompt" not in await shown.shows("typed during a turn")


async def test_each_call_is_approved_by_a_number_or_rejected_by_a_sentence(tmp_path: Path) -> None:
    async with plain() as shown:
        outcome = asyncio.ensure_future(Approvals(shown.console, CALLS, tmp_path).outcome())
        asked = await shown.shows("answer: ")
        assert "Call 1 of 2." in asked
        assert "touch one" in asked
        assert "1. Yes (y)" in asked
        shown.type("\n")
        await shown.until(lambda: shown.out.getvalue().count("answer: ") >= 2)
        shown.type("99\nand more\n")
        await shown.until(lambda: shown.out.getvalue().count("answer: ") >= 3)
        await shown.shows("not taken as an answer: and more")
        shown.type("1\n")
        await shown.shows("Call 2 of 2.")
        shown.type("use another folder\n")
        decisions = {"a": {"type": "approve"}, "b": {"type": "reject", "message": "use another folder"}}
        assert await asyncio.wait_for(outcome, WAIT) == Decided(decisions)  # type: ignore[arg-type]


async def test_a_list_is_filtered_by_text_and_answered_by_a_number() -> None:
    async with plain() as shown:
        view = PickerView("Which thread?", [Item("x", "train the model"), Item("y", "read the paper")])
        outcome = asyncio.ensure_future(shown.console.choose(view))
        assert "2. read the paper" in await shown.shows("answer: ")
        shown.type("paper\n")
        await shown.shows("1. read the paper")
        shown.type("1\n")
        assert await asyncio.wait_for(outcome, WAIT) == Chosen("y")


async def test_the_effect_of_an_undo_is_shown_before_it_is_confirmed() -> None:
    async def load(turn: RewindTurn) -> Effect:
        return Effect([f"remove  made-in-{turn.number}"])

    async with plain() as shown:
        outcome = asyncio.ensure_future(shown.console.choose(RewindView(TURNS, 0.0), load))
        await shown.shows("2. 2 plan it")
        shown.type("1\n")
        await shown.shows("remove  made-in-1")
        await shown.shows("3. Files only (f)")
        shown.type("\n")
        await shown.until(lambda: shown.out.getvalue().count("1. 1 make a file") == 2)
        shown.type("2\n")
        await shown.shows("remove  made-in-2")
        shown.type("c\n")
        assert await asyncio.wait_for(outcome, WAIT) == UndoFrom(TURNS[1], 1, "conversation")


async def test_ctrl_c_cancels_a_question_and_leaves_when_pressed_twice() -> None:
    async with plain() as shown:
        view = PickerView("Which?", [Item("x", "one")])
        outcome = asyncio.ensure_future(shown.console.choose(view))
        await shown.shows("answer: ")
        assert shown.console.interrupted()
        assert await asyncio.wait_for(outcome, WAIT) == CANCELLED
        assert shown.console.interrupted()
        assert not shown.typist.left
        await shown.shows("Ctrl-C again, or Ctrl-D, quits")
        assert shown.console.interrupted()
        assert shown.typist.left


async def test_ctrl_d_answers_a_question_with_none_and_leaves_at_rest() -> None:
    async with plain() as shown:
        answer = asyncio.ensure_future(shown.console.line("name? "))
        await shown.shows("name? ")
        shown.end_input()
        assert await asyncio.wait_for(answer, WAIT) is None
        shown.end_input()
        assert shown.typist.left


async def test_an_empty_line_keeps_the_default() -> None:
    async with plain() as shown:
        answer = asyncio.ensure_future(shown.console.line("edit: ", "touch one"))
        await shown.shows("now: touch one")
        shown.type("\n")
        assert await asyncio.wait_for(answer, WAIT) == "touch one"


@pytest.mark.parametrize(
    ("term", "lines"), [("dumb", True), ("", True), ("unknown", True), ("xterm", False), ("no-such-term", False)]
)
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(term: str, *, lines: bool) -> None:
    assert needs_lines({"TERM": term}) is lines
