"""The colour of the background: asked for at the start, and its answer is never typed text, however slowly it comes."""

import asyncio

import pytest

from ml_intern.terminal.display import background
from tests.terminal.keyboard import Keyboard, NoActions, keyboard

WHITE = "\x1b]11;rgb:ffff/ffff/ffff\x1b\\"
ATTRIBUTES = "\x1b[?62;22c"


@pytest.fixture(autouse=True)
def many_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(Keyboard, "answers", False)


@pytest.mark.parametrize("answer", [WHITE, WHITE.replace("\x1b\\", "\x07"), "\x1b]11;rgba:ff/ff/ff/ff\x07"])
async def test_the_answer_is_taken_out_of_the_keys(answer: str) -> None:
    async with keyboard() as typed:
        changed = asyncio.Event()
        typed.console.background.changed = changed.set
        assert "\x1b]11;?" in typed.written
        await typed.type(f"be{answer}{ATTRIBUTES}fore")
        await asyncio.wait_for(changed.wait(), 60)
        assert typed.console.background.colour == answer
        await typed.shows("> before")


async def test_an_answer_that_comes_in_pieces_is_not_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LIMIT_S", 600.0)
    async with keyboard() as typed:
        for piece in ["a", *WHITE, *ATTRIBUTES, "b"]:
            await typed.type(piece)
            await asyncio.sleep(0.04)
        await typed.shows("> ab")
        assert typed.console.background.colour == WHITE


async def test_a_late_answer_is_not_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LIMIT_S", 0.0)
    async with keyboard() as typed:
        await typed.type("a", WHITE + ATTRIBUTES, "b")
        await typed.shows("> ab")
        assert typed.console.background.colour == WHITE


async def test_keys_that_only_begin_like_an_answer_are_typed() -> None:
    async with keyboard() as typed:
        await typed.type("\x1b]", "1 of 2 [x]")
        await typed.shows("> 1 of 2 [x]")
        await typed.type(ATTRIBUTES)


async def test_a_terminal_that_cannot_show_a_theme_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with keyboard() as typed:
        await typed.type("a")
        assert "\x1b]11" not in typed.written


async def test_an_esc_that_waited_for_the_rest_of_an_answer_is_a_key_without_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupted = asyncio.Event()
    monkeypatch.setattr(NoActions, "working", True)
    monkeypatch.setattr(NoActions, "interrupt", lambda _: interrupted.set())
    async with keyboard() as typed:
        await typed.type("\x1b")
        await asyncio.wait_for(interrupted.wait(), 60)
