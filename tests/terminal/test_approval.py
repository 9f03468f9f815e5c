"""Approvals: the list on the screen, editing, viewing, and what is reported."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from ml_intern.terminal.approval import Approvals, edit_in
from ml_intern.terminal.input import paste_reader
from ml_intern.terminal.views.approval import Decided, Deferred, NewMessage
from ml_intern.terminal.views.outcome import CANCELLED
from tests.terminal.keyboard import Keyboard, keyboard

BASH = {"id": "c1", "name": "bash", "args": {"command": "ls", "timeout": 5}, "description": "bash can change things"}
WRITE = {"id": "c2", "name": "write", "args": {"path": "n", "content": "a\n"}, "description": "writes"}
OTHER: dict[str, Any] = {"id": "c3", "name": "other", "args": {}, "description": "unknown"}
QUESTION = {"id": "q1", "name": "question", "args": {}, "description": "5.00 USD are spent. Continue?"}
ALWAYS = {**BASH, "always": [{"tool": "bash", "prefix": ["git", "add"]}]}
CTRL_D, CTRL_O, ESCAPE = "\x04", "\x0f", "\x1b"


@pytest.fixture(autouse=True)
def no_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.delenv("VISUAL", raising=False)


def asked(typed: Keyboard, *requests: dict[str, Any], folder: Path = Path("/nowhere")) -> "asyncio.Task[object]":
    return asyncio.ensure_future(Approvals(typed.console, requests, folder).outcome())


async def answered(typed: Keyboard, outcome: "asyncio.Task[object]") -> object:
    return await asyncio.wait_for(outcome, 60)


@pytest.mark.parametrize(("width", "height"), [(100, 30), (80, 24), (50, 15), (40, 15)])
async def test_the_call_and_its_answers_are_on_the_screen_at_every_size(width: int, height: int) -> None:
    async with keyboard(width, height) as typed:
        outcome = asked(typed, BASH, WRITE)
        shown = await typed.shows("View all")
        assert "$ ls" in shown
        assert "y Yes" in shown
        assert "2 calls" in shown
        await typed.type("y", "\r")
        await typed.shows("Create n (+1 -0).")
        await typed.type("n", "\r")
        assert await answered(typed, outcome) == Decided({"c1": {"type": "approve"}, "c2": {"type": "reject"}})


async def test_a_command_is_edited_in_place_in_several_lines_and_asked_about_again() -> None:
    async with keyboard() as typed:
        outcome = asked(typed, ALWAYS)
        await typed.shows("View all")
        await typed.type("e", "\r")
        await typed.shows("edit: ls")
        await typed.type(" -l", "\n", "pwd", "\r")
        shown = await typed.shows("Yes, as edited")
        assert "$ ls -l\n    pwd" in shown
        assert "do not ask again" not in shown
        await typed.type("y", "\r")
        args = {"command": "ls -l\npwd", "timeout": 5}
        assert await answered(typed, outcome) == Decided({"c1": {"type": "edit", "args": args}})


async def test_an_edit_without_a_change_or_that_is_left_asks_about_the_call_as_it_was() -> None:
    async with keyboard() as typed:
        outcome = asked(typed, BASH)
        for end in ("\r", ESCAPE):
            await typed.shows("View all")
            await typed.type("e", "\r")
            await typed.shows("edit: ls")
            await typed.type(end)
        assert "edit:" not in await typed.shows("View all")
        await typed.type("n", "\r")
        assert await answered(typed, outcome) == Decided({"c1": {"type": "reject"}})


async def test_the_editor_edits_the_telling_argument(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import sys; p = sys.argv[1]; t = open(p).read(); open(p, 'w').write(t.replace('a', 'b') + 'c\\n')"
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {editor}")
    async with keyboard() as typed:
        outcome = asked(typed, WRITE, folder=tmp_path)
        await typed.shows("View all")
        await typed.type("e", "\r")
        await typed.shows("Yes, as edited")
        await typed.type("y", "\r")
        args = {"path": "n", "content": "b\nc\n"}
        assert await answered(typed, outcome) == Decided({"c2": {"type": "edit", "args": args}})


async def test_other_tools_are_edited_as_json() -> None:
    async with keyboard() as typed:
        outcome = asked(typed, OTHER)
        for text, shown in (("[1", "not a JSON object"), ('{"n": 2}', "Yes, as edited")):
            await typed.shows("View all")
            await typed.type("e", "\r")
            await typed.shows("edit: {}")
            await typed.type("\x7f\x7f", text, "\r")
            await typed.shows(shown)
        await typed.type("y", "\r")
        assert await answered(typed, outcome) == Decided({"c3": {"type": "edit", "args": {"n": 2}}})


async def test_a_lasting_answer_needs_enter_and_is_reported() -> None:
    async with keyboard() as typed:
        outcome = asked(typed, ALWAYS)
        await typed.shows("View all")
        await typed.type("t")
        await typed.shows("(Enter confirms)")
        assert not outcome.done()
        await typed.type("\r")
        assert await answered(typed, outcome) == Decided({"c1": {"type": "approve", "always": "thread"}})
        await typed.shows("allowed in this thread: commands that begin with `git add`")


async def test_a_question_about_the_turn_is_answered_or_gets_a_message() -> None:
    async with keyboard() as typed:
        outcome = asked(typed, QUESTION)
        assert "Edit" not in await typed.shows("5.00 USD are spent. Continue?")
        await typed.type("y", "\r")
        assert await answered(typed, outcome) == Decided({"q1": {"type": "approve"}})
        await typed.shows("Continue? yes")
        outcome = asked(typed, QUESTION)
        await typed.shows("No, and send a message")
        await typed.type(*"stop it", "\r")
        assert await answered(typed, outcome) == NewMessage("stop it")


async def test_pasted_text_answers_nothing_but_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paste_reader, "PAUSE_S", 0.0)
    async with keyboard() as typed:
        outcome = asked(typed, BASH)
        await typed.shows("View all")
        await typed.type("\x1b[200~yes\x1b[201~", "r", "\r", "\x1b[200~use\nuv\x1b[201~", "\r")
        assert await answered(typed, outcome) == Decided({"c1": {"type": "reject", "message": "use uv"}})


async def test_keys_typed_right_after_the_answer_are_for_the_input_line() -> None:
    async with keyboard() as typed:
        outcome = asked(typed, BASH)
        await typed.shows("View all")
        await typed.type("y\rand plot it")
        assert await answered(typed, outcome) == Decided({"c1": {"type": "approve"}})
        await typed.shows("> and plot it")
        line = asyncio.ensure_future(typed.console.line("which one? "))
        await typed.shows("which one?")
        await typed.type("this\r now")
        assert await asyncio.wait_for(line, 60) == "this"
        await typed.shows("> and plot it now")


async def test_leaving_answers_nothing() -> None:
    async with keyboard() as typed:
        for key, expected in ((CTRL_D, Deferred()), (ESCAPE, CANCELLED), ("\x03", CANCELLED)):
            outcome = asked(typed, BASH, WRITE)
            await typed.shows("View all")
            await typed.type(key)
            assert await answered(typed, outcome) == expected


async def test_outputs_are_read_before_the_answer_and_the_reason_so_far_stays() -> None:
    async with keyboard() as typed:
        read = asyncio.Event()

        async def read_outputs() -> None:
            read.set()

        approvals = Approvals(typed.console, [BASH], Path("/nowhere"), read_outputs=read_outputs)
        outcome = asyncio.ensure_future(approvals.outcome())
        await typed.shows("View all")
        await typed.type(*"use uv", CTRL_O)
        await asyncio.wait_for(read.wait(), 60)
        await typed.shows("why not? use uv")
        await typed.type("\r")
        assert await answered(typed, outcome) == Decided({"c1": {"type": "reject", "message": "use uv"}})


async def test_an_answer_of_another_client_while_outputs_are_read_ends_the_question() -> None:
    async with keyboard() as typed:
        read, waits = asyncio.Event(), True
        approvals = Approvals(typed.console, [BASH], Path("/nowhere"), read_outputs=read.wait, waits=lambda: waits)
        outcome = asyncio.ensure_future(approvals.outcome())
        await typed.shows("View all")
        await typed.type(CTRL_O)
        waits = False
        read.set()
        assert await answered(typed, outcome) is None


async def test_an_answer_of_another_client_closes_the_list() -> None:
    async with keyboard() as typed:
        outcome = asked(typed, BASH)
        await typed.shows("View all")
        typed.console.views.dismiss("elsewhere")
        assert await answered(typed, outcome) == "elsewhere"


@pytest.mark.parametrize("editor", ["false", "/nowhere/editor", "'unclosed"])
def test_an_editor_that_fails_changes_nothing(editor: str) -> None:
    assert edit_in(editor, "text") is None


def test_editors_that_add_a_newline_change_nothing() -> None:
    add = f"{sys.executable} -c \"import sys; open(sys.argv[1], 'a').write(chr(10))\""
    assert edit_in(add, "text") == "text"
